"""The providers' page of the admin: who may look, who may switch and check, and what they see.

Its server is a real one, inside the test's event loop: the page asks that loop's registry.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from chat import runtime
from chat.models import User
from tests.chat_server import free_port
from tests.conftest import Server

PAGE = "/admin/providers/"
CSRF = "c" * 32
MORE = """
[providers.away]
kind = "openai_chat"
label = "<b>Away</b>"
base_url = "http://127.0.0.1:{free}/v1"
api_key = "none"
models = ["m"]

[providers.slow]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:UPSTREAM_KEY_OF_TESTS"
models = ["tokens-60-10"]

[providers.keyless]
kind = "openai_chat"
base_url = "https://api.keyless.example/v1"
api_key = "env:KEY_THAT_IS_NOT_THERE"
models = ["m"]
"""

SignedIn = Callable[..., httpx.AsyncClient]


@pytest.fixture
def signed_in(server: Server, make_user: Callable[..., User]) -> SignedIn:
    """`signed_in("view_providerswitch")`: staff with these rights, at a browser."""
    people: dict[tuple[str, ...], str] = {}
    for rights in ((), ("view_providerswitch",), ("change_providerswitch",)):
        user = make_user(f"staff-{len(people)}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=rights, content_type__app_label="chat"))
        client = Client()
        client.force_login(user)
        people[rights] = client.cookies["sessionid"].value
    client = Client()
    client.force_login(make_user("stranger"))
    people[("nobody",)] = client.cookies["sessionid"].value

    def browser(*rights: str) -> httpx.AsyncClient:
        browser = server.client({"X-CSRFToken": CSRF})
        browser.cookies.update({"sessionid": people[rights], "csrftoken": CSRF})
        return browser

    return browser


def section(page: str, provider: str) -> str:
    """A provider's part of the page, in one line without marks."""
    found = re.search(rf'<section[^>]* id="provider-{provider}".*?</section>', page, re.DOTALL)
    assert found is not None, page
    return " ".join(re.sub(r"<[^>]*>", " ", found[0]).split())


async def declare_more(tmp_path: Path) -> None:
    """The server's providers, and two more; from its start on."""
    file = tmp_path / "providers.toml"
    text = file.read_text()
    found = re.search(r'base_url = "(.*)"', text)
    assert found is not None
    file.write_text(text + MORE.format(free=free_port(), url=found[1]))
    await runtime.current().close()
    runtime.forget()
    await runtime.current().start()


async def test_strangers_are_sent_to_the_login_and_staff_without_the_right_refused(signed_in: SignedIn) -> None:
    for method in ("GET", "POST"):
        answer = await signed_in("nobody").request(method, PAGE, data={"action": "off", "provider": "simulated"})
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(reverse("admin:login"))
        answer = await signed_in().request(method, PAGE, data={"action": "off", "provider": "simulated"})
        assert answer.status_code == 403
        assert "Your account does not have the right" in answer.text
    assert PAGE not in (await signed_in().get("/admin/")).text
    assert runtime.current().registry.state("simulated") == "ready"


async def test_who_may_look_sees_states_and_reasons_and_no_buttons(signed_in: SignedIn, tmp_path: Path) -> None:
    await declare_more(tmp_path)
    client = signed_in("view_providerswitch")
    page = (await client.get(PAGE)).text
    assert section(page, "simulated").startswith(
        "simulated ready Id simulated Kind openai_chat (sse) Address 127.0.0.1:"
    )
    assert "tokens-3-0 tokens-3000-20" in section(page, "simulated")
    assert "off api_key: the environment variable KEY_THAT_IS_NOT_THERE is not set." in section(page, "keyless")
    assert "&lt;b&gt;Away" in page
    assert "<b>Away" not in page
    assert "<button" not in page.partition('id="provider-simulated"')[2].partition("</section>")[0]
    assert (await client.post(PAGE, data={"action": "off", "provider": "simulated"})).status_code == 403
    assert (await client.post(PAGE, data={"action": "check", "provider": "simulated"})).status_code == 403
    assert runtime.current().registry.state("simulated") == "ready"


async def test_who_may_change_switches_off_and_on(signed_in: SignedIn) -> None:
    client = signed_in("change_providerswitch")
    answer = await client.post(PAGE, data={"action": "off", "provider": "simulated"})
    assert (answer.status_code, answer.headers["location"]) == (302, f"{PAGE}#provider-simulated")
    assert runtime.current().registry.state("simulated") == "off"
    page = (await client.get(PAGE)).text
    assert "switched off; its replies go on." in page
    assert "staff-2 switched it off" in section(page, "simulated")
    assert "Switch on" in section(page, "simulated")
    await client.post(PAGE, data={"action": "on", "provider": "simulated"})
    assert runtime.current().registry.state("simulated") == "ready"
    assert "Switch off" in section((await client.get(PAGE)).text, "simulated")


async def test_a_check_shows_the_answer_or_the_sentence(signed_in: SignedIn, tmp_path: Path) -> None:
    await declare_more(tmp_path)
    client = signed_in("change_providerswitch")
    page = (await client.post(PAGE, data={"action": "check", "provider": "simulated"})).text
    assert "ok tokens-3-0 first token after" in section(page, "simulated")
    assert "“t000001 t000002 t000003”" in section(page, "simulated")
    page = (await client.post(PAGE, data={"action": "check", "provider": "away"})).text
    assert "failed m Nothing listens at 127.0.0.1:" in section(page, "away")
    assert "first token" not in section(page, "simulated")
    assert 'action="#provider-away"' in page, "the browser comes back to the provider that was checked"
    script = re.search(r'src="(/static/chat/admin/provider_checks[^"]*\.js)"', page)
    assert script is not None
    assert 'data-asking="Asking …"' in page


async def test_one_is_checked_at_a_time(signed_in: SignedIn, tmp_path: Path) -> None:
    await declare_more(tmp_path)
    client = signed_in("change_providerswitch")
    check = {"action": "check", "provider": "slow"}
    pages = [answer.text for answer in await asyncio.gather(*(client.post(PAGE, data=check) for _ in range(2)))]
    busy = ["A check is running already" in page for page in pages]
    assert sorted(busy) == [False, True]
    assert ["ok tokens-60-10" in section(page, "slow") for page in pages] == [not one for one in busy]


async def test_a_forged_form_and_a_wrong_one_change_nothing(server: Server, signed_in: SignedIn) -> None:
    client = signed_in("change_providerswitch")
    assert (await client.post(PAGE, data={"action": "off", "provider": "nobody"})).status_code == 404
    assert (await client.post(PAGE, data={"action": "explode", "provider": "simulated"})).status_code == 400
    del client.headers["X-CSRFToken"]
    assert (await client.post(PAGE, data={"action": "off", "provider": "simulated"})).status_code == 403
    assert runtime.current().registry.state("simulated") == "ready"


async def test_the_page_is_linked_for_those_who_may_look(signed_in: SignedIn) -> None:
    for right in ("view_providerswitch", "change_providerswitch"):
        assert f'href="{PAGE}"' in (await signed_in(right).get("/admin/")).text
