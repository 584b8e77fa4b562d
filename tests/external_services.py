"""PostgreSQL and Redis for the tests that need them: used when they answer, insisted on when they are required."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

POSTGRES_URL = os.environ.get("CHAT_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS_URL = os.environ.get("CHAT_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
DATABASE_URL = os.environ.get("CHAT_TEST_DATABASE_URL", "")
"""The PostgreSQL server that every test's database is on; empty: they are files of SQLite."""


def required() -> bool:
    return os.environ.get("CHAT_TEST_SERVICES") == "required"


def answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 0), timeout=1):
            return True
    except OSError:
        return False


def usable(url: str) -> bool:
    """Whether tests with it are to run: also when it does not answer but is required, so that they fail."""
    return required() or answers(url)
