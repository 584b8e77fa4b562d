"""Whatever ends a sign-in ends it at once: for new calls, new sockets, and the streams that are open with it.

The cast: `owner`, one an account-ending test; `stranger`, whose open streams stay; a superuser in the admin.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from chat.wire.sse import ServerSentEvent
from tests.chat_server import PASSWORD, ChatServer, server_events
from tests.guarantees.conftest import SECRETS, Upstreams
from tests.server_database import ServerDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "tokens-3000-20"
ACCOUNTS = ("renewed", "everywhere", "suspended", "deleted")
"""Each for the test that ends all of its sign-ins."""
SECONDS = 15
"""Until a test gives up; far less than the time after which all sign-ins are looked at anyway."""

MAKE_USERS = f"""
from chat.models import User
password = User.objects.get(username="owner").password
for name in {ACCOUNTS!r}:
    User.objects.create(username=name, email=name + "@example.com", password=password)
User.objects.create(username="root", is_staff=True, is_superuser=True, password=password)
"""


# Somebody signed in


@dataclass
class Person:
    """`headers` are what they sign in with; `refresh` is of an app, `browser` of a browser, `key` of a program."""

    server: ChatServer
    headers: dict[str, str]
    refresh: str = ""
    key: str = ""
    browser: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        assert self.browser is not None
        return self.browser

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.server.url, headers=self.headers, timeout=30) as client:
            return await client.request(method, path, **options)


@dataclass
class Cast:
    """`other`: the owner's other sign-in."""

    server: ChatServer
    clients: AsyncExitStack
    other: Person = field(init=False)
    stranger: Person = field(init=False)
    staff: httpx.AsyncClient = field(init=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cast(tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase) -> AsyncIterator[Cast]:
    async with AsyncExitStack() as stack:
        upstreams = Upstreams()
        await upstreams.start()
        stack.push_async_callback(upstreams.aclose)
        server = ChatServer(tmp_path_factory.mktemp("server"), {**SECRETS, "CHAT_PING_SECONDS": "600"}, "uvicorn")
        stack.callback(server.close)
        server.declare(upstreams.toml(MODEL))
        server.prepare(prepared_database)
        server.manage("shell", "-v0", "-c", MAKE_USERS)
        await server.start()
        cast = Cast(server, stack)
        cast.other, cast.stranger = await usual(cast), await usual(cast, "stranger")
        cast.staff = (await browser(cast, "root")).client
        yield cast


async def app(cast: Cast, username: str = "owner") -> Person:
    """A family of tokens of its own."""
    async with httpx.AsyncClient(base_url=cast.server.url) as client:
        answer = await client.post("/api/v1/auth/token", json={"username": username, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    pair = answer.json()
    return Person(cast.server, {"Authorization": f"Bearer {pair['access']}"}, pair["refresh"])


async def usual(cast: Cast, username: str = "owner") -> Person:
    """Signed in once for all tests."""
    return Person(cast.server, await cast.server.headers(username))


async def browser(cast: Cast, username: str = "owner") -> Person:
    server = cast.server
    client = await cast.clients.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=30))
    await client.get("/accounts/login/")
    answer = await post_form(client, "/accounts/login/", login=username, password=PASSWORD)
    assert answer.status_code == 302, answer.text
    cookies = "; ".join(f"{name}={client.cookies[name]}" for name in ("sessionid", "csrftoken"))
    return Person(
        server, {"Cookie": cookies, "X-CSRFToken": client.cookies["csrftoken"], "Origin": server.url}, browser=client
    )


async def post_form(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    return await client.post(path, data={**fields, "csrfmiddlewaretoken": client.cookies["csrftoken"]})


async def program(cast: Cast, username: str = "owner", **options: Any) -> Person:
    answer = await (await usual(cast, username)).call("POST", "/api/v1/api-keys", json={"name": "bot", **options})
    assert answer.status_code == 201, answer.text
    return Person(cast.server, {"Authorization": f"Bearer {answer.json()['key']}"}, key=answer.json()["id"])


# Their open streams


@dataclass
class Open:
    """One reply, followed by an event stream and by a socket that were opened with the same sign-in."""

    person: Person
    answer: httpx.Response
    events: AsyncIterator[ServerSentEvent]
    socket: ClientConnection

    @classmethod
    async def by(cls, person: Person, stack: AsyncExitStack) -> Open:
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=person.server.url, headers=person.headers, timeout=SECONDS)
        )
        send = {"message": "hello", "model": MODEL, "provider": "sse"}
        answer = await stack.enter_async_context(client.stream("POST", "/api/v1/chat", json=send))
        assert answer.status_code == 200
        events = server_events(answer)
        await anext(events)
        socket = await stack.enter_async_context(socket_of(person))
        follow = {"type": "follow", "generation": answer.headers["x-generation-id"], "after": 0}
        await socket.send(json.dumps(follow))
        async with asyncio.timeout(SECONDS):
            while json.loads(await socket.recv())["type"] != "start":  # news of a conversation may come before
                pass
        return cls(person, answer, events, socket)

    async def end(self) -> None:
        """Returns once both have ended as they should, without the reply's end."""
        async with asyncio.timeout(SECONDS):
            async for event in self.events:
                assert event.event == "message", event
                assert not json.loads(event.data)["isFinal"]
            assert await close_code(self.socket) == 4401

    async def go_on(self) -> None:
        async with asyncio.timeout(SECONDS):
            for _number in range(3):
                await anext(self.events)
            await self.socket.send(json.dumps({"type": "ping"}))
            while json.loads(await self.socket.recv())["type"] != "pong":
                pass


