"""What each answer tells browsers for safety's sake: pages, data, streams, refusals, and the documentation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from pytest_django import Settings

from chat.models import User
from tests.conftest import Server

pytestmark = pytest.mark.django_db(transaction=True)

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


async def test_every_answer_has_them(
    server: Server, owner: User, settings: Settings, bearer: Callable[[User], Awaitable[dict[str, str]]]
) -> None:
    settings.CHAT_BODY_BYTES = 10_000
    client = server.client(await bearer(owner))
    data = [
        await client.get("/api/v1/conversations"),
        await client.post("/api/v1/chat", json={"message": "hello"}),
        await client.post("/api/v1/chat", content=b"x" * 20_000),
        await client.get("/api/v1/nothing"),
        await client.get("/v1/models"),
        await client.get("/healthz"),
    ]
    assert data[1].headers["Content-Type"].startswith("text/event-stream")
    pages = [await client.get("/accounts/login/"), await client.get("/api/docs"), await client.get("/nothing")]
    for answer in (*data, *pages):
        for name, value in EVERYWHERE.items():
            assert answer.headers[name] == value, (answer.url, name)
        assert "camera=()" in answer.headers["Permissions-Policy"]
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
    for answer in data:
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_browsers_are_to_insist_on_tls_only_where_they_came_by_it(
    server: Server, owner: User, settings: Settings, bearer: Callable[[User], Awaitable[dict[str, str]]]
) -> None:
    client = server.client(await bearer(owner))
    for seconds, address, expected in (
        (600, "https://localhost", "max-age=600"),
        (600, "http://localhost", None),
        (0, "https://localhost", None),
    ):
        settings.SECURE_HSTS_SECONDS = seconds
        for answer in (
            await client.get(f"{address}/api/v1/me"),
            await client.post(f"{address}/api/v1/chat", json={"message": "hello"}),
        ):
            assert answer.status_code == 200
            assert answer.headers.get("Strict-Transport-Security") == expected
