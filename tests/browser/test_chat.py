"""The chat page in a real browser: what a person sees."""

from __future__ import annotations

import asyncio
import itertools
import json
import re

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.conftest import send, sign_in
from tests.chat_server import ChatServer

pytestmark = pytest.mark.browser

STATES = 10
"""Growing states of the text to be seen before the last."""


def last_answer(page: Page) -> Locator:
    return page.locator("[data-testid=message][data-role=assistant]").last


async def grow(answer: Locator, enough: int) -> list[str]:
    """The different texts that are seen while the answer grows."""
    text = answer.get_by_test_id("message-text")
    states: list[str] = []
    while len(states) < enough:
        now = (await text.inner_text()).strip()
        if now and (not states or now != states[-1]):
            states.append(now)
        await asyncio.sleep(0.03)
    return states


async def generation_of(server: ChatServer, answer: Locator) -> dict[str, object]:
    generation = await answer.get_attribute("data-generation")
    async with await server.client() as client:
        record: dict[str, object] = (await client.get(f"/generations/{generation}")).json()
    return record


async def choose(page: Page, transport: str, upstream: str, model: str) -> None:
    await page.get_by_test_id(f"transport-{transport}").check(force=True)
    await page.get_by_test_id("model-menu").select_option(f"{upstream}/{model}")


@pytest.mark.parametrize("upstream", ["sse", "websocket"])
@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_all_four_pairs_stream(serve, browser: Browser, transport: str, upstream: str) -> None:
    server = await serve("tokens-80-25")
    context = await sign_in(browser, server)
    page = context.pages[0]
    await choose(page, transport, upstream, "tokens-80-25")
    await send(page, "Please count")
    answer = last_answer(page)
    states = await grow(answer, STATES + 1)
    for before, after in itertools.pairwise(states):
        assert after.startswith(before)
        assert len(after) > len(before)
    await expect(answer).to_have_attribute("data-status", "completed", timeout=15_000)
    named = {"ws": "websocket", "sse": "sse"}[transport]
    await expect(answer.get_by_test_id("shown-transport")).to_have_attribute("data-value", named)
    await expect(answer.get_by_test_id("shown-upstream")).to_have_attribute("data-value", upstream)
    record = await generation_of(server, answer)
    shown = (await answer.get_by_test_id("message-text").inner_text()).strip()
    assert shown == str(record["text"]).strip() == " ".join(f"t{n:06d}" for n in range(1, 81))
    assert (record["status"], record["upstream"]) == ("completed", upstream)
    await context.close()


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_reload_in_mid_reply_goes_on_without_a_seam(serve, browser: Browser, transport: str) -> None:
    server = await serve("tokens-120-25")
    context = await sign_in(browser, server)
    page = context.pages[0]
    await choose(page, transport, "sse", "tokens-120-25")
    await send(page, "Please count")
    await grow(last_answer(page), 5)
    await page.wait_for_url(re.compile(r"/c/"))
    await page.reload()
    second = await context.new_page()
    await second.goto(page.url)
    for tab in (page, second):
        await expect(last_answer(tab)).to_have_attribute("data-status", "completed", timeout=20_000)
        shown = (await last_answer(tab).get_by_test_id("message-text").inner_text()).strip()
        assert shown == " ".join(f"t{n:06d}" for n in range(1, 121))
        assert await tab.locator("[data-testid=message]").count() == 2
    await context.close()


async def test_stop_stands_in_the_place_of_send_and_keeps_the_text(serve, browser: Browser) -> None:
    server = await serve("tokens-2000-25")
    context = await sign_in(browser, server)
    page = context.pages[0]
    await send(page, "Please count")
    await grow(last_answer(page), 3)
    await expect(page.get_by_test_id("send")).to_be_hidden()
    await page.get_by_test_id("stop").click()
    answer = last_answer(page)
    await expect(answer).to_have_attribute("data-status", "cancelled")
    await expect(page.get_by_test_id("stop")).to_be_hidden()
    record = await generation_of(server, answer)
    assert (await answer.get_by_test_id("message-text").inner_text()).strip() == str(record["text"]).strip() != ""
    await context.close()


async def test_a_failure_is_told_in_the_message_and_can_be_tried_again(serve, browser: Browser) -> None:
    server = await serve("fault-500-x1")
    context = await sign_in(browser, server)
    page = context.pages[0]
    await send(page, "Hello")
    answer = last_answer(page)
    await expect(answer.get_by_test_id("error")).to_be_visible()
    await answer.get_by_test_id("retry").click()
    await expect(last_answer(page)).to_have_attribute("data-status", "completed", timeout=20_000)
    await expect(last_answer(page).get_by_test_id("error")).to_have_count(0)
    await context.close()


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_a_killed_server_leaves_the_text_and_a_way_to_go_on(serve, browser: Browser, transport: str) -> None:
    server = await serve("tokens-100-25")
    context = await sign_in(browser, server)
    page = context.pages[0]
    await choose(page, transport, "websocket", "tokens-100-25")
    await send(page, "Please count")
    await grow(last_answer(page), 40)
    server.kill()
    await server.start()
    answer = last_answer(page)
    await expect(answer).to_have_attribute("data-status", "interrupted", timeout=40_000)
    record = await generation_of(server, answer)
    assert record["status"] == "interrupted"
    assert (await answer.get_by_test_id("message-text").inner_text()).strip() == str(record["text"]).strip() != ""
    await answer.get_by_test_id("continue").click()
    await expect(last_answer(page)).to_have_attribute("data-status", "completed", timeout=30_000)
    shown = (await last_answer(page).get_by_test_id("message-text").inner_text()).strip()
    assert shown.startswith(str(record["text"]).strip())
    assert shown.endswith("t000100")
    await context.close()


async def test_what_an_upstream_says_is_text_and_never_a_program(serve, browser: Browser) -> None:
    server = await serve("echo")
    context = await sign_in(browser, server)
    page = context.pages[0]
    complaints: list[str] = []
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    await send(page, "<img src=x onerror=alert(1)><script>alert(2)</script> **bold** [x](javascript:alert(3))")
    answer = last_answer(page)
    await expect(answer).to_have_attribute("data-status", "completed", timeout=15_000)
    await expect(answer.locator("strong")).to_have_text("bold")
    assert await answer.locator("script, [onerror], a[href^='javascript']").count() == 0
    assert complaints == []
    await context.close()


async def test_the_page_speaks_chinese_and_fits_a_phone(serve, browser: Browser) -> None:
    server = await serve("echo")
    context = await sign_in(
        browser, server, locale="zh-CN", viewport={"width": 390, "height": 844}, color_scheme="dark"
    )
    page = context.pages[0]
    assert await page.locator("html").get_attribute("lang") == "zh-hans"
    await send(page, "你好,世界")
    answer = last_answer(page)
    await expect(answer).to_have_attribute("data-status", "completed", timeout=15_000)
    assert (await answer.get_by_test_id("message-text").inner_text()).strip() == "你好,世界"
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    words = await page.locator("body").inner_text()
    assert "Send" not in words
    await context.close()


async def test_a_stranger_does_not_see_the_conversation(serve, browser: Browser) -> None:
    server = await serve("echo")
    async with await server.client() as client:
        done = await client.post("/chat", json={"message": "a secret"}, headers={"Accept": "application/json"})
    conversation = json.loads(done.text)["conversation"]
    context = await sign_in(browser, server, "stranger")
    page = context.pages[0]
    await page.goto(f"/c/{conversation}")
    await page.wait_for_timeout(1000)
    assert "a secret" not in await page.locator("body").inner_text()
    await context.close()
