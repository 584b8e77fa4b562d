"""What is measured: this project's server with a database of its own, and the relay that it is compared with."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.process import ROOT, SERVER_CORE, ListeningProcess, free_port

USERS = 25
"""At 200 streams eight of each: as many live replies as one user may have by default."""

PASSWORD = secrets.token_urlsafe(16)
_UVICORN = ("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")

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


class ChatServer:
    """This project's server, over uvicorn as `make serve` runs it, or over daphne as `make run` does."""

    def __init__(self, directory: Path, upstream: str, models: Iterable[str], over: str = "uvicorn") -> None:
        self._directory = directory
        self._over = over
        providers = directory / "providers.toml"
        providers.write_text(_PROVIDERS.format(base_url=json.dumps(upstream), models=json.dumps(list(models))))
        self._environment = {
            "SECRET_KEY": secrets.token_urlsafe(64),
            "DATABASE_URL": f"sqlite:///{directory / 'chat.sqlite3'}",
            "CHAT_PROVIDERS_FILE": str(providers),
            "CHAT_SEND_RATE": "off",
            "CHAT_STREAMS_PER_USER": "off",
            "CHAT_LOGIN_RATE": "off",
            "REDIS_URL": "",
            "DEBUG": "false",
            # As the Makefile sets them.
            "MALLOC_ARENA_MAX": "2",
            "MALLOC_MMAP_THRESHOLD_": "131072",
            "MALLOC_TRIM_THRESHOLD_": "131072",
        }

    def prepare(self) -> None:
        """The database and its users."""
        self._manage("migrate", "-v0")
        self._manage("shell", "-v0", "-c", _MAKE_USERS.format(password=PASSWORD, users=USERS))

    def process(self) -> ListeningProcess:
        port = free_port()
        arguments = {
            "uvicorn": [
                *(*_UVICORN, "--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--lifespan", "on"),
                *("--no-server-header", "--no-proxy-headers", "--port", str(port), "chatsite.asgi:application"),
            ],
            "daphne": ["manage.py", "rundaphne", "--port", str(port)],
        }[self._over]
        return ListeningProcess(arguments, port, SERVER_CORE, self._directory / "server.log", self._environment)

    def sign_in(self, port: int) -> list[str]:
        """A token of each user."""

        def token(number: int) -> str:
            credentials = {"username": f"user{number}", "password": PASSWORD}
            answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/auth/token", json=credentials, timeout=60)
            answer.raise_for_status()
            access: str = answer.json()["access"]
            return access

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(token, range(USERS)))

    def _manage(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **self._environment},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {arguments[0]} failed:\n{done.stderr}")


def starlette_relay(directory: Path, upstream: str) -> ListeningProcess:
    port = free_port()
    arguments = [*_UVICORN, "--port", str(port), "benchmarks.peers.starlette_relay:app"]
    return ListeningProcess(arguments, port, SERVER_CORE, directory / "peer.log", {"UPSTREAM_URL": upstream})
