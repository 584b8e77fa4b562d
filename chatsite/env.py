"""Settings from the environment: typed, with an error that names the variable and says what it takes."""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import warnings
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

_UNITS = {"": 1, "B": 1, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}
_RATE = re.compile(r"\d+/(s|m|h|d)")


def is_off(value: str) -> bool:
    return value.strip().lower() == "off"


def number(name: str, default: int | str) -> int | None:
    """A whole number, or None for `off`."""
    value = env.str(name, default=str(default))
    if is_off(value):
        return None
    if not value.strip().isdigit():
        raise ImproperlyConfigured(f"{name}={value!r}: give a whole number, or `off` to lift the limit.")
    return int(value)


def seconds(name: str, default: float) -> float:
    """Infinity for `off`."""
    value = env.str(name, default=str(default))
    if is_off(value):
        return math.inf
    try:
        return float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r}: give a number of seconds, or `off` to lift the limit.") from None


def size(name: str, default: str) -> int | None:
    """Bytes: a whole number, maybe with KiB, MiB or GiB behind it; None for `off`."""
    value = env.str(name, default=default)
    if is_off(value):
        return None
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", value)
    if match is None or match[2].upper() not in _UNITS:
        raise ImproperlyConfigured(f"{name}={value!r}: give a size such as 12MiB, or `off` to lift the limit.")
    return int(match[1]) * _UNITS[match[2].upper()]


def rate(name: str, default: str) -> str | None:
    """`N/s`, `N/m`, `N/h` or `N/d`; None for `off`."""
    value = str(env.str(name, default=default)).strip().lower()
    if is_off(value):
        return None
    if not _RATE.fullmatch(value):
        raise ImproperlyConfigured(f"{name}={value!r}: give a rate such as 30/m, or `off` to lift the limit.")
    return value


def database_address(default: str) -> dict[str, Any]:
    """DATABASE_URL, as Django has it."""
    database: dict[str, Any] = {}
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")  # they would show it
        database = env.db("DATABASE_URL", default=default)
    if database.get("ENGINE") not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        # Its value may hold a password: it is not shown.
        raise ImproperlyConfigured("DATABASE_URL: give an address such as postgres://user:password@host/name.")
    return database


def secret_key() -> tuple[str, bool]:
    """SECRET_KEY and whether it was made here: without one, a random key is kept in var/, for this machine only."""
    given = env.str("SECRET_KEY", default="")
    if given:
        return given, False
    path = VAR_DIR / "secret_key"
    VAR_DIR.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="ascii") as file:
            path.chmod(0o600)
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass
    return path.read_text(encoding="ascii"), True
