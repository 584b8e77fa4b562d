"""Tokens for apps: what buys them, how they rotate, what ends them, and what is no token at all.

The cast: `owner`, who has an account; and whoever else tries, by a wrong password, an old token or somebody's name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, ClassVar

import httpx
import jwt
import pytest
from allauth.account.models import EmailAddress
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat import runtime
from chat.models import User
from tests.conftest import PASSWORD, Server

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN, REFRESH, REVOKE, ME = (f"/api/v1{path}" for path in ("/auth/token", "/auth/refresh", "/auth/revoke", "/me"))


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


@pytest.fixture
def app(server: Server, owner: User) -> httpx.AsyncClient:
    return server.client()


async def sign_in(app: httpx.AsyncClient, username: str = "owner", password: str = PASSWORD) -> dict[str, Any]:
    response = await app.post(TOKEN, json={"username": username, "password": password})
    assert response.status_code == 200, response.text
    pair: dict[str, Any] = response.json()
    return pair


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status_of(app: httpx.AsyncClient, access: str) -> int:
    return (await app.get(ME, headers=by(access))).status_code


def assert_refused(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status
    body = response.json()
    assert set(body) == {"error", "code", "details"}
    assert body["code"] == code
    assert body["error"]


# Signing in


@pytest.mark.parametrize("name", ["owner", "owner@example.com", "Owner@Example.COM"])
async def test_a_name_or_an_address_and_the_password_give_tokens_that_say_who(
    app: httpx.AsyncClient, owner: User, name: str
) -> None:
    pair = await sign_in(app, name)
    assert set(pair) == {"access", "refresh", "expires_in"}
    assert pair["expires_in"] == django_settings.HEADLESS_JWT_ACCESS_TOKEN_EXPIRES_IN
    me = await app.get(ME, headers=by(pair["access"]))
    assert me.json() == {
        "id": str(owner.id), "username": "owner", "email": "owner@example.com", "is_staff": False, "language": "en",
    }  # fmt: skip
    await owner.arefresh_from_db()
    assert owner.last_login is not None


@pytest.mark.parametrize(("name", "password"), [("owner", "wrong"), ("nobody", PASSWORD), ("", ""), ("owner", "")])
async def test_a_wrong_sign_in_is_refused_in_the_same_words(app: httpx.AsyncClient, name: str, password: str) -> None:
    response = await app.post(TOKEN, json={"username": name, "password": password})
    assert_refused(response, 401, "UNAUTHENTICATED")
    usual = await app.post(TOKEN, json={"username": "owner", "password": "wrong"})
    assert response.json() == usual.json()


async def test_an_inactive_account_is_refused_and_its_tokens_end(app: httpx.AsyncClient, owner: User) -> None:
    pair = await sign_in(app)
    await User.objects.filter(pk=owner.pk).aupdate(is_active=False)
    assert await status_of(app, pair["access"]) == 401
    assert_refused(await app.post(REFRESH, json={"refresh": pair["refresh"]}), 401, "UNAUTHENTICATED")
    assert_refused(await app.post(TOKEN, json={"username": "owner", "password": PASSWORD}), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("name", ["owner", "owner@example.com"])
async def test_where_addresses_must_be_confirmed_an_unconfirmed_one_buys_nothing(
    app: httpx.AsyncClient, owner: User, settings: Settings, name: str
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    right, wrong = {"username": name, "password": PASSWORD}, {"username": name, "password": "wrong"}
    address = await EmailAddress.objects.acreate(user=owner, email=owner.email, primary=True)
    assert_refused(await app.post(TOKEN, json=wrong), 401, "UNAUTHENTICATED")
    assert_refused(await app.post(TOKEN, json=right), 403, "FORBIDDEN")
    address.verified = True
    await address.asave()
    assert await status_of(app, (await sign_in(app, name))["access"]) == 200


async def test_a_user_name_that_is_somebodys_address_takes_nothing_over(app: httpx.AsyncClient, owner: User) -> None:
    await sync_to_async(User.objects.create_user)("owner@example.com", "thief@example.com", "the-thiefs-own")
    pair = await sign_in(app, "owner@example.com")
    assert (await app.get(ME, headers=by(pair["access"]))).json()["id"] == str(owner.id)


class CountingHasher(MD5PasswordHasher):
    """Counts what takes the time of a sign-in."""

    algorithm = "counting_md5"
    hashed: ClassVar[list[str]] = []

    def encode(self, password: str, salt: str) -> str:
        self.hashed.append(password)
        return super().encode(password, salt)


async def test_time_does_not_tell_whether_there_is_an_account(
    app: httpx.AsyncClient, owner: User, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = ["tests.test_tokens.CountingHasher"]
    owner.set_password(PASSWORD)
    await owner.asave()

    async def hashed(name: str) -> list[str]:
        CountingHasher.hashed.clear()
        await app.post(TOKEN, json={"username": name, "password": "wrong"})
        return list(CountingHasher.hashed)

    assert await hashed("owner") == await hashed("nobody") == ["wrong"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"username": "owner"}', 422),
        (b'{"username": "own\\u0000er", "password": "x"}', 422),
        (b'{"username": "owner", "password": 5}', 422),
        (b'{"username": "owner", "password": "' + b"x" * 5000 + b'"}', 413),
        (b'{"username": "owner", "password": "x", "more": [' + b"{}," * 25_000 + b"{}]}", 413),  # is not even read
        (b"no json", 400),
        (b"[]", 422),
    ],
)
async def test_what_is_no_sign_in_is_refused_in_the_usual_shape(
    app: httpx.AsyncClient, body: bytes, status: int
) -> None:
    response = await app.post(TOKEN, content=body, headers={"Content-Type": "application/json"})
    assert_refused(response, status, "TOO_LARGE" if status == 413 else "INVALID_REQUEST")


@pytest.mark.parametrize("limits", [{"CHAT_LOGIN_RATE": "3/m"}])
async def test_attempts_from_one_address_are_limited(app: httpx.AsyncClient) -> None:
    for _ in range(3):
        assert_refused(await app.post(TOKEN, json={"username": "owner", "password": "wrong"}), 401, "UNAUTHENTICATED")
    response = await app.post(TOKEN, json={"username": "owner", "password": PASSWORD})
    assert_refused(response, 429, "RATE_LIMITED")
    assert 1 <= int(response.headers["Retry-After"]) <= 61


@pytest.mark.parametrize("limits", [{"CHAT_LOGIN_RATE": "3/m"}])
async def test_an_address_that_a_client_only_claims_lifts_no_limit(app: httpx.AsyncClient) -> None:
    statuses = []
    for number in range(5):
        forged = {"X-Forwarded-For": f"203.0.113.{number}"}
        response = await app.post(TOKEN, json={"username": "owner", "password": "wrong"}, headers=forged)
        statuses.append(response.status_code)
    assert statuses == [401, 401, 401, 429, 429]


@pytest.mark.parametrize("limits", [{"CHAT_LOGIN_RATE": "1/m"}])
async def test_behind_a_trusted_proxy_each_address_counts_for_itself(
    app: httpx.AsyncClient, settings: Settings
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    statuses = []
    for chain in ("203.0.113.1", "203.0.113.2", "198.51.100.7, 203.0.113.1"):
        response = await app.post(TOKEN, json={"username": "owner", "password": "wrong"},
                                  headers={"X-Forwarded-For": chain})  # fmt: skip
        statuses.append(response.status_code)
    assert statuses == [401, 401, 429], "only the last address is the proxy's own word"


# Rotation and the end of a family


async def test_a_refresh_token_buys_the_next_pair_and_both_access_tokens_are_good(app: httpx.AsyncClient) -> None:
    first = await sign_in(app)
    response = await app.post(REFRESH, json={"refresh": first["refresh"]})
    second = response.json()
    assert set(second) == {"access", "refresh", "expires_in"}
    assert second["refresh"] != first["refresh"]
    assert [await status_of(app, pair["access"]) for pair in (first, second)] == [200, 200]
    third = await app.post(REFRESH, json={"refresh": second["refresh"]})
    assert third.status_code == 200


async def test_a_refresh_token_used_twice_ends_the_whole_family_at_once(app: httpx.AsyncClient) -> None:
    first, other = await sign_in(app), await sign_in(app)
    second = (await app.post(REFRESH, json={"refresh": first["refresh"]})).json()
    assert_refused(await app.post(REFRESH, json={"refresh": first["refresh"]}), 401, "UNAUTHENTICATED")
    assert [await status_of(app, pair["access"]) for pair in (first, second)] == [401, 401]
    assert_refused(await app.post(REFRESH, json={"refresh": second["refresh"]}), 401, "UNAUTHENTICATED")
    assert await status_of(app, other["access"]) == 200, "another device's family stands"


async def test_of_two_who_use_a_refresh_token_at_once_at_most_one_gets_a_pair(app: httpx.AsyncClient) -> None:
    pair = await sign_in(app)
    responses = await asyncio.gather(*(app.post(REFRESH, json={"refresh": pair["refresh"]}) for _ in range(4)))
    assert sorted(response.status_code for response in responses) == [200, 401, 401, 401]
    assert await status_of(app, pair["access"]) == 401


@pytest.mark.parametrize("with_a", ["refresh", "bearer"])
async def test_a_revoke_ends_the_family_at_once_and_again_is_well(app: httpx.AsyncClient, with_a: str) -> None:
    pair, other = await sign_in(app), await sign_in(app)
    arguments: dict[str, Any] = (
        {"json": {"refresh": pair["refresh"]}} if with_a == "refresh" else {"headers": by(pair["access"])}
    )
    for _ in range(2):
        assert (await app.post(REVOKE, **arguments)).status_code == 204
    assert await status_of(app, pair["access"]) == 401
    assert_refused(await app.post(REFRESH, json={"refresh": pair["refresh"]}), 401, "UNAUTHENTICATED")
    assert await status_of(app, other["access"]) == 200


async def test_a_revoke_of_nothing_is_refused(app: httpx.AsyncClient) -> None:
    assert_refused(await app.post(REVOKE), 401, "UNAUTHENTICATED")


async def test_a_new_password_ends_every_token(app: httpx.AsyncClient, owner: User) -> None:
    pair = await sign_in(app)
    owner.set_password("another-horse-battery")
    await owner.asave()
    assert await status_of(app, pair["access"]) == 401
    assert_refused(await app.post(REFRESH, json={"refresh": pair["refresh"]}), 401, "UNAUTHENTICATED")


# What is no token


async def test_a_forged_foreign_or_misused_token_is_refused(app: httpx.AsyncClient) -> None:
    pair = await sign_in(app)
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    key = django_settings.SECRET_KEY
    bad = {
        "a refresh token as access token": pair["refresh"],
        "another key": jwt.encode(claims, "k" * 40, algorithm="HS256"),
        "no signature": jwt.encode(claims, None, algorithm="none"),
        "expired": jwt.encode({**claims, "exp": int(time.time()) - 10}, key, algorithm="HS256"),
        "somebody else's": jwt.encode({**claims, "sub": "0" * 32}, key, algorithm="HS256"),
        "no session": jwt.encode({**claims, "sid": "AAAA"}, key, algorithm="HS256"),
        "too long": pair["access"] + "x" * 10_000,
        "garbage": "a.b.c",
        "empty": "",
    }
    for what, token in bad.items():
        assert await status_of(app, token) == 401, what
    assert_refused(await app.post(REFRESH, json={"refresh": pair["access"]}), 401, "UNAUTHENTICATED")
    assert await status_of(app, pair["access"]) == 200


async def test_no_sign_in_is_401_in_the_usual_shape(app: httpx.AsyncClient) -> None:
    assert_refused(await app.get(ME), 401, "UNAUTHENTICATED")


# Identities, as the sockets use them


async def test_a_browsers_session_is_an_identity_until_it_ends(app: httpx.AsyncClient, owner: User) -> None:
    identities = runtime.current().identities
    browser = Client()
    await sync_to_async(browser.force_login)(owner)
    key = browser.cookies[django_settings.SESSION_COOKIE_NAME].value
    identity = await identities.by_session(key)
    assert identity is not None
    assert (identity.user, identity.username, identity.via) == (owner.id, "owner", "session")
    assert await identities.still_valid(identity)
    response = await app.get(ME, headers={"Cookie": f"{django_settings.SESSION_COOKIE_NAME}={key}"})
    assert response.json()["username"] == "owner"
    await sync_to_async(browser.logout)()
    assert not await identities.still_valid(identity)
    assert await identities.by_session(key) is None


async def test_an_expired_session_is_none(app: httpx.AsyncClient, owner: User) -> None:
    identities = runtime.current().identities
    pair = await runtime.current().tokens.sign_in("owner", PASSWORD)
    identity = await identities.by_bearer(pair.access)
    assert identity is not None
    await Session.objects.filter(pk=identity.session_key).aupdate(expire_date=timezone.now())
    assert await identities.by_bearer(pair.access) is None
    assert not await identities.still_valid(identity)


@pytest.mark.parametrize("key", ["", "x", "\x00" * 32, "A" * 32, "a" * 5000, "' OR 1=1 --", "é" * 32])
async def test_what_can_be_no_session_key_is_none(app: httpx.AsyncClient, key: str) -> None:
    assert await runtime.current().identities.by_session(key) is None
