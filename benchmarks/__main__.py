"""`python -m benchmarks`: what a token costs this project's server, as a ratio to a plain relay, in one run.

The environment: BENCH_REPEAT, runs of each case (1); BENCH_STREAMS (200), BENCH_TOKENS of each (200), BENCH_RATE a
second (25); BENCH_SERVER, `uvicorn` or `daphne`. Ends with 1 where a ratio or a stream is not as it should be.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks import measurement
from benchmarks.load import Job
from benchmarks.measurement import Figures, Run
from benchmarks.model_name import Plan, name_of
from benchmarks.process import HARNESS_CORE, ListeningProcess, free_port
from benchmarks.results import collect
from benchmarks.servers import ChatServer, starlette_relay

REPEAT = int(os.environ.get("BENCH_REPEAT", "1"))
STREAMS = int(os.environ.get("BENCH_STREAMS", "200"))
PACED = Plan(int(os.environ.get("BENCH_TOKENS", "200")), int(os.environ.get("BENCH_RATE", "25")))
SERVER = os.environ.get("BENCH_SERVER", "uvicorn")
RAMP_SECONDS = 2.0

WARM_UP = Plan(50, 0)
WARM_UP_STREAMS = 25
WARM_UP_RAMP_SECONDS = 0.5


@dataclass(frozen=True)
class Case:
    name: str
    url: str
    server: ListeningProcess
    bearers: list[str] = field(default_factory=list)

    def job(self, plan: Plan, streams: int) -> Job:
        body = {"message": "hello", "model": name_of(plan)}
        return Job(
            url=self.url,
            body={"type": "send", **body} if self.url.startswith("ws:") else body,
            streams=streams,
            tokens=plan.tokens,
            ramp_seconds=RAMP_SECONDS if plan.rate else WARM_UP_RAMP_SECONDS,
            bearers=self.bearers,
        )


def measure(cases: list[Case]) -> list[Figures]:
    """In turns, so that a machine that slows down meanwhile slows down all of them."""
    for case in cases:
        problems = measurement.load(case.job(WARM_UP, WARM_UP_STREAMS)).problems
        if problems:
            raise SystemExit(f"{case.name}: {problems}")
    runs: list[list[Run]] = [[] for _ in cases]
    for number in range(REPEAT):
        for case, its_runs in zip(cases, runs, strict=True):
            run = measurement.measured(case.job(PACED, STREAMS), case.server.pid)
            print(f"{case.name}, run {number + 1} of {REPEAT}: {run.cpu_us_per_token:.1f} µs a token", flush=True)
            its_runs.append(run)
    return [measurement.figures(case.name, its_runs) for case, its_runs in zip(cases, runs, strict=True)]


def main() -> int:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chat-benchmark-")))
        port = free_port()
        log = directory / "upstream.log"
        stack.enter_context(ListeningProcess(["-m", "benchmarks.upstream", str(port)], port, HARNESS_CORE, log))
        upstream = f"http://127.0.0.1:{port}/v1"

        chat_server = ChatServer(directory, upstream, (name_of(PACED), name_of(WARM_UP)), SERVER)
        chat_server.prepare()
        server = stack.enter_context(chat_server.process())
        relay = stack.enter_context(starlette_relay(directory, upstream))
        bearers = chat_server.sign_in(server.port)
        here = f"127.0.0.1:{server.port}"
        *ours, peer = measure(
            [
                Case(f"ours over SSE, {SERVER}", f"http://{here}/api/v1/chat", server, bearers),
                Case(f"ours over WebSocket, {SERVER}", f"ws://{here}/ws/chat/", server, bearers),
                Case("Starlette + httpx relay", f"http://127.0.0.1:{relay.port}/chat", relay),
            ]
        )

    results = collect(ours, peer)
    results.save()
    print(f"\n{results.table()}\n")
    for fault in results.faults():
        print(fault, file=sys.stderr)
    print(msgspec.json.encode({figures.case: round(results.ratio(figures), 3) for figures in ours}).decode())
    return 1 if results.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
