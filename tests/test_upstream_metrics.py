"""`/metrics` of what stands before the upstreams: breakers, queues, keys and kept replies."""

from __future__ import annotations

import asyncio
from typing import Any

from chat.providers.resilience.breaker import FAILURES
from tests.watched_server import ENDLESS, GOOD, reply, running, scrape, until, watched

__all__ = ["watched"]

DOWN = "fault-500"
GUARDED = f"""
[providers.down]
kind = "openai_chat"
base_url = "{{url}}"
api_key = "env:TEST_KEY"
models = ["{DOWN}", "{GOOD}"]
retries = 0

[providers.narrow]
kind = "openai_chat"
base_url = "{{url}}"
api_key = "env:TEST_KEY"
models = ["{ENDLESS}"]
concurrency = 1
queue = 1

[providers.kept]
kind = "openai_chat"
base_url = "{{url}}"
api_key = "env:TEST_KEY"
models = ["{GOOD}"]
cache = "10m"

[providers.keys]
kind = "openai_chat"
base_url = "{{url}}"
api_key = ["env:WRONG_KEY", "env:TEST_KEY"]
models = ["{GOOD}"]
"""
OFF: dict[str, Any] = {"CHAT_SEND_RATE": "off", "CHAT_STREAMS_PER_USER": "off"}


async def test_breakers_keys_and_kept_replies_are_shown(watched: Any) -> None:
    server = await watched(more=GUARDED, WRONG_KEY="wrong", **OFF)
    before = await scrape(server)
    down, fine = {"provider": "down", "model": DOWN}, {"provider": "down", "model": GOOD}
    assert before("chat_upstream_breaker_state", **down) == 0, "there before it first opens"
    assert before("chat_reply_cache_hits_total", provider="kept") == 0
    assert before("chat_upstream_keys_resting", provider="keys") == 0

    async with await server.client() as client:
        for _ in range(FAILURES):
            await reply(client, DOWN, "down")
        assert (await reply(client, GOOD, "keys"))["status"] == "completed"
        first, second = [await reply(client, GOOD, "kept", params={"temperature": 0}) for _ in range(2)]
        assert first["usage"] == second["usage"]
        assert [note["note"] for note in second["notes"]] == ["cached"]

    after = await until(server, lambda scraped: scraped("chat_reply_cache_hits_total", provider="kept") == 1)
    assert after("chat_reply_cache_misses_total", provider="kept") == 1
    kept = {"provider": "kept", "model": GOOD}
    assert after("chat_generations_total", status="completed", **kept) == 2
    assert after("chat_first_token_seconds_count", **kept) == 1, "nobody was asked the second time"
    assert after("chat_tokens_total", direction="in", **kept) == first["usage"]["input_tokens"]
    assert after("chat_tokens_total", direction="out", **kept) == first["usage"]["output_tokens"]
    assert after("chat_upstream_keys_resting", provider="keys") == 1
    assert after("chat_upstream_breaker_state", **down) == 2
    assert after("chat_upstream_breaker_state", **fine) == 0, "each model for itself"
    assert after("chat_event_loop_tasks") > 0


async def test_who_runs_who_waits_and_who_was_refused_is_shown(watched: Any) -> None:
    server = await watched(more=GUARDED, WRONG_KEY="wrong", **OFF)
    narrow = {"provider": "narrow"}
    send = {"message": "hello", "model": ENDLESS, **narrow}
    async with await server.client() as client:
        async with running(client, ENDLESS, "narrow"):
            answer = await client.post("/chat", json=send, headers={"Prefer": "respond-async"})
            waits = answer.json()["generation"]
            await until(server, lambda scraped: scraped("chat_upstream_waiting", **narrow) == 1)
            await reply(client, ENDLESS, "narrow")
            during = await until(server, lambda scraped: scraped("chat_upstream_queue_refusals_total", **narrow) == 1)
            assert during("chat_upstream_running", **narrow) == 1
        await until(server, lambda scraped: scraped("chat_upstream_waiting", **narrow) == 0)
        assert (await scrape(server))("chat_upstream_running", **narrow) == 1, "the next has its turn"
        assert (await client.post(f"/generations/{waits}/stop")).json()["status"] == "cancelled"
        await until(server, lambda scraped: scraped("chat_upstream_running", **narrow) == 0)


async def test_the_tasks_of_the_loop_go_with_what_they_were_for(watched: Any) -> None:
    server = await watched(**OFF)

    async def tasks() -> float:
        await asyncio.sleep(1.5)  # they are looked at once a second
        return (await scrape(server))("chat_event_loop_tasks")

    async with await server.client() as client:
        before = await tasks()
        async with running(client, ENDLESS):
            await until(server, lambda scraped: scraped("chat_event_loop_tasks") > before)
    await until(server, lambda scraped: scraped("chat_event_loop_tasks") <= before)
