"""The server under test as its users meet it: a process of its own, on a free port, with a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from chat.wire.sse import ServerSentEvent, SSEDecoder
from tests.server_database import ServerDatabase, new_database

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct-horse-battery"
START_SECONDS = 30.0

NO_LIMITS = {"CHAT_SEND_RATE": "off", "CHAT_LOGIN_RATE": "off", "CHAT_STREAMS_PER_USER": "off"}

MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""As `make run` and `make serve` set them."""

_MAKE_USERS = """
from chat.models import User
for name in {names!r}:
    User.objects.create_user(name, name + "@example.com", {password!r}, is_staff=name == "staff")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ChatServer:
    """`directory` holds its providers file and its log. Start, kill and start again at will; `close` is for good, and
    its database goes too."""

    USERS = ("owner", "stranger", "staff")

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None, server: str = "daphne") -> None:
        self.directory = directory
        self.database = new_database(directory)
        self.port = free_port()
        self.server = server
        self.application = "chatsite.asgi:application"
        """Over uvicorn."""
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "SECRET_KEY": "only-for-tests-" + "x" * 50,
            "DATABASE_URL": self.database.url,
            **NO_LIMITS,
            **MALLOC,
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._tokens: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def declare(self, toml: str) -> None:
        """The providers file; to be called before `start`."""
        path = self.directory / "providers.toml"
        path.write_text(toml)
        self.environment["CHAT_PROVIDERS_FILE"] = str(path)

    def prepare(self, prepared: ServerDatabase | None = None) -> None:
        """Makes its database, with its users; or copies one that was made before."""
        if prepared is not None:
            self.database.copy(prepared)
            return
        self.database.create()
        self.manage("migrate", "-v0")
        self.manage("shell", "-v0", "-c", _MAKE_USERS.format(names=self.USERS, password=PASSWORD))

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def start(self) -> None:
        command = {
            "daphne": [sys.executable, "manage.py", "rundaphne", "--port", str(self.port)],
            "uvicorn": [
                *(sys.executable, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools"),
                *("--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--lifespan", "on"),
                *("--no-access-log", "--log-level", "warning"),
                *("--port", str(self.port), self.application),
            ],
        }[self.server]
        self.process = self._spawn(command)
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient() as client:
            while True:
                assert self.process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "server.log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def log(self) -> str:
        return (self.directory / "server.log").read_text()

    def kill(self) -> None:
        """Like a power cut for the process."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self) -> None:
        self.stop()
        self.database.drop()

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    # Clients

    async def headers(self, user: str = "owner") -> dict[str, str]:
        if user not in self._tokens:
            async with httpx.AsyncClient() as client:
                answer = await client.post(
                    f"{self.url}/api/v1/auth/token", json={"username": user, "password": PASSWORD}
                )
            assert answer.status_code == 200, answer.text
            self._tokens[user] = answer.json()["access"]
        return {"Authorization": f"Bearer {self._tokens[user]}"}

    async def client(self, user: str = "owner") -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(
            base_url=f"{self.url}/api/v1", headers=await self.headers(user), timeout=60, limits=limits
        )

    async def socket(self, user: str = "owner", **options: Any) -> ClientConnection:
        return await connect(
            f"ws://127.0.0.1:{self.port}/ws/chat/",
            additional_headers=await self.headers(user),
            max_size=None,
            **options,
        )


async def server_events(response: httpx.Response) -> AsyncIterator[ServerSentEvent]:
    """The events of an answer as they come."""
    decoder = SSEDecoder()
    async for chunk in response.aiter_raw():
        for event in decoder.decode(chunk):
            yield event
