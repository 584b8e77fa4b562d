"""`/metrics`: what a server counts of what it does, of one process and of several, and who may read it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.checks import run_checks
from pytest_django import Settings
from websockets.exceptions import ConnectionClosed

from tests.conftest import Server
from tests.log_lines import line
from tests.watched_server import (
    BAD,
    ENDLESS,
    GOOD,
    LARGE,
    RECOVERS,
    SILENT,
    Scraped,
    reply,
    running,
    scrape,
    until,
    watched,
)

__all__ = ["watched"]

COUNTED = "chat_generations_total"


def at_rest(scraped: Scraped) -> bool:
    gauges = ("chat_generations_live", "chat_database_writes_waiting")
    return not any(map(scraped, gauges)) and scraped("chat_streams_open", transport="sse") == 0


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_every_metric_has_the_value_of_what_has_happened(watched: Any, kind: str) -> None:
    server = await watched(kind, CHAT_STALL_SECONDS="1")

    before = await until(server, lambda scraped: scraped("chat_flush_interval_seconds") > 0)
    assert before(COUNTED, provider="main", model=BAD, status="failed") == 0, "there before it first happens"
    assert before("chat_first_token_seconds_count", provider="main", model=GOOD) == 0

    async with await server.client() as client, await server.socket():
        good = [await reply(client, GOOD), await reply(client, GOOD)]
        await reply(client, BAD)
        async with running(client, RECOVERS):
            pass
        handed_over = await reply(client, "fault-500", "broken")
        assert [one["status"] for one in (*good, handed_over)] == ["completed"] * 3
        async with running(client, ENDLESS):
            during = await until(server, lambda scraped: scraped("chat_streams_open", transport="sse") == 1)
        after = await until(server, at_rest)

    assert during("chat_generations_live") == 1
    assert during("chat_connections_open", transport="sse") == 1
    assert during("chat_connections_open", transport="websocket") == 1
    assert during("chat_streams_open", transport="websocket") == 0
    assert during("chat_log_bytes") > 0

    def ended(provider: str, model: str) -> dict[str, float]:
        statuses = ("completed", "cancelled", "failed", "interrupted")
        counts = {one: after(COUNTED, provider=provider, model=model, status=one) for one in statuses}
        return {status: count for status, count in counts.items() if count}

    main = {"provider": "main"}
    assert ended("main", GOOD) == {"completed": 3}, "two that asked for it, and one that was handed over"
    assert ended("main", BAD) == {"failed": 1}
    assert ended("main", RECOVERS) == {"cancelled": 1}
    assert ended("main", ENDLESS) == {"cancelled": 1}
    assert ended("broken", "fault-500") == {}
    for model, started, answered, over in ((GOOD, 2, 3, 3), (BAD, 1, 0, 1), (RECOVERS, 1, 1, 1), (ENDLESS, 1, 1, 1)):
        assert after("chat_generations_started_total", model=model, **main) == started
        assert after("chat_first_token_seconds_count", model=model, **main) == answered
        assert after("chat_generation_seconds_count", model=model, **main) == over
    assert after("chat_generations_started_total", provider="broken", model="fault-500") == 1
    assert after.has("chat_first_token_seconds_bucket", model=GOOD, le="1.0", **main)
    assert after.has("chat_event_gap_seconds_bucket", le="0.2", **main)
    assert after("chat_event_gap_seconds_count", **main) > 0
    assert after("chat_event_gap_seconds_sum", **main) > 0
    assert after("chat_generation_seconds_sum", model=GOOD, **main) > 0

    usages = [one["usage"] for one in (*good, handed_over)]
    for direction, of in (("in", "input_tokens"), ("out", "output_tokens")):
        counted = after("chat_tokens_total", model=GOOD, direction=direction, **main)
        assert counted == sum(usage[of] for usage in usages) > 0
        assert after("chat_tokens_total", model=BAD, direction=direction, **main) == 0

    assert after("chat_upstream_errors_total", code="UPSTREAM_REJECTED", **main) == 1
    assert after("chat_upstream_errors_total", code="UPSTREAM_UNAVAILABLE", **main) == 1
    assert after("chat_upstream_errors_total", provider="broken", code="UPSTREAM_UNAVAILABLE") == 1
    assert after("chat_upstream_retries_total", **main) == 1
    assert after("chat_upstream_retries_total", provider="broken") == 0
    assert after("chat_upstream_fallbacks_total", **main) == 1

    writes, transactions = after("chat_database_writes_total"), after("chat_database_transactions_total")
    assert writes >= transactions > before("chat_database_transactions_total")
    assert after("chat_loop_lag_seconds") >= 0
    assert after("chat_readers_dropped_total") == 0
    assert not any(name.endswith("_created") for name, _labels in after.series)


async def test_a_reader_that_takes_nothing_is_counted_when_it_is_dropped(watched: Any) -> None:
    server = await watched("daphne", CHAT_STALL_SECONDS="1", CHAT_LOG_BYTES="16MiB")
    narrow = socket.socket()
    # Else the system alone may take a whole reply in.
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", server.port))
    async with await server.socket(max_queue=1, sock=narrow) as stalled:
        await stalled.send(json.dumps({"type": "send", "message": "hello", "provider": "main", "model": LARGE}))
        accepted = json.loads(await stalled.recv())
        assert accepted["type"] == "accepted", accepted
        stalled.transport.pause_reading()
        await until(server, lambda scraped: scraped("chat_readers_dropped_total") == 1)
        stalled.transport.resume_reading()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.wait_for(stalled.recv(), 20)


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_sockets_that_go_in_mid_command_are_forgotten_and_are_no_failure(watched: Any, kind: str) -> None:
    server = await watched(kind, CHAT_PING_SECONDS="1", CHAT_STALL_SECONDS="1", CHAT_STREAMS_PER_USER="off")
    send = json.dumps({"type": "send", "message": "hello", "provider": "main", "model": GOOD})
    for number in range(20):
        async with await server.socket() as leaving:
            await leaving.send(send)
            await asyncio.sleep(number / 2000)  # some go before they are answered, some after
            leaving.transport.abort()
    started = {"provider": "main", "model": GOOD}
    await until(server, lambda scraped: scraped("chat_generations_started_total", **started) > 0 and at_rest(scraped))
    await until(server, lambda scraped: scraped("chat_connections_open", transport="websocket") == 0)
    await asyncio.sleep(3)  # after so long, what is left behind counts as a reader that takes nothing
    assert (await scrape(server))("chat_readers_dropped_total") == 0
    assert "Traceback" not in server.log()


async def test_replies_that_die_with_their_process_are_counted_and_told_of_by_the_next(watched: Any) -> None:
    server = await watched(LOG_FORMAT="json")
    async with await server.client() as client:
        send = {"message": "hello", "provider": "main", "model": ENDLESS}
        answer = await client.post("/chat", json=send, headers={"Prefer": "respond-async"})
        generation = answer.json()["generation"]
        server.kill()
        await server.start()
    after = await scrape(server)
    assert after(COUNTED, provider="main", model=ENDLESS, status="interrupted") == 1
    told = await line(server, "generation", generation=generation)
    assert (told["status"], told["error_code"], told["model"]) == ("interrupted", "INTERRUPTED", ENDLESS)


async def test_who_gives_up_before_the_first_token_has_waited_for_it(watched: Any) -> None:
    server = await watched()
    series = {"provider": "main", "model": SILENT}
    async with await server.client() as client:
        answer = await client.post("/chat", json={"message": "hello", **series}, headers={"Prefer": "respond-async"})
        stopped = await client.post(f"/generations/{answer.json()['generation']}/stop")
        assert stopped.json()["status"] == "cancelled"
    after = await until(server, lambda scraped: scraped(COUNTED, status="cancelled", **series) == 1)
    assert after("chat_first_token_seconds_count", **series) == 1


# Several processes


async def test_several_processes_show_their_sum_and_the_dead_leave_their_counters(watched: Any, tmp_path: Path) -> None:
    files = tmp_path / "metrics"
    files.mkdir()

    async def start(kind: str, tick: str) -> Any:
        clock = dict.fromkeys(("CHAT_TICK_SECONDS", "CHAT_TICK_CROWDED_SECONDS", "CHAT_TICK_STRETCHED_SECONDS"), tick)
        return await watched(kind, PROMETHEUS_MULTIPROC_DIR=str(files), **clock)

    first, second = await start("uvicorn", "0.07"), await start("daphne", "0.04")
    good = {"provider": "main", "model": GOOD}

    def sockets(scraped: Scraped) -> float:
        return scraped("chat_connections_open", transport="websocket")

    async with await first.socket(), await second.socket(), await second.socket():
        async with await first.client() as one, await second.client() as other:
            for client in (one, other, other):
                assert (await reply(client, GOOD))["status"] == "completed"
        seen = [await until(server, lambda scraped: sockets(scraped) == 3) for server in (first, second)]
        for scraped in seen:
            assert scraped(COUNTED, status="completed", **good) == 3
            assert scraped("chat_first_token_seconds_count", **good) == 3
            assert scraped("chat_first_token_seconds_bucket", le="+Inf", **good) == 3
            assert scraped("chat_flush_interval_seconds") == 0.07, "of the two, the longer; not their sum"
        second.kill()
    assert list(files.glob(f"gauge_live*_{second.pid}.db")), "a killed one could not take its gauges out"
    killed = second.pid
    await second.start()
    await until(first, lambda scraped: sockets(scraped) == 0)
    assert not list(files.glob(f"gauge_live*_{killed}.db"))
    async with await first.socket():
        await until(second, lambda scraped: sockets(scraped) == 1)
        first.stop()
    scraped = await until(second, lambda scraped: sockets(scraped) == 0)
    assert not list(files.glob(f"gauge_live*_{first.pid}.db"))
    assert scraped(COUNTED, status="completed", **good) == 3, "what the gone have counted stays"


# Who may read


async def test_a_stranger_behind_the_proxy_finds_nothing(watched: Any) -> None:
    trusting = await watched(CHAT_TRUST_PROXY="1", CHAT_METRICS_ALLOW="127.0.0.1, 10.0.0.0/8")
    await scrape(trusting)
    await scrape(trusting, {"X-Forwarded-For": "203.0.113.9, 10.1.2.3"})
    async with httpx.AsyncClient(base_url=trusting.url) as client:
        unknown = await client.get("/metrics/nothing")
        for forwarded in ("203.0.113.9", "127.0.0.1, 203.0.113.9", "10.1.2.3, 203.0.113.9", "", "nonsense"):
            answer = await client.get("/metrics", headers={"X-Forwarded-For": forwarded})
            assert (answer.status_code, answer.json()) == (404, unknown.json())


LOCAL = ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("trusted", "allowed", "headers", "status"),
    [
        (0, LOCAL, {}, 200),
        (0, ["127.0.0.0/8"], {}, 200),
        (0, ["10.0.0.0/8", "::1"], {}, 404),
        (0, [], {}, 404),
        (0, LOCAL, {"X-Forwarded-For": "127.0.0.1"}, 404),
        (0, LOCAL, {"Forwarded": "for=127.0.0.1"}, 404),
        (0, LOCAL, {"X-Real-IP": "127.0.0.1"}, 404),
        (0, LOCAL, {"Via": "1.1 proxy"}, 404),
        (1, LOCAL, {}, 200),
        (1, LOCAL, {"X-Forwarded-For": "127.0.0.1"}, 200),
        (1, LOCAL, {"X-Forwarded-For": "::ffff:127.0.0.1"}, 200),
        (1, ["2001:db8::/32"], {"X-Forwarded-For": "[2001:db8::7]:4711"}, 200),
        (1, LOCAL, {"X-Forwarded-For": "127.0.0.1, 203.0.113.9"}, 404),
        (1, LOCAL, {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "127.0.0.1"}, 404),
        # Such a proxy does not say whom it saw in the way that is believed.
        (1, LOCAL, {"X-Real-IP": "127.0.0.1"}, 404),
        (1, LOCAL, {"Forwarded": "for=127.0.0.1"}, 404),
        (1, LOCAL, {"X-Forwarded-Proto": "https"}, 404),
    ],
)
async def test_an_address_is_judged_by_what_is_sure(
    server: Server, settings: Settings, trusted: int, allowed: list[str], headers: dict[str, str], status: int
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = trusted
    settings.CHAT_METRICS_ALLOW = allowed
    assert (await server.client().get("/metrics", headers=headers)).status_code == status


@pytest.fixture
def off(settings: Settings) -> None:
    settings.CHAT_METRICS = "off"


async def test_without_metrics_nobody_finds_them(off: None, server: Server) -> None:
    assert (await server.client().get("/metrics")).status_code == 404


# The settings


def found() -> Sequence[str | None]:
    return [message.id for message in run_checks() if message.id in ("chat.E005", "chat.E009")]


def test_settings_that_cannot_be_meant_are_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings.CHAT_METRICS_ALLOW = ["127.0.0.1", "10.0.0.0/8", " ::1"]
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert found() == []
    settings.CHAT_METRICS_ALLOW = ["127.0.0.1", "localhost"]
    assert found() == ["chat.E009"]
    settings.CHAT_METRICS_ALLOW = []
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "absent"))
    assert found() == ["chat.E009"]
    settings.CHAT_METRICS = "off"
    assert found() == []
    settings.CHAT_METRICS = "perhaps"
    assert "chat.E005" in found()
