"""The whole application inside a test's own event loop, and people who use it.

A test that takes `server` has a real upstream behind it: a simulator on a free port, whose models are named by what
they say. Limits are off; a test of one parametrizes `limits`.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.db import connections
from pytest_django import Settings

from chat import runtime
from chat.models import User
from chat.simulators.openai_chat import OpenAIChatSimulator
from chatsite.asgi import application
from tests.chat_server import ChatServer
from tests.external_services import DATABASE_URL, POSTGRES_URL, usable
from tests.server_database import ServerDatabase

# They run the others on PostgreSQL: nothing to do where these are on it already.
collect_ignore = (
    [] if usable(POSTGRES_URL) and not DATABASE_URL else ["test_on_postgresql.py", "test_servers_on_postgresql.py"]
)

PASSWORD = "correct-horse-battery"
UPSTREAM_KEY = "key-of-the-tests"

PROVIDERS = """
[providers.simulated]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:UPSTREAM_KEY_OF_TESTS"
models = ["tokens-3-0", "tokens-3000-20"]
"""
"""The first answers at once, the second takes a minute."""


class Server:
    """The application that a test talks to; it has no socket of its own."""

    url = "http://localhost"

    def __init__(self) -> None:
        self._clients: list[httpx.AsyncClient] = []

    def client(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        """Somebody with these headers and, like a browser, with cookies of their own."""
        transport = httpx.ASGITransport(application)  # type: ignore[arg-type]
        client = httpx.AsyncClient(transport=transport, base_url=self.url, headers=headers)
        self._clients.append(client)
        return client

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()


LONG = (
    "tests/workers/test_chaos.py",
    "tests/test_on_postgresql.py",
    "tests/test_servers_on_postgresql.py",
    "tests/test_schema_fuzz.py",
    "tests/browser/test_chat.py",
    "tests/test_benchmarks.py",
    "tests/workers/",
    "tests/guarantees/",
    "tests/deploy/",
    "tests/test_alerts.py",
)
"""Begun first, so that none of them is left over when the others are done."""


def pytest_configure() -> None:
    # How long an example takes says how busy the machine is.
    hypothesis.settings.register_profile("tests", deadline=None)
    hypothesis.settings.load_profile("tests")
    # A shell has what it starts in the background ignore Ctrl-C, and so would each process that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        places = (number for number, name in enumerate(LONG) if item.nodeid.startswith(name))
        return next(places, len(LONG))

    items.sort(key=rank)


@pytest.fixture
def limits() -> dict[str, object]:
    return {}


@pytest.fixture
async def server(
    transactional_db: None,
    settings: Settings,
    limits: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Server]:
    simulator = OpenAIChatSimulator(UPSTREAM_KEY)
    await simulator.start()
    monkeypatch.setenv("UPSTREAM_KEY_OF_TESTS", UPSTREAM_KEY)
    declared = tmp_path / "providers.toml"
    declared.write_text(PROVIDERS.format(url=simulator.url))
    settings.CHAT_PROVIDERS_FILE = str(declared)
    for name in ("CHAT_SEND_RATE", "CHAT_LOGIN_RATE", "CHAT_STREAMS_PER_USER"):
        setattr(settings, name, limits.get(name))
    cache.clear()
    runtime.forget()
    await runtime.current().start()
    server = Server()
    yield server
    await server.aclose()
    await runtime.current().close()
    runtime.forget()
    await simulator.aclose()
    await sync_to_async(connections.close_all)()  # what the test itself used: Django's coroutines share a thread


@pytest.fixture
def make_user() -> Callable[..., User]:
    """For fixtures, which run outside of the event loop: `make_user("owner")`."""

    def make(username: str, **fields: object) -> User:
        return User.objects.create_user(username, f"{username}@example.com", PASSWORD, **fields)

    return make


@pytest.fixture
def bearer(server: Server) -> Callable[[User], Awaitable[dict[str, str]]]:
    """`headers=await bearer(user)`: signed in as an app is."""

    async def sign_in(user: User) -> dict[str, str]:
        credentials = {"username": user.username, "password": PASSWORD}
        response = await server.client().post("/api/v1/auth/token", json=credentials)
        assert response.status_code == 200, response.text
        return {"Authorization": f"Bearer {response.json()['access']}"}

    return sign_in


@pytest.fixture(scope="session")
def prepared_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerDatabase]:
    """A migrated database with its users, for the server processes to copy."""
    server = ChatServer(tmp_path_factory.mktemp("prepared"))
    server.prepare()
    yield server.database
    server.database.drop()
