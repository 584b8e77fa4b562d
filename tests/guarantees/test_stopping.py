"""Stop works from any connection, closes the upstream first, keeps the text, and a second stop changes nothing."""

from __future__ import annotations

import asyncio
import json
import time

import pytest


@pytest.mark.parametrize("upstream", ["sse", "websocket"])
@pytest.mark.parametrize("by", ["http", "websocket"])
async def test_stop_from_another_connection_closes_the_upstream_before_the_terminal_event(
    serve, upstreams, upstream, by
) -> None:
    server = await serve("tokens-2000-50")
    simulator = getattr(upstreams, upstream)
    async with await server.client() as client, await server.socket() as reader, await server.socket() as other:
        await reader.send(json.dumps({"type": "send", "ref": 1, "message": "hello", "provider": upstream}))
        text, generation = "", None
        while True:
            frame = json.loads(await reader.recv())
            arrived = time.monotonic()
            if frame["type"] == "accepted":
                generation = frame["generation"]
            if frame["type"] == "message" and not frame["isFinal"]:
                text += frame["delta"]
                if frame["seq"] == 20:
                    if by == "http":
                        stopping = asyncio.ensure_future(client.post(f"/generations/{generation}/stop"))
                    else:
                        await other.send(json.dumps({"type": "stop", "generation": generation}))
            if frame["type"] == "message" and frame["isFinal"]:
                break
        assert frame["finish_reason"] == "cancelled"
        assert frame["text"] == text != ""
        (record,) = simulator.connections
        for _ in range(100):
            if record.closed is not None:
                break
            await asyncio.sleep(0.01)
        assert record.closed is not None
        assert record.closed - arrived < 0.1, "the simulator saw its socket closed no later than the reader its end"
        if by == "http":
            assert (await stopping).json()["status"] == "cancelled"
        before = (await client.get(f"/generations/{generation}")).json()
        again = await client.post(f"/generations/{generation}/stop")
        assert again.status_code == 200
        assert again.json() == before
        assert (before["status"], before["text"], before["seq"]) == ("cancelled", text, frame["seq"])


async def test_stop_at_once_and_stop_of_a_silent_upstream(serve) -> None:
    server = await serve("fault-silence", "tokens-2000-50")
    async with await server.client() as client:
        for model in ("fault-silence", "tokens-2000-50"):
            send = {"message": "hello", "model": model}
            started = await client.post("/chat", json=send, headers={"Prefer": "respond-async"})
            stopped = await client.post(f"/generations/{started.json()['generation']}/stop")
            assert stopped.json()["status"] == "cancelled"
            assert stopped.json()["finish_reason"] == "cancelled"


async def test_pause_holds_the_text_and_resume_goes_on_without_a_gap(serve) -> None:
    server = await serve("tokens-100-50")
    async with await server.client() as client, await server.socket() as socket:
        await socket.send(json.dumps({"type": "send", "message": "hello"}))
        seqs: list[int] = []
        text = ""
        while True:
            frame = json.loads(await socket.recv())
            if "seq" not in frame:
                continue
            seqs.append(frame["seq"])
            if frame["type"] == "message" and not frame["isFinal"]:
                text += frame["delta"]
            if frame["seq"] == 10:
                paused = (await client.post(f"/generations/{frame['generation']}/pause")).json()
                assert paused["status"] == "paused"
                # What was on its way when the pause began may still come; then there is silence.
                for _ in range(3):
                    held = (await client.get(f"/generations/{frame['generation']}")).json()
                    await asyncio.sleep(0.3)
                later = (await client.get(f"/generations/{frame['generation']}")).json()
                assert later["seq"] == held["seq"]
                resumed = (await client.post(f"/generations/{frame['generation']}/resume")).json()
                assert resumed["status"] == "streaming"
            if frame["type"] == "message" and frame["isFinal"]:
                break
        assert seqs == list(range(1, len(seqs) + 1))
        assert frame["text"] == text == "".join(f"t{n:06d} " for n in range(1, 101))


async def test_without_readers_a_generation_goes_on_by_default_and_stops_where_that_is_asked_for(serve) -> None:
    patient = await serve("tokens-60-40")
    strict = await serve("tokens-2000-40", CHAT_ON_DISCONNECT="stop", CHAT_DISCONNECT_GRACE_SECONDS="0.5")
    for server, status in ((patient, "completed"), (strict, "cancelled")):
        async with await server.client() as client:
            async with client.stream("POST", "/chat", json={"message": "hello"}) as answer:
                generation = answer.headers["x-generation-id"]
                async for _ in answer.aiter_raw():
                    break
            for _ in range(100):
                record = (await client.get(f"/generations/{generation}")).json()
                if record["status"] not in ("queued", "streaming"):
                    break
                await asyncio.sleep(0.1)
            assert record["status"] == status
