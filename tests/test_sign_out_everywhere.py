"""The end of all sign-ins of an account at once: by the API and by the button on the sign-out page.

The cast: `owner`, who ends them; `stranger`, whose sign-ins stay.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from django.contrib.sessions.models import Session

from chat import runtime
from chat.models import User
from chat.services import sign_ins
from tests.conftest import PASSWORD, Server

pytestmark = pytest.mark.django_db(transaction=True)

ME = "/api/v1/me"

Bearer = Callable[[User], Awaitable[dict[str, str]]]


@pytest.fixture
def users(transactional_db: None, make_user: Callable[..., User]) -> dict[str, User]:
    return {name: make_user(name) for name in ("owner", "stranger")}


@pytest.mark.parametrize("keys_too", [False, True])
async def test_a_sign_out_everywhere_ends_all_of_ones_own_and_nobody_elses(
    server: Server, users: dict[str, User], bearer: Bearer, keys_too: bool
) -> None:
    owner = server.client(await bearer(users["owner"]))
    key = (await owner.post("/api/v1/api-keys", json={"name": "bot"})).json()["key"]
    program = server.client({"Authorization": f"Bearer {key}"})
    other, stranger = server.client(await bearer(users["owner"])), server.client(await bearer(users["stranger"]))
    body = {"json": {"api_keys": True}} if keys_too else {}
    assert (await owner.post("/api/v1/auth/sign-out-everywhere", **body)).status_code == 204
    statuses = [(await client.get(ME)).status_code for client in (owner, other, program, stranger)]
    assert statuses == [401, 401, 401 if keys_too else 200, 200]
    assert (await server.client(await bearer(users["owner"])).get(ME)).status_code == 200, "one may sign in again"


async def test_a_flood_of_sign_outs_everywhere_looks_through_the_sessions_once_or_twice(
    server: Server, users: dict[str, User], bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bearer(users["owner"])
    looks: list[uuid.UUID] = []
    look = sign_ins._sessions

    def counted(user: uuid.UUID, after: str) -> Any:
        looks.append(user)
        return look(user, after)

    monkeypatch.setattr(sign_ins, "_sessions", counted)
    ending, owner, stranger = runtime.current().sign_ins, users["owner"].pk, users["stranger"].pk
    floods = [ending.end_all(owner, api_keys=False) for _number in range(50)]
    await asyncio.gather(*floods, ending.end_all(stranger, api_keys=False))
    assert looks.count(owner) <= 2
    assert looks.count(stranger) == 1
    assert not await Session.objects.aexists()


async def test_the_sign_out_page_has_a_button_for_it(server: Server, users: dict[str, User], bearer: Bearer) -> None:
    app, browser = server.client(await bearer(users["owner"])), server.client()
    stranger = server.client(await bearer(users["stranger"]))
    await browser.get("/accounts/login/")

    async def post(path: str, **fields: str) -> httpx.Response:
        return await browser.post(path, data={**fields, "csrfmiddlewaretoken": browser.cookies["csrftoken"]})

    assert (await post("/sign-out-everywhere/")).headers["location"].startswith("/accounts/login/"), "not signed in"
    assert (await post("/accounts/login/", login="owner", password=PASSWORD)).status_code == 302
    assert 'action="/sign-out-everywhere/"' in (await browser.get("/accounts/logout/")).text
    assert (await browser.post("/sign-out-everywhere/")).status_code == 403, "without the form's token"
    assert (await app.get(ME)).status_code == 200
    assert (await post("/sign-out-everywhere/")).status_code == 302
    assert [(await client.get(ME)).status_code for client in (app, browser, stranger)] == [401, 401, 200]
