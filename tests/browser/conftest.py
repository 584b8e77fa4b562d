"""A real Chromium against a real server, with users that are signed in through the sign-in page."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.chat_server import PASSWORD, ChatServer
from tests.guarantees.conftest import serve, upstreams

__all__ = ["serve", "upstreams"]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


async def sign_in(browser: Browser, server: ChatServer, user: str = "owner", **options: Any) -> BrowserContext:
    """A browser of its own for a user, signed in, on the chat page."""
    context = await browser.new_context(base_url=server.url, **options)
    page = await context.new_page()
    await page.goto("/")
    await page.fill("input[name=login]", user)
    await page.fill("input[name=password]", PASSWORD)
    await page.press("input[name=password]", "Enter")
    await expect(page.get_by_test_id("composer-input")).to_be_enabled(timeout=15_000)
    return context


async def send(page: Page, text: str) -> None:
    await page.get_by_test_id("composer-input").fill(text)
    await page.get_by_test_id("send").click()
