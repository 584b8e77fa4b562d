"""The load generators: the one held here, and the Go one. Each is a process of its own on the harness's core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Protocol

import msgspec

from benchmarks.job import Job, Report
from benchmarks.process import HARNESS_CORE, ROOT, on_core


class UnderWay(Protocol):
    def report(self) -> Report:
        """Waits for the last stream. Raises RuntimeError where the generator itself failed."""


class Generator(Protocol):
    users: int
    """How many users' tokens it can share out."""

    def begin(self, job: Job) -> UnderWay:
        """Starts the load and returns at once."""


class PythonLoad:
    """It checks the text that the last event repeats, too."""

    users = 25

    def begin(self, job: Job) -> UnderWay:
        return _PythonLoadUnderWay(_started([sys.executable, "-m", "benchmarks.load"], msgspec.json.encode(job)))


class _PythonLoadUnderWay:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def report(self) -> Report:
        return msgspec.json.decode(_output(self._process), type=Report)


class GoLoad:
    """It takes the same headers for all streams: they are one user's."""

    users = 1

    def __init__(self, program: Path) -> None:
        self._program = program

    def begin(self, job: Job) -> UnderWay:
        options = {
            "-url": job.url,
            "-body": msgspec.json.encode(job.body).decode(),
            "-n": job.streams,
            "-tokens": job.tokens,
            "-ramp": f"{job.ramp_seconds}s",
            "-timeout": f"{job.timeout_seconds}s",
            "-done": '"isFinal":true',
        }
        headers = [f"-H=Authorization: Bearer {bearer}" for bearer in job.bearers[:1]]
        words = [f"{name}={value}" for name, value in options.items()]
        return _GoLoadUnderWay(_started([str(self._program), "-allow-echo", *words, *headers]))


class _GoLine(msgspec.Struct):
    """Of the line that it prints, what is used here."""

    n: int
    ok: int
    tokens: int
    events_per_token: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    lat_p50_ms: float
    lat_p99_ms: float
    wall_s: float
    errors: dict[str, int] = {}


class _GoLoadUnderWay:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def report(self) -> Report:
        line = msgspec.json.decode(_output(self._process), type=_GoLine)
        return Report(
            streams=line.n,
            good=line.ok,
            tokens=line.tokens,
            events=round(line.events_per_token * line.tokens),
            first_token_ms_p50=line.ttft_p50_ms,
            first_token_ms_p99=line.ttft_p99_ms,
            delay_ms_p50=line.lat_p50_ms,
            delay_ms_p99=line.lat_p99_ms,
            seconds=line.wall_s,
            problems=line.errors,
        )


def _started(command: list[str], said: bytes = b"") -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=on_core(HARNESS_CORE)
    )
    assert process.stdin is not None
    process.stdin.write(said)  # less than a pipe holds
    process.stdin.close()
    return process


def _output(process: subprocess.Popen[bytes]) -> bytes:
    try:
        assert process.stdout is not None
        output = process.stdout.read()
        code = process.wait()
    except BaseException:  # Ctrl-C: no load outlives the benchmark
        process.kill()
        process.wait()
        raise
    if code:
        raise RuntimeError(f"the load generator ended with {code}: {output.decode(errors='replace')}")
    return output
