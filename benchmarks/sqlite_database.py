"""A file of SQLite that each server gets a copy of."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

FILE = "chat.sqlite3"


class SqliteDatabase:
    def __init__(self, directory: Path) -> None:
        self._file = directory / FILE

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    def copy(self, directory: Path) -> str:
        """The copy's address."""
        with closing(sqlite3.connect(self._file)) as origin, closing(sqlite3.connect(directory / FILE)) as copy:
            origin.backup(copy)
        return f"sqlite:///{directory / FILE}"
