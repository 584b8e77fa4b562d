"""`python -m benchmarks`: what a token costs this project's server, as a ratio to a plain relay, in one run.

The environment: BENCH_REPEAT, runs of each case (1); BENCH_STREAMS (200), BENCH_TOKENS of each (200), BENCH_RATE a
second (25); BENCH_SERVER, `uvicorn` or `daphne`. Ends with 1 where a ratio or a stream is not as it should be.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks import measurement
from benchmarks.load import Job
from benchmarks.measurement import Figures
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


def job(url: str, plan: Plan, streams: int, bearers: list[str], *, frame: bool) -> Job:
    body = {"message": "hello", "model": name_of(plan)}
    return Job(
        url=url,
        body={"type": "send", **body} if frame else body,
        streams=streams,
        tokens=plan.tokens,
        ramp_seconds=RAMP_SECONDS if plan.rate else 0.5,
        bearers=bearers,
    )


def measure(case: str, url: str, server: ListeningProcess, bearers: list[str] | None = None) -> Figures:
    frame = url.startswith("ws:")
    warm_up = measurement.load(job(url, WARM_UP, WARM_UP_STREAMS, bearers or [], frame=frame))
    if warm_up.problems:
        raise SystemExit(f"{case}: {warm_up.problems}")
    runs = []
    for number in range(REPEAT):
        run = measurement.measured(job(url, PACED, STREAMS, bearers or [], frame=frame), server.pid)
        print(f"{case}, run {number + 1} of {REPEAT}: {run.cpu_us_per_token:.1f} µs a token", flush=True)
        runs.append(run)
    return measurement.figures(case, runs)


def main() -> int:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chat-benchmark-")))
        port = free_port()
        log = directory / "upstream.log"
        stack.enter_context(ListeningProcess(["-m", "benchmarks.upstream", str(port)], port, HARNESS_CORE, log))
        upstream = f"http://127.0.0.1:{port}/v1"

        chat_server = ChatServer(directory, upstream, (name_of(PACED), name_of(WARM_UP)), SERVER)
        chat_server.prepare()
        with chat_server.process() as server:
            chat_server.sign_in(server.port)
            here = f"127.0.0.1:{server.port}"
            ours = [
                measure(f"ours over SSE, {SERVER}", f"http://{here}/api/v1/chat", server, chat_server.bearers),
                measure(f"ours over WebSocket, {SERVER}", f"ws://{here}/ws/chat/", server, chat_server.bearers),
            ]
        with starlette_relay(directory, upstream) as server:
            peer = measure("Starlette + httpx relay", f"http://127.0.0.1:{server.port}/chat", server)

    results = collect(ours, peer)
    results.save()
    print(f"\n{results.table()}\n")
    for fault in results.faults():
        print(fault, file=sys.stderr)
    print(msgspec.json.encode({figures.case: round(results.ratio(figures), 3) for figures in ours}).decode())
    return 1 if results.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
