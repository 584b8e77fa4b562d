"""The alert rules and the dashboard: they ask for what there is, and the alerts come and go when they should."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.chat_server import ROOT, ChatServer
from tests.detour import Detour, detour
from tests.prometheus import WINDOW, Prometheus, hastened, program
from tests.watched_server import (
    BAD,
    ENDLESS,
    GOOD,
    SLOW,
    reply,
    running,
    scrape,
    until,
    watched,
)

__all__ = ["detour", "watched"]

RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = ROOT / "deploy/grafana/chat.json"
OF_PROMETHEUS = frozenset({"instance", "job"})
"""Labels that every scraped series gets."""


@pytest_asyncio.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Callable[[ChatServer], Any]]:
    """`await prometheus(server)`: scrapes it, under the rules."""
    started: list[Prometheus] = []

    async def start(server: ChatServer) -> Prometheus:
        directory = tmp_path / "prometheus"
        directory.mkdir()
        one = Prometheus(directory, hastened(RULES.read_text()), f"127.0.0.1:{server.port}")
        started.append(one)
        await one.start()
        return one

    yield start
    for one in started:
        one.stop()


# What they ask for

METRIC = re.compile(r"\bchat_[a-z_]+")
SELECTOR = re.compile(r"\b(chat_[a-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"[^\"]*\"")
GROUPING = re.compile(r"\bby \(([^)]*)\)")


def grouping(expression: str) -> set[str]:
    return {label.strip() for labels in GROUPING.findall(expression) for label in labels.split(",")}


def asked_for(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of an expression, with the labels that it is selected and grouped by."""
    grouped = grouping(expression)
    selected = {name: set(MATCHER.findall(matchers)) for name, matchers in SELECTOR.findall(expression)}
    for name in METRIC.findall(expression):
        yield name, grouped | selected.get(name, set())


def panel_targets() -> list[dict[str, str]]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target for panel in panels for target in panel.get("targets", ())]


async def test_the_rules_and_the_dashboard_ask_for_what_is_there(watched: Any, prometheus: Any) -> None:
    server = await watched()
    async with await server.client() as client:
        await reply(client, GOOD)
        await reply(client, BAD)
        async with running(client, ENDLESS):
            pass
    asked = await prometheus(server)
    there = (await scrape(server)).labels()
    rules = await asked.rules()
    assert len(rules) == RULES.read_text().count("- alert:")
    expressions = [rule["query"] for rule in rules] + [target["expr"] for target in panel_targets()]
    for expression in expressions:
        found = list(asked_for(expression))
        assert found or expression == 'up{job="chat"} == 0', expression
        for name, labels in found:
            assert name in there, expression
            assert labels <= there[name] | OF_PROMETHEUS, expression
    for rule in rules:
        assert {"summary", "description", "runbook"} <= rule["annotations"].keys()
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= grouping(rule["query"]) | OF_PROMETHEUS
    for target in panel_targets():
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouping(target["expr"]), target
    shown = {name for target in panel_targets() for name in METRIC.findall(target["expr"])}
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in there}
    assert {re.sub(r"_bucket$", "", name) for name in shown} == bare, "all that there is, is shown"

    # What Prometheus makes of each panel, with its variables as Grafana fills them in.
    async def scraped_twice() -> bool:
        return bool(await asked.query(f"count_over_time(chat_generations_live[{WINDOW}]) >= 3"))

    await asked.until(scraped_twice)
    for target in panel_targets():
        expression = re.sub(r"\$(instance|provider|model)\b", ".*", target["expr"].replace("$__rate_interval", WINDOW))
        assert await asked.query(expression), expression


def test_the_dashboard_is_one() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["targets"]
    used = set(re.findall(r"\$([a-z]+)\b", " ".join(target["expr"] for target in panel_targets())))
    assert used == variables.keys() - {"datasource"}


# When they fire: Prometheus's own tool, with series that are made up, and the rules as they are


def histogram(name: str, bound: str, within: int, labels: str) -> dict[str, str]:
    """A hundred observations a scrape, so many of them within the bound."""
    return {
        f'{name}_bucket{{{labels},le="{bound}"}}': f"0+{within}x60",
        f'{name}_bucket{{{labels},le="30.0"}}': "0+100x60",
        f'{name}_bucket{{{labels},le="+Inf"}}': "0+100x60",
    }


def ended(completed: int, cancelled: int, failed: int) -> dict[str, str]:
    counts = {"completed": completed, "cancelled": cancelled, "failed": failed}
    return {f'chat_generations_total{{status="{status}"}}': f"0+{count}x60" for status, count in counts.items()}


