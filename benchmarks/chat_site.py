"""This project's server: a database with users who are signed in, and processes that serve copies of it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import httpx

from benchmarks.process import ROOT, SERVER_CORE, ListeningProcess, free_port

UVICORN = (
    *(sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools"),
    *("--no-access-log", "--log-level", "warning", "--backlog", "2048"),
)
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""As the Makefile sets them; the Starlette relay has them too."""

NOBODY = "http://127.0.0.1:9/v1"
"""The upstream of a server that is asked nothing."""

_PROVIDERS = """
[providers.upstream]
kind = "openai_chat"
base_url = {base_url}
api_key = "none"
models = {models}
"""

_MAKE_USERS = """
from django.contrib.auth.hashers import make_password
from chat.models import User
password = make_password({password!r})
for number in range({users}):
    User.objects.create(username=f"user{{number}}", email=f"user{{number}}@example.com", password=password)
"""


class Database(Protocol):
    @property
    def url(self) -> str: ...

    def copy(self, directory: Path) -> str:
        """A copy's address; where it is a file, in the directory."""


class ChatSite:
    """`bearers`: the access tokens of its users, good for every process. Over uvicorn as `make serve` runs it, or over
    daphne as `make run` does. `database`: an empty one, which it fills."""

    def __init__(self, directory: Path, over: str, users: int, database: Database) -> None:
        self._database = database
        self._over = over
        self._password = secrets.token_urlsafe(16)
        self._environment = {
            "DJANGO_SETTINGS_MODULE": "chatsite.settings",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "CHAT_SEND_RATE": "off",
            "CHAT_STREAMS_PER_USER": "off",
            "CHAT_LOGIN_RATE": "off",
            "CHAT_ACCESS_TOKEN_SECONDS": "86400",
            "REDIS_URL": "",
            "DEBUG": "false",
            **ALLOCATOR,
        }
        self._prepare(users)
        with self.serving(database.url, directory, NOBODY, ["none"], {}) as process:
            self.bearers = self._sign_in(process.port, users)

    def process(
        self, directory: Path, upstream: str, models: Iterable[str], environment: Mapping[str, str]
    ) -> ListeningProcess:
        """A server with a copy of the database and with these further settings; `directory` holds its files."""
        return self.serving(self._database.copy(directory), directory, upstream, models, environment)

    def serving(
        self,
        database: str,
        directory: Path,
        upstream: str,
        models: Iterable[str],
        environment: Mapping[str, str],
        core: int | None = SERVER_CORE,
    ) -> ListeningProcess:
        """One of the servers of the database at this address."""
        port = free_port()
        providers = directory / "providers.toml"
        providers.write_text(_PROVIDERS.format(base_url=json.dumps(upstream), models=json.dumps(list(models))))
        command = {
            "uvicorn": [
                *(*UVICORN, "--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--lifespan", "on"),
                *("--no-server-header", "--no-proxy-headers", "--port", str(port), "chatsite.asgi:application"),
            ],
            "daphne": [sys.executable, "manage.py", "rundaphne", "--port", str(port)],
        }[self._over]
        settings = {**self._environment, "DATABASE_URL": database, "CHAT_PROVIDERS_FILE": str(providers), **environment}
        return ListeningProcess(command, port, core, directory / "server.log", settings)

    def _prepare(self, users: int) -> None:
        self._manage("migrate", "-v0")
        self._manage("shell", "-v0", "-c", _MAKE_USERS.format(password=self._password, users=users))

    def _sign_in(self, port: int, users: int) -> list[str]:
        def token(number: int) -> str:
            credentials = {"username": f"user{number}", "password": self._password}
            answer = httpx.post(
                f"http://127.0.0.1:{port}/api/v1/auth/token", json=credentials, timeout=60, trust_env=False
            )
            answer.raise_for_status()
            access: str = answer.json()["access"]
            return access

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(token, range(users)))

    def _manage(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **self._environment, "DATABASE_URL": self._database.url},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed:\n{done.stderr}")
