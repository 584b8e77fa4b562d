"""A page of another site in a real browser, with a token of its own; and the API's documentation as a page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.conftest import sign_in

pytestmark = pytest.mark.browser

PAGE = b"<!doctype html><title>Another site</title>"

ASK = """async ({ url, socketUrl, token }) => {
  const headers = { Authorization: token, 'Content-Type': 'application/json', 'Idempotency-Key': 'k' };
  headers['X-Stainless-Lang'] = 'js';
  const body = JSON.stringify({ message: 'hello' });
  const socket = await new Promise((done) => {
    const socket = new WebSocket(socketUrl, ['chat.v1', `bearer.${token.split(' ')[1]}`]);
    socket.onopen = () => socket.send('{"type":"ping"}');
    socket.onmessage = ({ data }) => done(JSON.parse(data).type);
    socket.onclose = ({ code }) => done(code);
  });
  try {
    const answer = await fetch(url + '/chat', { method: 'POST', headers, body });
    const text = await answer.text();
    return { socket, id: answer.headers.get('X-Generation-Id'), final: text.includes('"isFinal":true') };
  } catch (error) {
    return { socket, refused: error.name };
  }
}"""


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Callable[[], Any]]:
    """`await site()`: the address of a web site that is none of ours."""
    servers: list[asyncio.Server] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(head % len(PAGE) + PAGE)
        await writer.drain()
        writer.close()

    async def start() -> str:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_listed_site_chats_with_its_token_and_another_one_gets_nothing(
    serve: Callable[..., Any], site: Callable[[], Any], browser: Browser
) -> None:
    listed, other = await site(), await site()
    server = await serve("tokens-5-0", CHAT_CORS_ORIGINS=listed)
    inputs = {
        "url": f"{server.url}/api/v1",
        "socketUrl": f"ws://127.0.0.1:{server.port}/ws/chat/",
        "token": (await server.headers())["Authorization"],
    }
    page = await browser.new_page()
    await page.goto(listed)
    told = await page.evaluate(ASK, inputs)
    assert (told["socket"], told["final"]) == ("pong", True)
    async with await server.client() as client:
        assert (await client.get(f"/generations/{told['id']}")).json()["status"] == "completed"
    await page.goto(other)
    assert await page.evaluate(ASK, inputs) == {"socket": 4403, "refused": "TypeError"}

    # The documentation: its policy stops none of it, and who is signed in may try the API there.
    page = (await sign_in(browser, server)).pages[0]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto("/swagger/")
    create = page.locator("#operations-conversations-conversations_create")
    await create.locator(".opblock-summary-control").click()
    await create.locator(".try-out__btn").click()
    await create.locator(".execute").click()
    await create.locator(".live-responses-table .response-col_status").get_by_text("201").wait_for()
    assert complaints == []
    assert all(url.startswith((server.url, "data:", "blob:")) for url in asked)