def streams(sse: int, websocket: int) -> dict[str, str]:
    counts = {"sse": sse, "websocket": websocket}
    return {f'chat_streams_open{{transport="{transport}"}}': f"{count}x60" for transport, count in counts.items()}


MODEL = 'provider="one",model="first"'


@pytest.mark.parametrize(
    ("alert", "series", "fires"),
    [
        ("ChatFirstTokenSlow", histogram("chat_first_token_seconds", "1.0", 94, MODEL), True),
        ("ChatFirstTokenSlow", histogram("chat_first_token_seconds", "1.0", 96, MODEL), False),
        ("ChatEventGapLong", histogram("chat_event_gap_seconds", "0.2", 94, 'provider="one"'), True),
        ("ChatEventGapLong", histogram("chat_event_gap_seconds", "0.2", 96, 'provider="one"'), False),
        ("ChatRepliesFail", ended(90, 4, 6), True),
        ("ChatRepliesFail", ended(90, 6, 4), False),
        ("ChatRepliesFail", ended(0, 0, 1), True),
        ("ChatRepliesFail", ended(0, 0, 0), False),
        ("ChatManyStreams", streams(1000, 501), True),
        ("ChatManyStreams", streams(1000, 500), False),
        ("ChatServerAway", {'up{job="chat",instance="one"}': "0x60"}, True),
        ("ChatServerAway", {'up{job="chat",instance="one"}': "1x60"}, False),
        ("ChatLogAway", {'chat_log_open{instance="one"}': "0x60"}, True),
        ("ChatLogAway", {'chat_log_open{instance="one"}': "1x60"}, False),
        ("ChatUpstreamOut", {f"chat_upstream_breaker_state{{{MODEL}}}": "2x20 1x4 2x36"}, True),
        ("ChatUpstreamOut", {f"chat_upstream_breaker_state{{{MODEL}}}": "2x40 0x20"}, False),
        ("ChatLoopLags", {'chat_loop_lag_seconds{instance="one"}': "0.3x60"}, True),
        ("ChatLoopLags", {'chat_loop_lag_seconds{instance="one"}': "0.2x60"}, False),
        ("ChatReadersDropped", {"chat_readers_dropped_total": "0+2x60"}, True),
        ("ChatReadersDropped", {"chat_readers_dropped_total": "0+1x60"}, False),
    ],
)
def test_an_alert_fires_past_its_threshold_and_not_before(
    alert: str, series: dict[str, str], fires: bool, tmp_path: Path
) -> None:
    question = {
        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
        "eval_time": "14m",
        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
    }
    case = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [question],
    }
    file = tmp_path / "case.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": [case]}))
    done = subprocess.run([program("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_configuration_is_good() -> None:
    configuration = str(RULES.with_name("prometheus.yml"))
    done = subprocess.run([program("promtool"), "check", "config", configuration], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# The whole way: an upstream that turns slow, and recovers


@contextlib.asynccontextmanager
async def traffic(client: httpx.AsyncClient, model: str) -> AsyncIterator[None]:
    """Replies of this model without a pause, several at once."""

    async def ask() -> None:
        while True:
            assert (await reply(client, model))["status"] == "completed"

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(ask()) for _ in range(4)]
        yield
        for task in asking:
            task.cancel()


async def test_alerts_fire_while_an_upstream_is_slow_and_stop_when_it_is_not(
    watched: Any, prometheus: Any, detour: Detour
) -> None:
    server = await watched(through=detour.start)
    asked = await prometheus(server)
    slowness = {"ChatFirstTokenSlow", "ChatEventGapLong"}

    async def fire() -> bool:
        return slowness <= await asked.firing()

    async def have_stopped() -> bool:
        # Not for want of replies: some have come within the window.
        rate = (
            f"sum(rate(chat_event_gap_seconds_count[{WINDOW}])) > 0 and sum(rate(chat_generations_total[{WINDOW}])) > 0"
        )
        return not slowness & await asked.firing() and bool(await asked.query(rate))

    async with await server.client() as client:
        async with traffic(client, GOOD):
            await asked.until(have_stopped)
        detour.delay = 1.3
        async with traffic(client, SLOW):
            await asked.until(fire)
        assert "ChatRepliesFail" not in await asked.firing(), "slow is not broken"
        detour.delay = 0.0
        async with traffic(client, GOOD):
            await asked.until(have_stopped)
    assert {rule["health"] for rule in await asked.rules()} == {"ok"}
    await until(server, lambda scraped: scraped("chat_generations_live") == 0)
