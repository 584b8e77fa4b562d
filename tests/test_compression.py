"""gzip: for JSON and pages of some size, where it is asked for; never for a stream, nor for what holds a secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest

from chat.models import User
from tests.conftest import PASSWORD, Server

pytestmark = pytest.mark.django_db(transaction=True)

GZIP = {"Accept-Encoding": "gzip"}
LONG = "tea and " * 2_500


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


@pytest.fixture
async def client(server: Server, owner: User, bearer: Callable[[User], Awaitable[dict[str, str]]]) -> httpx.AsyncClient:
    return server.client({**await bearer(owner), "Accept-Encoding": ""})


async def sizes(client: httpx.AsyncClient, path: str, accept_encoding: str) -> tuple[int, str | None]:
    """Of the answer as it came, and its encoding."""
    async with client.stream("GET", path, headers={"Accept-Encoding": accept_encoding}) as answer:
        assert answer.status_code == 200
        raw = b"".join([part async for part in answer.aiter_raw()])
        assert int(answer.headers["Content-Length"]) == len(raw)
        assert "Accept-Encoding" in answer.headers["Vary"]
        return len(raw), answer.headers.get("Content-Encoding")


async def test_json_is_compressed_where_it_is_asked_for(client: httpx.AsyncClient) -> None:
    sent = await client.post("/api/v1/chat", json={"message": LONG}, headers={"Accept": "application/json"})
    path = f"/api/v1/conversations/{sent.json()['conversation']}/messages"
    plain, _ = await sizes(client, path, "identity")
    for taken in ("gzip", "br, gzip;q=0.5", "*", "deflate,  GZIP ; q=1.0"):
        size, encoding = await sizes(client, path, taken)
        assert encoding == "gzip"
        assert size < plain / 10
    for refused in ("", "br", "gzip;q=0", "gzip; q=0.000, br", "*;q=0"):
        assert await sizes(client, path, refused) == (plain, None)
    whole = await client.get(path, headers=GZIP)
    assert whole.json()["items"][0]["text"] == LONG
    assert len({(await sizes(client, path, "gzip"))[0] for _ in range(8)}) > 1, "a length says nothing of the content"


async def test_little_answers_and_streams_and_secrets_are_sent_as_they_are(client: httpx.AsyncClient) -> None:
    assert "Content-Encoding" not in (await client.get("/api/v1/me", headers=GZIP)).headers
    streamed = await client.post("/api/v1/chat", json={"message": LONG}, headers=GZIP)
    assert streamed.headers["Content-Type"].startswith("text/event-stream")
    assert "Content-Encoding" not in streamed.headers
    credentials = {"username": "owner", "password": PASSWORD}
    signed_in = await client.post("/api/v1/auth/token", json=credentials, headers=GZIP)
    assert "access" in signed_in.json()
    assert "Content-Encoding" not in signed_in.headers


async def test_pages_are_compressed_too(client: httpx.AsyncClient) -> None:
    for path in ("/accounts/login/", "/accounts/signup/"):
        page = await client.get(path, headers=GZIP)
        assert (page.status_code, page.headers["Content-Encoding"]) == (200, "gzip")
        assert "</html>" in page.text
