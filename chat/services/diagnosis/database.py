"""The database: whether it answers, is migrated, fits the number of workers, and has a connection for each thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import Error, NotSupportedError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress
from chat.worker_count import workers


def look(address: PublicAddress | None) -> list[Finding]:
    if connection.vendor == "sqlite" and not _has_file():
        sentence = _("There is no database yet.")
        remedy = _("Run manage.py migrate, as the user who runs the server.")
        return [Finding("database.absent", Level.PROBLEM, sentence, remedy)]
    try:
        connection.ensure_connection()
        found = [*_migrations(), *(_postgresql() if connection.vendor == "postgresql" else _sqlite())]
    except NotSupportedError:
        wanted = ".".join(str(part) for part in connection.features.minimum_database_version or ())
        sentence = _("%(database)s is too old.") % {"database": connection.display_name}
        remedy = _("Update it to %(version)s or newer.") % {"version": wanted}
        return [Finding("database.version", Level.PROBLEM, sentence, remedy)]
    except Error as error:
        sentence = _("The database does not answer: %(error)s.") % {"error": type(error).__name__}
        remedy = _("See that it runs, and that host, port, name, user and password in DATABASE_URL are right.")
        return [Finding("database.away", Level.PROBLEM, sentence, remedy)]
    if found:
        return found
    version = ".".join(str(part) for part in connection.get_database_version())
    sentence = _("%(database)s %(version)s answers and is migrated.")
    return [Finding("database", Level.OK, sentence % {"database": connection.display_name, "version": version})]


def _has_file() -> bool:
    """Whether there is one to look at: to connect would make it, and make it the looker's own."""
    return Path(str(connection.settings_dict["NAME"])).exists()


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if missing:
        sentence = _("%(number)d migrations of the database are missing.") % {"number": missing}
        yield Finding("database.migrations", Level.PROBLEM, sentence, _("Run manage.py migrate."))


def _sqlite() -> Iterator[Finding]:
    """That Redis is used beside it, the settings' own checks say."""
    if workers() > 1:
        sentence = _("%(workers)d workers share an SQLite file, which takes one writer at a time.")
        remedy = _("Set DATABASE_URL to a PostgreSQL.")
        yield Finding("database.sqlite", Level.WARNING, sentence % {"workers": workers()}, remedy)


def _postgresql() -> Iterator[Finding]:
    """Each worker writes through one connection, reads through some, and its pages borrow others."""
    allowed = _number("max_connections") - _number("superuser_reserved_connections")
    certain = workers() * (settings.CHAT_READ_THREADS + 1)
    most = workers() * settings.DATABASE_CONNECTIONS
    if most <= allowed:
        return
    sentence = _("PostgreSQL allows %(allowed)d connections, and %(workers)d workers may need %(most)d.")
    values = {"allowed": allowed, "workers": workers(), "most": most}
    remedy = _("Raise max_connections, or lower WORKERS or CHAT_DATABASE_CONNECTIONS.")
    level = Level.PROBLEM if certain > allowed else Level.WARNING
    yield Finding("database.connections", level, sentence % values, remedy)


def _number(name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)::int", [name])
        return int(cursor.fetchone()[0])
