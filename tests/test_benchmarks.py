"""The benchmarks run, for real and very small; and what they judge by is right. How fast anything is, is not asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks import (
    cancel_delay,
    cases,
    chart,
    held_streams,
    limits,
    ratios,
    settings,
    stop_delay,
    tables,
    transactions,
    workers,
)
from benchmarks.case import CannotMeasure, Outcome, Quantity
from benchmarks.job import Report
from benchmarks.measurement import Figures, Run, figures
from benchmarks.model_name import Plan, name_of, plan_of
from benchmarks.results import Results, collect
from benchmarks.stage import SERVER
from benchmarks.workload import Workload
from tests.upstreams.rigs import RIGS

ROOT = Path(__file__).resolve().parent.parent
STREAMS, TOKENS = 10, 20
ROWS_OF_A_REPLY = 4
"""Conversation, question, answer, generation."""
SVG = "{http://www.w3.org/2000/svg}"


def small_run(results: Path, *names: str) -> tuple[Results, str]:
    """What these cases leave behind, and what they print."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DJANGO_SETTINGS_MODULE", "LOG_FORMAT") and not name.startswith("BENCH_")
    }
    environment |= {
        "BENCH_STREAMS": str(STREAMS),
        "BENCH_TOKENS": str(TOKENS),
        "BENCH_RATE": "100",
        "BENCH_RAMP": "0.1",
        "BENCH_RESULTS": str(results),
    }
    command = [sys.executable, "-m", "benchmarks", *names]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = msgspec.json.decode((results / "latest.json").read_bytes(), type=Results)
    # Not what it took: other tests run beside this one.
    assert found.breaks() == []
    assert done.returncode == bool(found.faults())
    return found, done.stdout


def test_a_small_run_leaves_its_files_and_no_stream_has_a_fault(tmp_path: Path) -> None:
    results, printed = small_run(tmp_path, "paced")
    assert [(each.case, each.server) for each in results.figures] == [("paced", "ours"), ("paced", "Starlette relay")]
    for each in results.figures:
        assert each.success == 1
        assert [(run.load.good, run.load.tokens, run.load.problems) for run in each.runs] == [
            (STREAMS, STREAMS * TOKENS, {})
        ]

    table = (tmp_path / "latest.md").read_text()
    assert results.machine["commit"] in table
    assert results.tables() in table
    assert results.tables() in printed

    picture = ElementTree.fromstring((tmp_path / "latest.svg").read_text())
    assert picture.tag == f"{SVG}svg"
    assert {"ours", "Starlette relay"} <= {text.text for text in picture.iter(f"{SVG}text")}


@pytest.mark.redis
@pytest.mark.postgres
def test_two_workers_serve_each_others_replies_and_every_part_is_told(tmp_path: Path) -> None:
    results, _ = small_run(tmp_path, "redis-other", "redis-traffic")
    (ours,) = results.figures
    (run,) = ours.runs
    assert (run.load.good, run.load.tokens, run.load.problems) == (STREAMS, STREAMS * TOKENS, {})
    assert list(run.parts) == [SERVER, workers.OTHER_WORKER, workers.REDIS, workers.POSTGRESQL]
    assert ours.cpu_us_per_token == pytest.approx(sum(run.parts.values()) - run.parts[workers.POSTGRESQL])
    values = {each.name: each.value for each in results.quantities if each.case == "redis-traffic"}
    assert values["Redis, in, a token"] > 0
    assert values["Redis, out, a token"] > 0
    assert values["PostgreSQL, rows written for a reply"] >= ROWS_OF_A_REPLY


@pytest.mark.redis
@pytest.mark.postgres
def test_stops_at_the_other_worker_are_timed(tmp_path: Path) -> None:
    results, printed = small_run(tmp_path, "stop")
    assert f"{STREAMS} stops" in printed
    values = {each.name: each.value for each in results.quantities}
    assert 0 < values[f"{stop_delay.STOP}, p50"] <= values[stop_delay.STOP_P95] <= values[f"{stop_delay.STOP}, p99"]


def test_cancelled_replies_are_timed_at_every_upstream(tmp_path: Path) -> None:
    results, printed = small_run(tmp_path, "cancel")
    values = {each.name: each.value for each in results.quantities}
    for name in RIGS:
        assert f"{name}, {STREAMS} cancelled" in printed
        assert 0 <= values[f"{name}, p50"] <= values[f"{name}, p99"] <= values[f"{name}, most"]
    assert values[cancel_delay.SLOWEST_P99] == max(values[f"{name}, p99"] for name in RIGS)


# What is judged


def measured(case: str, server: str, cpu: float, *, good: int = 10, problems: dict[str, int] | None = None) -> Figures:
    report = Report(
        streams=10,
        good=good,
        tokens=100,
        events=50,
        first_token_ms_p50=3.0,
        first_token_ms_p99=9.0,
        delay_ms_p50=25.0,
        delay_ms_p99=60.0,
        seconds=8.0,
        problems=problems or {},
    )
    return figures(case, server, [Run(cpu_us_per_token=cpu, load=report)])


def judged(*measurements: Figures, failures: tuple[str, ...] = ()) -> Results:
    return collect([Outcome(list(measurements))], list(failures), 1, "python")


def test_figures_are_the_medians_of_the_runs() -> None:
    runs = [run for cpu in (40.0, 20.0, 30.0) for run in measured("paced", "ours", cpu).runs]
    assert figures("paced", "ours", runs).cpu_us_per_token == 30


