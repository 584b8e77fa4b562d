"""Plain SQL for the few writes that every reply costs: the ORM builds each statement anew, which takes longer than the
database does. Names and values still come from the model's fields, so that both databases get what they want."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

Convert = Callable[[Any, BaseDatabaseWrapper], Any]


class _Column(NamedTuple):
    """A column of an insert: the attribute that fills it, what fills it otherwise, and how it goes to the database;
    without `convert`, as it is."""

    attribute: str
    default: Callable[[], Any]
    convert: Convert | None


def insert(model: type[models.Model], using: str, /, **values: Any) -> None:
    """A new row of these attributes (`user_id`, not `user`), the fields' defaults for the others. No signals."""
    connection = connections[using]
    prepared = []
    for attribute, default, convert in _columns(model):
        value = values.pop(attribute) if attribute in values else default()
        prepared.append(value if convert is None or value is None else convert(value, connection))
    assert not values, f"no columns: {sorted(values)}"
    with connection.cursor() as cursor:
        cursor.execute(_insert_sql(model, using), prepared)


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
def _columns(model: type[models.Model]) -> tuple[_Column, ...]:
    return tuple(_Column(field.attname, field.get_default, _convert(field)) for field in model._meta.concrete_fields)


def _convert(field: models.Field[Any, Any]) -> Convert | None:
    """Text and numbers are the database's too. For the commonest of the others, what their fields do in the end."""
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    if isinstance(field, models.CharField | models.TextField | models.IntegerField | models.BooleanField):
        return None
    if isinstance(field, models.UUIDField):
        return _uuid
    if isinstance(field, models.DateTimeField):
        return _moment
    return field.get_db_prep_save


def _uuid(value: uuid.UUID, connection: BaseDatabaseWrapper) -> Any:
    return value if connection.features.has_native_uuid_field else value.hex


def _moment(value: datetime, connection: BaseDatabaseWrapper) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


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
