"""The accounts' pages, as a browser goes through them, and its session as the API takes it.

The cast: `owner`, who has an account; a newcomer; and whoever tries without a password.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import httpx
import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.core.cache import cache
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override
from django.views.defaults import permission_denied, server_error
from pytest_django import Settings

from chat.models import User
from tests.conftest import PASSWORD, Server

pytestmark = pytest.mark.django_db(transaction=True)

SIGNED_IN = "_auth_user_id"


@pytest.fixture(autouse=True)
def rates(settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    cache.clear()


@pytest.fixture
def owner(transactional_db: None, make_user: Callable[..., User]) -> User:
    return make_user("owner")


def sign_in(browser: Client, login: str, password: str = PASSWORD) -> bool:
    browser.post(reverse("account_login"), {"login": login, "password": password})
    return SIGNED_IN in browser.session


def sign_up(browser: Client, **changed: str) -> int:
    fields = {"username": "newcomer", "email": "New@Example.com", "password1": PASSWORD, "password2": PASSWORD}
    return browser.post(reverse("account_signup"), {**fields, **changed}).status_code


# In and out


def test_the_chat_sends_to_the_sign_in_and_back() -> None:
    response = Client().get("/")
    assert (response.status_code, response["Location"]) == (302, f"{reverse('account_login')}?next=/")


def test_who_signs_up_is_signed_in_and_stands_in_the_chat() -> None:
    browser = Client()
    response = browser.post(
        reverse("account_signup"),
        {"username": "newcomer", "email": "New@Example.com", "password1": PASSWORD, "password2": PASSWORD},
        follow=True,
    )
    assert response.redirect_chain == [("/", 302)]
    assert response.status_code == 200
    assert browser.session[SIGNED_IN] == str(User.objects.get(username="newcomer").pk)
    assert User.objects.get(username="newcomer").email == "new@example.com"


@pytest.mark.parametrize(
    "changed",
    [
        {"username": "owner"},
        {"username": "OWNER"},
        {"email": "owner@example.com"},
        {"email": "no address"},
        {"password2": "another-horse-battery"},
        {"password1": "12345678", "password2": "12345678"},
        {"password1": "newcomer1", "password2": "newcomer1"},
    ],
)
def test_a_sign_up_that_cannot_be_says_so(owner: User, changed: dict[str, str]) -> None:
    browser = Client()
    assert sign_up(browser, **changed) == 200
    assert SIGNED_IN not in browser.session
    assert User.objects.count() == 1


@pytest.mark.parametrize("login", ["owner", "owner@example.com", "Owner@Example.COM"])
def test_one_signs_in_by_name_or_by_address(owner: User, login: str) -> None:
    assert sign_in(Client(), login)


@pytest.mark.parametrize(("login", "password"), [("owner", "wrong"), ("nobody", PASSWORD), ("owner", "")])
def test_a_wrong_sign_in_stays_on_the_page(owner: User, login: str, password: str) -> None:
    browser = Client()
    assert not sign_in(browser, login, password)
    assert browser.get("/").status_code == 302


def test_an_inactive_account_does_not_get_in(owner: User) -> None:
    User.objects.update(is_active=False)
    assert not sign_in(Client(), "owner")


def test_signing_out_takes_a_post_and_ends_the_session(owner: User) -> None:
    browser = Client()
    browser.force_login(owner)
    assert browser.get(reverse("account_logout")).status_code == 200
    assert SIGNED_IN in browser.session
    browser.post(reverse("account_logout"))
    assert SIGNED_IN not in browser.session
    assert browser.get("/").status_code == 302


def test_a_sign_in_leads_to_no_other_site(owner: User) -> None:
    fields = {"login": "owner", "password": PASSWORD, "next": "https://evil.example/"}
    assert Client().post(reverse("account_login"), fields)["Location"] == "/"


def test_attempts_to_sign_in_are_limited(owner: User, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "3/m/ip"}
    browser = Client()
    for _ in range(3):
        assert not sign_in(browser, "owner", "wrong")
    response = browser.post(reverse("account_login"), {"login": "owner", "password": PASSWORD})
    assert response.status_code == 429
    assert "Too many attempts" in response.content.decode()
    assert SIGNED_IN not in browser.session


# A forgotten password


def link_in_the_last_letter() -> str:
    match = re.search(r"https?://testserver(/\S+)", mail.outbox[-1].body)
    assert match is not None
    return match[1]


def test_a_forgotten_password_is_set_anew_by_mail(owner: User) -> None:
    browser, elsewhere = Client(), Client()
    elsewhere.force_login(owner)
    browser.post(reverse("account_reset_password"), {"email": "owner@example.com"})
    assert [letter.to for letter in mail.outbox] == [["owner@example.com"]]
    link = link_in_the_last_letter()
    form = browser.get(link, follow=True)
    assert b'name="password1"' in form.content
    new = "brand-new-horse-7"
    done = browser.post(form.request["PATH_INFO"], {"password1": new, "password2": new}, follow=True)
    assert "Your password is now changed." in done.content.decode()
    assert elsewhere.get("/").status_code == 302, "whoever knew the old password is out"
    assert not sign_in(Client(), "owner", PASSWORD)
    assert sign_in(Client(), "owner", new)
    again = Client().get(link, follow=True).content.decode()
    assert "not valid any more" in again
    assert 'name="password1"' not in again


def test_a_reset_does_not_tell_whether_there_is_an_account(owner: User) -> None:
    pages = []
    for address in ("owner@example.com", "nobody@example.com"):
        response = Client().post(reverse("account_reset_password"), {"email": address}, follow=True)
        pages.append((response.status_code, re.sub(r'value="[^"]{64}"', "", response.content.decode())))
    assert pages[0] == pages[1]


def test_a_changed_password_ends_the_other_sessions(owner: User) -> None:
    browser, elsewhere = Client(), Client()
    assert sign_in(browser, "owner")
    assert sign_in(elsewhere, "owner")
    new = "brand-new-horse-7"
    browser.post(reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert browser.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302


# The session and the API


async def browser_of(server: Server) -> httpx.AsyncClient:
    """Signed in through the page's own form."""
    client = server.client()
    path = "/accounts/login/"
    await client.get(path)
    fields = {"login": "owner", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    response = await client.post(path, data=fields)
    assert (response.status_code, response.headers["Location"]) == (302, "/")
    return client


async def test_a_form_without_its_token_is_refused(server: Server, owner: User) -> None:
    response = await server.client().post("/accounts/login/", data={"login": "owner", "password": PASSWORD})
    assert response.status_code == 403
    assert "This is not allowed" in response.text


async def test_me_is_the_same_by_session_and_by_token(
    server: Server, owner: User, bearer: Callable[[User], Awaitable[dict[str, str]]]
) -> None:
    by_session = await (await browser_of(server)).get("/api/v1/me")
    by_token = await server.client(await bearer(owner)).get("/api/v1/me")
    assert by_session.status_code == by_token.status_code == 200
    assert by_session.json() == by_token.json()
    assert by_session.json()["id"] == str(owner.id)


async def test_a_session_writes_only_with_its_csrf_token(server: Server, owner: User) -> None:
    browser = await browser_of(server)
    path, body = "/api/v1/conversations", {"title": "mine"}
    for headers in ({}, {"X-CSRFToken": "x" * 32}):
        refused = await browser.post(path, json=body, headers=headers)
        assert refused.status_code == 403
        assert refused.json()["code"] == "FORBIDDEN"
    assert (await browser.get(path)).json()["items"] == []
    taken = await browser.post(path, json=body, headers={"X-CSRFToken": browser.cookies["csrftoken"]})
    assert taken.status_code == 201, taken.text
    assert [item["title"] for item in (await browser.get(path)).json()["items"]] == ["mine"]


async def test_a_token_needs_no_csrf_token(
    server: Server, owner: User, bearer: Callable[[User], Awaitable[dict[str, str]]]
) -> None:
    client = server.client(await bearer(owner))
    assert (await client.post("/api/v1/conversations", json={})).status_code == 201


async def test_a_bad_token_is_not_made_good_by_a_session(server: Server, owner: User) -> None:
    browser = await browser_of(server)
    assert (await browser.get("/api/v1/me", headers={"Authorization": "Bearer a.b.c"})).status_code == 401


async def test_signing_out_ends_the_session_for_the_api(server: Server, owner: User) -> None:
    browser = await browser_of(server)
    kept = dict(browser.cookies)
    await browser.post("/accounts/logout/", data={"csrfmiddlewaretoken": browser.cookies["csrftoken"]})
    cookie = {"Cookie": f"{django_settings.SESSION_COOKIE_NAME}={kept[django_settings.SESSION_COOKIE_NAME]}"}
    assert (await server.client().get("/api/v1/me", headers=cookie)).status_code == 401


# How the pages are made

PAGES = ["account_login", "account_signup", "account_logout", "account_reset_password", "account_reset_password_done",
         "account_reset_password_from_key_done", "account_change_password", "account_email"]  # fmt: skip
OPEN = {"account_login", "account_signup"}


def page(name: str, owner: User, **headers: str) -> str:
    browser = Client(headers=headers)
    if name not in OPEN:
        browser.force_login(owner)
    response = browser.get(reverse(name))
    assert response.status_code == 200
    policy = response["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    return response.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_that_the_content_policy_forbids(owner: User, name: str) -> None:
    html = page(name, owner)
    assert "css/account.css" in html
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*(?:\ssrc=|/json\"))|\son\w+=|javascript:", html)
    for form in re.findall(r"<form.*?</form>", html, re.DOTALL):
        assert "csrfmiddlewaretoken" in form
    for identifier in re.findall(r'<label for="([^"]+)"', html):
        assert f'id="{identifier}"' in html, "a label must lead to its field"


@pytest.mark.parametrize("name", sorted(OPEN | {"account_reset_password", "account_change_password", "account_email"}))
def test_a_form_speaks_the_readers_language(owner: User, name: str) -> None:
    html = page(name, owner, accept_language="zh-hans")
    assert '<html lang="zh-hans"' in html
    labels = re.findall(r"<label for=[^>]*>([^<]+)</label>", html)
    assert labels
    assert any(re.search("[\u4e00-\u9fff]", label) for label in labels)


def test_the_language_is_switched_by_a_button_and_stays(owner: User) -> None:
    browser = Client()
    path = reverse("account_login")
    assert f'<input type="hidden" name="next" value="{path}?next=/">' in browser.get(f"{path}?next=/").content.decode()
    response = browser.post("/i18n/setlang/", {"language": "zh-hans", "next": path})
    assert response["Location"] == path
    assert '<html lang="zh-hans"' in browser.get(path).content.decode()


def test_what_is_not_there_says_so_and_leads_back() -> None:
    response = Client().get("/nowhere")
    assert response.status_code == 404
    assert "There is nothing here" in response.content.decode()
    assert 'href="/"' in response.content.decode()


def test_the_pages_of_errors_can_be_made_without_a_request_of_ours() -> None:
    request = HttpRequest()
    request.META = {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    with override("en"):
        assert "on our side" in server_error(request).content.decode()
        assert "This is not allowed" in permission_denied(request, PermissionError()).content.decode()