def socket_of(person: Person) -> connect:
    return connect(f"ws://127.0.0.1:{person.server.port}/ws/chat/", additional_headers=person.headers, max_size=None)


async def close_code(socket: ClientConnection) -> int | None:
    try:
        while True:
            assert not json.loads(await socket.recv()).get("isFinal")
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code


async def refused(person: Person) -> None:
    answer = await person.call("GET", "/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
    async with socket_of(person) as socket, asyncio.timeout(SECONDS):
        assert await close_code(socket) == 4401


# What ends a sign-in


async def reuse_the_refresh_token(person: Person, cast: Cast) -> None:
    """As who stole it would: one of the two who use it is refused, and with it everybody."""
    reuse = {"json": {"refresh": person.refresh}}
    statuses = [(await cast.stranger.call("POST", "/api/v1/auth/refresh", **reuse)).status_code for _number in range(2)]
    assert statuses == [200, 401]


async def revoke(person: Person, cast: Cast) -> None:
    assert (await person.call("POST", "/api/v1/auth/revoke", json={"refresh": person.refresh})).status_code == 204


async def sign_out(person: Person, cast: Cast) -> None:
    assert (await post_form(person.client, "/accounts/logout/")).status_code == 302


async def delete_the_key(person: Person, cast: Cast) -> None:
    assert (await cast.stranger.call("DELETE", f"/api/v1/api-keys/{person.key}")).status_code == 404
    assert (await person.call("GET", "/api/v1/me")).status_code == 200
    assert (await cast.other.call("DELETE", f"/api/v1/api-keys/{person.key}")).status_code == 204


Act = Callable[[Person, Person], Awaitable[None]]
Way = Callable[[Cast], Awaitable[Person]]


@pytest.mark.parametrize(
    ("way", "act"),
    [
        pytest.param(app, reuse_the_refresh_token, id="a stolen refresh token"),
        pytest.param(app, revoke, id="a revoke"),
        pytest.param(browser, sign_out, id="a sign-out in the browser"),
        pytest.param(program, delete_the_key, id="a revoked API key"),
    ],
)
async def test_what_ends_one_sign_in_ends_its_streams_and_no_others(cast: Cast, way: Way, act: Act) -> None:
    async with AsyncExitStack() as stack:
        person = await way(cast)
        theirs, others = (
            await Open.by(person, stack),
            [await Open.by(one, stack) for one in (cast.other, cast.stranger)],
        )
        await act(person, cast)
        await theirs.end()
        await refused(person)
        for one in others:
            await one.go_on()


# What ends an account's sign-ins


async def change_the_password(name: str, cast: Cast) -> None:
    client = (await browser(cast, name)).client
    await client.get("/accounts/password/change/")
    new = "another-horse-battery"
    answer = await post_form(client, "/accounts/password/change/", oldpassword=PASSWORD, password1=new, password2=new)
    assert answer.status_code == 302, answer.text


async def sign_out_everywhere(name: str, cast: Cast) -> None:
    person = await usual(cast, name)
    answer = await person.call("POST", "/api/v1/auth/sign-out-everywhere", json={"api_keys": True})
    assert answer.status_code == 204, answer.text


async def deactivate(name: str, cast: Cast) -> None:
    """What the form has of the account, but for the mark that it is active."""
    fields = {"username": name, "email": f"{name}@example.com", "first_name": "", "last_name": "", "language": ""}
    answer = await post_form(cast.staff, await admin_page(name, cast), **fields, number="", _save="Save")
    assert answer.status_code == 302, answer.text


async def delete(name: str, cast: Cast) -> None:
    page = (await admin_page(name, cast)).replace("/change/", "/delete/")
    assert (await post_form(cast.staff, page, post="yes")).status_code == 302


async def admin_page(name: str, cast: Cast) -> str:
    me = await (await usual(cast, name)).call("GET", "/api/v1/me")
    return f"/admin/chat/user/{me.json()['id']}/change/"


@pytest.mark.parametrize(
    ("name", "act"),
    [
        pytest.param("renewed", change_the_password, id="a new password"),
        pytest.param("everywhere", sign_out_everywhere, id="a sign-out everywhere"),
        pytest.param("suspended", deactivate, id="deactivated by staff"),
        pytest.param("deleted", delete, id="a deleted account"),
    ],
)
async def test_what_ends_all_sign_ins_of_an_account_ends_all_of_its_streams(
    cast: Cast, name: str, act: Callable[[str, Cast], Awaitable[None]]
) -> None:
    async with AsyncExitStack() as stack:
        people = [await way(cast, name) for way in (usual, browser, program)]
        ending, others = [await Open.by(person, stack) for person in people], [await Open.by(cast.stranger, stack)]
        if act is change_the_password:
            others.append(ending.pop())  # a key does not rest on the password
        await act(name, cast)
        for one in ending:
            await one.end()
            await refused(one.person)
        for one in others:
            await one.go_on()


# Time


def expiring_at(moment: datetime, person: Person) -> Person:
    """With the same access token, but for its time."""
    token = person.headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False}) | {"exp": int(moment.timestamp())}
    token = jwt.encode(claims, person.server.environment["SECRET_KEY"], algorithm="HS256")
    return Person(person.server, {"Authorization": f"Bearer {token}"})


async def test_a_sign_in_that_expires_ends_its_streams_and_an_access_token_that_expires_does_not(cast: Cast) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=6)
    async with AsyncExitStack() as stack:
        key, session = await program(cast, expires_at=soon.isoformat()), await browser(cast)
        cast.server.database.execute(
            f"UPDATE django_session SET expire_date = '{soon:%Y-%m-%d %H:%M:%S.%f}'"
            f" WHERE session_key = '{session.client.cookies['sessionid']}'"
        )
        access = expiring_at(soon, cast.other)
        ending = [await Open.by(person, stack) for person in (key, session)]
        staying = await Open.by(access, stack)
        for one in ending:
            await one.end()
            await refused(one.person)
        await refused(access)
        await staying.go_on()
