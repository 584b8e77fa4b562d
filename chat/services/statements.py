"""Plain SQL for the few writes that every reply costs: the ORM builds each statement anew, which takes longer than the
database does. Names and values still go through the model's fields, so that both databases get what they want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connections, models


def insert(instance: models.Model, using: str) -> None:
    """A new row. No signals, no refresh."""
    connection = connections[using]
    fields = type(instance)._meta.concrete_fields
    values = [field.get_db_prep_save(field.pre_save(instance, add=True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(_insert_sql(type(instance), using), values)


def update_returning(
    model: type[models.Model],
    using: str,
    values: Mapping[str, Any],
    where: str,
    where_values: Sequence[Any],
    returning: tuple[str, ...],
) -> tuple[Any, ...] | None:
    """One row at most; the columns that `returning` names, as the database has them, or None when no row was changed.

    `where` is a condition with placeholders, of this code's own, never of a user's.
    """
    connection = connections[using]
    fields = [model._meta.get_field(name) for name in values]
    prepared = [
        field.get_db_prep_save(value, connection)  # type: ignore[union-attr]
        for field, value in zip(fields, values.values(), strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(_update_sql(model, using, tuple(values), where, returning), [*prepared, *where_values])
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row


@cache
def _insert_sql(model: type[models.Model], using: str) -> str:
    quote = connections[using].ops.quote_name
    columns = [quote(field.column) for field in model._meta.concrete_fields if field.column]
    places = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 (names of ours)


@cache
def _update_sql(
    model: type[models.Model], using: str, names: tuple[str, ...], where: str, returning: tuple[str, ...]
) -> str:
    quote = connections[using].ops.quote_name
    settings = ", ".join(f"{quote(_column(model, name))} = %s" for name in names)
    columns = ", ".join(quote(_column(model, name)) for name in returning)
    return f"UPDATE {quote(model._meta.db_table)} SET {settings} WHERE {where} RETURNING {columns}"  # noqa: S608


def _column(model: type[models.Model], name: str) -> str:
    return str(model._meta.get_field(name).column)  # type: ignore[union-attr]
