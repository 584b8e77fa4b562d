"""What a server's death and a server's end leave behind."""

from __future__ import annotations

import asyncio
import json
import signal

import httpx

from tests.chat_server import server_events

RATE = 25
SECONDS_LOST_AT_MOST = 2
"""One between two saves, and one for a slow machine to have done the save."""


async def test_after_sigkill_the_generation_is_interrupted_its_text_kept_and_it_can_go_on(serve) -> None:
    server = await serve(f"tokens-2000-{RATE}", "tokens-10-0")
    seen, cursor = "", 0
    async with await server.client() as client:
        async with client.stream("POST", "/chat", json={"message": "hello"}) as answer:
            generation = answer.headers["x-generation-id"]
            try:
                async for event in server_events(answer):
                    cursor = int(event.id)
                    if event.event == "message":
                        seen += json.loads(event.data)["delta"]
                    if len(seen.split()) >= 4 * RATE and server.process.poll() is None:
                        server.kill()
            except httpx.TransportError:
                pass
        await server.start()
        record = (await client.get(f"/generations/{generation}")).json()
        assert record["status"] == "interrupted", record
        assert record["error"]["code"] == "INTERRUPTED"
        assert record["error"]["retryable"] is True
        kept = record["text"]
        assert seen.startswith(kept)
        assert len(kept.split()) >= (4 - SECONDS_LOST_AT_MOST) * RATE

        for after in (0, cursor):
            url = f"/generations/{generation}/events"
            async with client.stream("GET", url, params={"after": after}) as answer:
                events = [event async for event in server_events(answer)]
            assert [event.event for event in events] == ["snapshot", "error"]
            assert json.loads(events[0].data)["text"] == kept
            assert json.loads(events[1].data)["code"] == "INTERRUPTED"
            assert cursor < int(events[0].id) == int(events[1].id) - 1
            assert int(events[1].id) == record["seq"]

        message = record["message"]
        changed = await client.patch(f"/conversations/{record['conversation']}", json={"model": "tokens-10-0"})
        assert changed.status_code == 200
        more = await client.post(f"/messages/{message}/continue", headers={"Prefer": "respond-async"})
        assert more.status_code == 202, more.text
        assert more.json()["message"] == message
        stopped = await client.post(f"/generations/{more.json()['generation']}/stop")
        messages = (await client.get(f"/conversations/{record['conversation']}/messages")).json()["items"]
        assert messages[-1]["id"] == message
        assert messages[-1]["text"] == kept + stopped.json()["text"]
        # The interrupted generation's own text is still its own.
        assert (await client.get(f"/generations/{generation}")).json()["text"] == kept


async def test_a_drain_refuses_new_work_lets_replies_finish_and_ends_the_rest_with_a_word(serve) -> None:
    for kind in ("daphne", "uvicorn"):
        server = await serve("tokens-60-30", "tokens-2000-30", server=kind, CHAT_DRAIN_SECONDS="4")

        async def read(client: httpx.AsyncClient, model: str) -> tuple[str, dict[str, object]]:
            async with client.stream("POST", "/chat", json={"message": "hello", "model": model}) as answer:
                events = [event async for event in server_events(answer)]
            return events[-1].event, json.loads(events[-1].data)

        async with await server.client() as client, await server.socket() as socket:
            short = asyncio.ensure_future(read(client, "tokens-60-30"))
            long = asyncio.ensure_future(read(client, "tokens-2000-30"))
            await asyncio.sleep(0.7)
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            refused = await client.post("/chat", json={"message": "too late"})
            assert refused.status_code == 503, kind
            assert refused.json()["code"] == "UNAVAILABLE"
            assert int(refused.headers["retry-after"]) > 0
            event, data = await short
            assert (event, data.get("finish_reason")) == ("message", "stop"), kind
            event, data = await long
            assert (event, data["code"]) == ("error", "INTERRUPTED"), kind
            await asyncio.wait_for(socket.wait_closed(), 10)
            assert socket.close_code == 1012, kind
        await asyncio.to_thread(server.process.wait, 30)
        assert server.process.returncode in (0, -signal.SIGTERM), (kind, server.log())
