"""The database of a server process: a file of SQLite, or a database of its own on a PostgreSQL server."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg

from tests.external_services import DATABASE_URL


class ServerDatabase(ABC):
    """`url` is for DATABASE_URL. Nothing is there before `create` or `copy`."""

    url: str

    @abstractmethod
    def create(self) -> None:
        """Makes it, without tables."""

    @abstractmethod
    def copy(self, prepared: Self) -> None:
        """Makes it with all that is in `prepared`, which nobody may be using."""

    @abstractmethod
    def execute(self, statement: str) -> list[Any]:
        """The rows of one statement, committed, past the server that uses this database."""

    @abstractmethod
    def drop(self) -> None:
        """Whoever still uses it loses it."""


class SQLiteDatabase(ServerDatabase):
    def __init__(self, directory: Path) -> None:
        self._file = directory / "chat.sqlite3"
        self.url = f"sqlite:///{self._file}"

    def create(self) -> None:
        """Whoever connects first makes the file."""

    def copy(self, prepared: Self) -> None:
        with prepared._connection() as origin, self._connection() as copy:
            origin.backup(copy)

    def execute(self, statement: str) -> list[Any]:
        with self._connection() as connection, connection:
            return connection.execute(statement).fetchall()

    def drop(self) -> None:
        self._file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._file, timeout=10)) as connection:
            yield connection


class PostgreSQLDatabase(ServerDatabase):
    """`server` is the address of a database on the server, from which others can be made."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._name = f"chat_test_{uuid.uuid4().hex[:12]}"
        self.url = urlsplit(server)._replace(path=f"/{self._name}").geturl()

    def create(self) -> None:
        self._on_server(f"CREATE DATABASE {self._name}")

    def copy(self, prepared: Self) -> None:
        self._on_server(f"CREATE DATABASE {self._name} TEMPLATE {prepared._name}")

    def execute(self, statement: str) -> list[Any]:
        return _execute(self.url, statement)

    def drop(self) -> None:
        self._on_server(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")

    def _on_server(self, statement: str) -> None:
        _execute(self._server, statement)


def _execute(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def new_database(directory: Path) -> ServerDatabase:
    """Of the kind that the tests run on."""
    return PostgreSQLDatabase(DATABASE_URL) if DATABASE_URL else SQLiteDatabase(directory)
