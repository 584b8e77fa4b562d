"""The providers' page of the admin in a real browser: a check says that it runs, and where its result is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.conftest import sign_in
from tests.chat_server import ChatServer
from tests.guarantees.conftest import SECRETS, Upstreams
from tests.server_database import ServerDatabase

pytestmark = pytest.mark.browser

PROVIDER = """
[providers.p{number}]
label = "Provider {number}"
kind = "openai_chat"
base_url = "{url}"
api_key = "env:TEST_KEY"
models = ["tokens-3000-20"]
"""
GRANT = """
from django.contrib.auth.models import Permission
from chat.models import User
rights = Permission.objects.filter(codename__in=["view_providerswitch", "change_providerswitch"])
User.objects.get(username="staff").user_permissions.set(rights)
"""
CLICKED = """button => new Promise((done) => {
  button.click();
  setTimeout(() => done([button.textContent, button.disabled]));
})"""
COUNT = 8
"""Of the providers: the last is far below the page's beginning."""


@pytest_asyncio.fixture
async def server(tmp_path: Path, prepared_database: ServerDatabase, upstreams: Upstreams) -> AsyncIterator[ChatServer]:
    server = ChatServer(tmp_path, SECRETS)
    tables = (PROVIDER.format(number=number, url=upstreams.sse.url) for number in range(COUNT))
    server.declare("".join(tables))
    server.prepare(prepared_database)
    server.manage("shell", "-v0", "-c", GRANT)
    await server.start()
    yield server
    server.close()


async def test_a_check_says_that_it_asks_and_comes_back_to_its_provider(server: ChatServer, browser: Browser) -> None:
    context = await sign_in(browser, server, "staff")
    page = context.pages[0]
    await page.goto("/admin/providers/")
    section = page.locator(f"#provider-p{COUNT - 1}")
    # In one call: the next one would wait for the page that follows.
    button = section.get_by_role("button", name="Check")
    assert await button.evaluate(CLICKED) == ["Asking …", True]
    result = section.get_by_role("status")
    await expect(result).to_contain_text("not waited for", timeout=20_000)
    await expect(result).to_be_in_viewport()
    await expect(section.get_by_role("button", name="Check")).to_be_enabled()
    await context.close()
