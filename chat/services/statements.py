"""Plain SQL for the few writes that every reply costs: the ORM builds each statement anew, which takes longer than the
database does. Names and values still come from the model's fields, so that both databases get what they want."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

MOMENTS = 16

Convert = Callable[[Any, BaseDatabaseWrapper], Any]


class _Plan(NamedTuple):
    """An insert of certain attributes: its statement, a row of defaults, and what goes where into a copy of that.

    `given`: place, attribute, and how it goes to the database, None for as it is. `made`: place, and what makes it."""

    sql: str
    row: list[Any]
    given: list[tuple[int, str, Convert | None]]
    made: list[tuple[int, Callable[[], Any]]]


def execute(using: str, sql: str, values: Sequence[Any]) -> Any:
    """Runs a statement with `%s` for each value on the driver's own connection, and gives the driver's cursor: Django's
    goes through the words of each statement again, which takes as long as a short one. Raises Django's exceptions."""
    return _execute(connections[using], sql, values)


def _execute(connection: BaseDatabaseWrapper, sql: str, values: Sequence[Any]) -> Any:
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return connection.connection.execute(_of_driver(sql, connection.vendor), values)


@cache
def _of_driver(sql: str, vendor: str) -> str:
    return sql.replace("%s", "?") if vendor == "sqlite" else sql


def insert(model: type[models.Model], using: str, /, **values: Any) -> None:
    """A new row of these attributes (`user_id`, not `user`), the fields' defaults for the others. No signals."""
    connection = connections[using]
    sql, defaults, given, made = _plan(model, using, tuple(values))
    row = defaults.copy()
    for place, attribute, convert in given:
        value = values[attribute]
        row[place] = value if convert is None or value is None else convert(value, connection)
    for place, make in made:
        row[place] = make()
    _execute(connection, sql, row)


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
    sql = _update_sql(model, using, tuple(values), where, returning)
    row: tuple[Any, ...] | None = _execute(connection, sql, [*prepared, *where_values]).fetchone()
    return row


@cache
def _plan(model: type[models.Model], using: str, attributes: tuple[str, ...]) -> _Plan:
    connection = connections[using]
    fields = [field for field in model._meta.concrete_fields if field.column]
    unknown = set(attributes) - {field.attname for field in fields}
    assert not unknown, f"no columns: {sorted(unknown)}"
    plan = _Plan(_insert_sql(model, using), [None] * len(fields), [], [])
    for place, field in enumerate(fields):
        convert = _convert(field)
        if field.attname in attributes:
            plan.given.append((place, field.attname, convert))
        elif field.has_default() and callable(field.default) and field.default not in (dict, list):
            plan.made.append((place, partial(_made, field, convert, using)))
        else:
            value = field.get_default()
            plan.row[place] = value if convert is None or value is None else convert(value, connection)
    return plan


def _made(field: models.Field[Any, Any], convert: Convert | None, using: str) -> Any:
    value = field.get_default()
    return value if convert is None or value is None else convert(value, connections[using])


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
    if isinstance(field, models.JSONField):
        return partial(_json, field)
    return field.get_db_prep_save


def _uuid(value: uuid.UUID, connection: BaseDatabaseWrapper) -> Any:
    return value if connection.features.has_native_uuid_field else value.hex


def _json(field: models.JSONField[Any, Any], value: Any, connection: BaseDatabaseWrapper) -> Any:
    return _no_object(field, connection.alias) if value == {} else field.get_db_prep_save(value, connection)


@cache
def _no_object(field: models.JSONField[Any, Any], using: str) -> Any:
    """As which most are written."""
    return field.get_db_prep_save({}, connections[using])


def _moment(value: datetime, connection: BaseDatabaseWrapper) -> Any:
    return moment(value, connection.alias)


@lru_cache(MOMENTS)
def moment(value: datetime, using: str) -> Any:
    """As the database wants it. Remembered: one moment stands in several rows."""
    return connections[using].ops.adapt_datetimefield_value(value)


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