def test_a_ratio_is_to_the_peer_of_the_same_case() -> None:
    found = ratios.ratios(
        [
            measured("paced", "ours", 30),
            measured("paced", "Go relay", 20),
            measured("paced", "Starlette relay", 100),
            measured("tls", "ours", 40),
            measured("tls", "Starlette relay, TLS", 160),
        ]
    )
    assert found == [
        Quantity("paced", ratios.TO_GO, 1.5),
        Quantity("paced", ratios.TO_STARLETTE, 0.3),
        Quantity("tls", ratios.TO_STARLETTE, 0.25),
    ]


def test_the_scale_needs_both_crowds() -> None:
    few, many = measured("streams-100", "ours", 20), measured("streams-1000", "ours", 25)
    assert ratios.ratios([few]) == ratios.ratios([many]) == []
    assert ratios.ratios([few, many]) == [Quantity("streams-1000", ratios.SCALE, 1.25)]


def test_what_is_over_its_limit_is_a_fault_and_what_is_at_it_is_none() -> None:
    assert judged(measured("paced", "ours", 26), measured("paced", "Go relay", 20)).faults() == []
    (fault,) = judged(measured("paced", "ours", 27), measured("paced", "Go relay", 20)).faults()
    assert "1.35" in fault
    assert "1.3 at most" in fault


def test_a_peer_that_is_not_there_is_not_judged() -> None:
    assert judged(measured("paced", "ours", 900)).faults() == []


def test_the_starlette_relay_judges_with_and_without_the_go_relay() -> None:
    pair = measured("websocket", "ours", 60), measured("websocket", "Starlette relay", 100)
    assert len(judged(*pair).faults()) == 1
    assert len(judged(*pair, measured("websocket", "Go relay", 50)).faults()) == 1


def test_a_stream_with_a_fault_is_a_fault_whoever_served_it() -> None:
    (fault,) = judged(measured("paced", "Go relay", 20, good=9, problems={"the connection broke": 1})).faults()
    assert "90.0%" in fault
    assert "the connection broke" in fault


def test_a_case_that_could_not_be_measured_is_a_fault() -> None:
    assert judged(failures=("transactions: no counter",)).faults() == ["transactions: no counter"]


def test_a_percentile_is_one_of_the_values() -> None:
    hundred = [float(number) for number in range(100, 0, -1)]
    assert [stop_delay.percentile(hundred, part) for part in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert stop_delay.percentile([7.0], 0.5) == stop_delay.percentile([7.0], 0.99) == 7


def test_a_crowd_is_held_without_fault_and_in_time() -> None:
    def crowd(streams: int, delay: float, good: int) -> Figures:
        return msgspec.structs.replace(measured("workers", "ours", 30, good=good), streams=streams, delay_ms_p99=delay)

    assert held_streams.held([crowd(1000, 120, 10), crowd(1500, 299, 10), crowd(2000, 301, 10)]) == 1500
    assert held_streams.held([crowd(1000, 120, 10), crowd(1500, 200, 9)]) == 1000
    assert held_streams.held([crowd(1000, 300, 10)]) == 0


def test_every_limit_is_about_a_case_that_there_is() -> None:
    assert {limit.case for limit in limits.LIMITS} <= cases.CASES.keys()


def test_the_table_says_which_limits_were_kept() -> None:
    kept = tables.of_quantities([Quantity("memory", "memory of a stream", 60.5, "KB")])
    missed = tables.of_quantities([Quantity("memory", "memory of a stream", 75, "KB")])
    assert "60.5 KB" in kept
    assert "yes" in kept
    assert "NO" in missed


def test_a_chart_is_xml_even_without_figures_and_with_odd_names() -> None:
    for drawn in ([], [measured("a < b & c", "ours", 0.0)]):
        assert ElementTree.fromstring(chart.svg(drawn, "commit <dirty> & more")).tag == f"{SVG}svg"


# What is asked for


def test_cases_are_chosen_by_name_in_the_order_of_the_table() -> None:
    assert tuple(case.name for case in cases.chosen([])) == cases.DEFAULT
    assert [case.name for case in cases.chosen(["tls", "paced"])] == ["paced", "tls"]
    assert len(cases.chosen(["all"])) == len(cases.CASES)
    with pytest.raises(ValueError, match="pacd"):
        cases.chosen(["pacd"])


def test_the_environment_changes_a_workload_but_no_full_speed_and_no_fixed_crowd() -> None:
    asked = settings.from_environment({"BENCH_STREAMS": "5", "BENCH_TOKENS": "7", "BENCH_RATE": "50"})
    assert Workload(500, Plan(200, 25), 2.0).as_asked(asked) == Workload(5, Plan(7, 50), 2.0)
    assert Workload(100, Plan(2000, 0), 0.5).as_asked(asked) == Workload(5, Plan(7, 0), 0.5)
    assert Workload(1000, Plan(200, 25), 2.0, fixed=True).as_asked(asked).streams == 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [("BENCH_REPEAT", "0"), ("BENCH_STREAMS", "many"), ("BENCH_SERVER", "apache"), ("BENCH_LOAD", "go")],
)
def test_what_cannot_be_meant_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        settings.from_environment({name: value})


@pytest.mark.parametrize("plan", [Plan(200, 25), Plan(50, 0), Plan(1, 25, held_seconds=8)])
def test_a_models_name_holds_its_plan(plan: Plan) -> None:
    assert plan_of(name_of(plan)) == plan


def test_a_counter_is_summed_over_its_labels() -> None:
    metrics = '# HELP chat_x_total x\nchat_x_total{kind="a b"} 2.0\nchat_x_total{kind="c"} 3 1700000000\nchat_y 9\n'
    assert transactions.total(metrics, "chat_x_total") == 5
    with pytest.raises(CannotMeasure, match="chat_z_total"):
        transactions.total(metrics, "chat_z_total")
