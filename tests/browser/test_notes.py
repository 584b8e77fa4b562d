"""What stands beside a reply's text, in a real browser: the wait for a free place, and who answered with what."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.conftest import send, sign_in
from tests.browser.test_chat import choose, generation_of, grow, last_answer
from tests.chat_server import ChatServer
from tests.guarantees.conftest import SECRETS, Upstreams
from tests.server_database import ServerDatabase

pytestmark = pytest.mark.browser

PROVIDERS = """
[providers.qwen]
label = "Qwen"
kind = "openai_chat"
base_url = "{url}"
api_key = "env:TEST_KEY"
models = [{{ id = "echo", label = "Qwen Plus" }}, "fault-cut", "fault-filtered"]
retries = 0

[providers.deepseek]
label = "DeepSeek"
kind = "openai_chat"
base_url = "{url}"
api_key = "env:TEST_KEY"
models = ["fault-500"]
retries = 0
fallback = ["qwen"]

[providers.busy]
label = "Busy"
kind = "openai_chat"
base_url = "{url}"
api_key = "env:TEST_KEY"
models = ["tokens-3000-20"]
concurrency = 1

[providers.forgetful]
label = "Forgetful"
kind = "openai_chat"
base_url = "{url}"
api_key = "env:TEST_KEY"
models = [{{ id = "echo", label = "Echo", context = 32 }}]
cache = "10m"
"""

PHONE = {"viewport": {"width": 390, "height": 844}}


@pytest_asyncio.fixture
async def server(tmp_path: Path, prepared_database: ServerDatabase, upstreams: Upstreams) -> AsyncIterator[ChatServer]:
    server = ChatServer(tmp_path, SECRETS)
    server.declare(PROVIDERS.format(url=upstreams.sse.url))
    server.prepare(prepared_database)
    await server.start()
    yield server
    server.close()


async def picture(page: Page, name: str) -> None:
    """For whoever wants to look: into the directory that BROWSER_PICTURES names."""
    if directory := os.environ.get("BROWSER_PICTURES"):
        await page.screenshot(path=f"{directory}/{name}.png")


def notes_of(answer: Locator) -> Locator:
    return answer.get_by_test_id("notes").locator("li")


async def occupy(server: ChatServer, count: int) -> list[str]:
    """So many replies of another user at the busy upstream, of which one runs; their generations."""
    started = []
    async with await server.client("stranger") as client:
        for _ in range(count):
            body = {"message": "Please count", "provider": "busy"}
            answer = await client.post("/chat", json=body, headers={"Prefer": "respond-async"})
            started.append(answer.json()["generation"])
    return started


async def stop(server: ChatServer, generation: str) -> None:
    async with await server.client("stranger") as client:
        assert (await client.post(f"/generations/{generation}/stop")).status_code == 200


@pytest.mark.parametrize(
    ("transport", "options"),
    [("ws", {}), ("sse", {"locale": "zh-CN", "color_scheme": "dark", **PHONE})],
    ids=["ws", "sse, Chinese, dark, on a phone"],
)
async def test_a_reply_that_waits_says_how_many_are_ahead_until_its_text_comes(
    server: ChatServer, browser: Browser, transport: str, options: dict[str, Any]
) -> None:
    one, two = await occupy(server, 2)
    context = await sign_in(browser, server, **options)
    page = context.pages[0]
    await choose(page, transport, "busy", "tokens-3000-20")
    await send(page, "Please count")
    answer = last_answer(page)
    ahead = "您前面还有 1 个" if options else "1 ahead of you"
    following = "下一个就是您" if options else "you are next"
    await expect(answer.get_by_test_id("progress")).to_contain_text(ahead)
    await expect(page.locator("#announcer")).to_contain_text(ahead)
    await expect(answer).to_have_attribute("data-status", "queued")
    await picture(page, f"waiting-{transport}")
    assert await page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    await page.reload()
    answer = last_answer(page)
    await expect(answer.get_by_test_id("progress")).to_contain_text(ahead)
    await asyncio.sleep(1.1)  # a place is not told more often
    await stop(server, two)
    await expect(answer.get_by_test_id("progress")).to_contain_text(following)
    await stop(server, one)
    await grow(answer, 2)
    await expect(answer.get_by_test_id("progress")).not_to_contain_text(following)
    await expect(notes_of(answer)).to_have_count(0)
    await page.get_by_test_id("stop").click()
    await expect(answer).to_have_attribute("data-status", "cancelled")
    await context.close()


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_who_answered_in_anothers_place_is_said_and_still_after_a_reload(
    server: ChatServer, browser: Browser, transport: str
) -> None:
    context = await sign_in(browser, server)
    page = context.pages[0]
    await choose(page, transport, "deepseek", "fault-500")
    await send(page, "Hello")
    answer = last_answer(page)
    await expect(answer).to_have_attribute("data-status", "completed", timeout=20_000)
    await expect(notes_of(answer)).to_have_text(["Answered by Qwen — Qwen Plus: DeepSeek was not available."])
    await expect(answer.locator("[data-part=model]")).to_have_text("Qwen — Qwen Plus")
    await picture(page, f"fallback-{transport}")
    await page.reload()
    answer = last_answer(page)
    await expect(notes_of(answer)).to_contain_text(["Answered by Qwen — Qwen Plus: "])
    await context.close()


async def test_what_was_left_out_and_an_answer_from_before_are_said_in_both_languages(
    server: ChatServer, browser: Browser
) -> None:
    asked = {"message": "Hello there", "provider": "forgetful", "params": {"temperature": 0}}
    async with await server.client() as client:
        accept = {"Accept": "application/json"}
        conversations = [(await client.post("/chat", json=asked, headers=accept)).json() for _ in range(2)]
        assert conversations[0]["message"]["notes"] == []
        more = {**asked, "message": "And now? " * 40, "conversation": conversations[1]["conversation"]}
        trimmed = (await client.post("/chat", json=more, headers=accept)).json()
    assert trimmed["message"]["notes"] == [{"note": "trimmed", "details": {"left_out": 2}}]
    for language, left_out, earlier in (("en", "The oldest 2 messages", "earlier"), ("zh-CN", "2 条消息", "前已回答")):
        scheme = "dark" if language == "en" else "light"
        context = await sign_in(browser, server, locale=language, color_scheme=scheme, **PHONE)
        page = context.pages[0]
        await page.goto(f"/c/{trimmed['conversation']}")
        answers = page.locator("[data-testid=message][data-role=assistant]")
        await expect(notes_of(answers.nth(0))).to_contain_text([earlier])
        await expect(notes_of(answers.nth(1))).to_contain_text([left_out])
        await picture(page, f"left-out-{language}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await context.close()


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_reply_that_broke_off_keeps_its_text_and_offers_to_go_on(
    server: ChatServer, browser: Browser, transport: str
) -> None:
    context = await sign_in(browser, server)
    page = context.pages[0]
    await choose(page, transport, "qwen", "fault-cut")
    await send(page, "Hello")
    for again in (False, True):
        answer = last_answer(page)
        await expect(answer).to_have_attribute("data-status", "failed", timeout=20_000)
        await expect(answer.get_by_test_id("error")).to_contain_text("What has arrived is kept; you can continue.")
        shown = (await answer.get_by_test_id("message-text").inner_text()).strip()
        assert shown == "Some words came through"
        await expect(answer.get_by_test_id("continue")).to_be_visible()
        await expect(answer.get_by_test_id("retry")).to_be_visible()
        if not again:
            await picture(page, f"broken-off-{transport}")
            await page.reload()
    before = await generation_of(server, answer)
    await answer.get_by_test_id("continue").click()
    await expect(answer).not_to_have_attribute("data-generation", str(before["id"]))
    await expect(answer).to_have_attribute("data-status", "failed", timeout=20_000)
    shown = (await answer.get_by_test_id("message-text").inner_text()).strip()
    assert shown == "Some words came through Some words came through"
    await context.close()


async def test_what_was_refused_is_not_offered_to_go_on(server: ChatServer, browser: Browser) -> None:
    context = await sign_in(browser, server)
    page = context.pages[0]
    await choose(page, "ws", "qwen", "fault-filtered")
    await send(page, "Hello")
    answer = last_answer(page)
    await expect(answer.get_by_test_id("retry")).to_be_visible()
    await expect(answer.get_by_test_id("continue")).to_have_count(0)
    await context.close()
