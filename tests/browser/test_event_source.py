"""A browser's own EventSource on a reply: it comes back by itself, misses nothing, and stops at the end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import sign_in
from tests.detour import Detour, detour

__all__ = ["detour"]

pytestmark = pytest.mark.browser

CUTS = 5

LISTEN = """generation => {
  const source = new EventSource(`/api/v1/generations/${generation}/events`);
  const seen = { ids: [], text: '', final: null, opened: 0 };
  Object.assign(window, { source, seen });
  source.onopen = () => { seen.opened += 1; };
  for (const name of ['start', 'message', 'reasoning', 'note', 'snapshot', 'error']) {
    source.addEventListener(name, ({ data, lastEventId }) => {
      if (data === undefined) return;  // an error of the connection, not of the reply
      seen.ids.push(Number(lastEventId));
      const said = JSON.parse(data);
      if (name === 'message' && said.isFinal) seen.final = said;
      else if (name === 'message') seen.text += said.delta;
      else if (name !== 'start') seen.text += `unexpected ${name}`;
    });
  }
}"""


async def test_it_is_cut_five_times_and_gets_each_event_once_to_the_end(
    serve, browser: Browser, detour: Detour
) -> None:
    server = await serve("tokens-3000-20")
    address = await detour.start(server.url)
    context = await sign_in(browser, SimpleNamespace(url=address))  # type: ignore[arg-type]
    page = context.pages[0]
    statuses: list[int] = []
    page.on("response", lambda response: statuses.append(response.status) if "/events" in response.url else None)
    async with await server.client() as client:
        started = await client.post("/chat", json={"message": "hello"}, headers={"Prefer": "respond-async"})
        generation = started.json()["generation"]
        await page.evaluate(LISTEN, generation)
        for number in range(CUTS):
            await until(page, f"seen.opened > {number}")
            await until(page, f"seen.ids.length > {await page.evaluate('seen.ids.length')}")
            await detour.cut()
            await detour.mend()
        await until(page, f"seen.opened > {CUTS}")
        await client.post(f"/generations/{generation}/stop")  # it would take minutes
        await until(page, "source.readyState === EventSource.CLOSED")
        seen: dict[str, Any] = await page.evaluate("seen")
        record = (await client.get(f"/generations/{generation}")).json()
    assert seen["ids"] == list(range(1, record["seq"] + 1))
    assert seen["text"] == seen["final"]["text"] == record["text"]
    assert record["text"] == "".join(f"t{n:06d} " for n in range(1, 3001))[: len(record["text"])]
    assert statuses == [200] * (CUTS + 1) + [204], "204 ends it: a browser does not come back behind that"
    await context.close()


async def until(page: Page, condition: str) -> None:
    """Playwright's own way would need what the page's policy forbids."""
    async with asyncio.timeout(40):
        while True:
            if await page.evaluate(condition):
                return
            await asyncio.sleep(0.05)
