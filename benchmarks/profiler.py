"""Records what our server does during a run: py-spy draws a flame graph, perf keeps its data for `perf report`."""

from __future__ import annotations

import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.settings import Settings

STOP_SECONDS = 60.0


def program(name: str) -> str:
    """Its file. Raises RuntimeError, in a sentence, where it is not installed."""
    beside_python = Path(sys.executable).parent / name
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if found is None:
        raise RuntimeError(f"BENCH_PROFILE={name}: {name} is not installed")
    return found


@contextmanager
def recording(settings: Settings, pid: int, case: str) -> Iterator[None]:
    """Inside, the process is recorded; a file named by the case is left in the results."""
    assert settings.profile is not None
    settings.results.mkdir(parents=True, exist_ok=True)
    if settings.profile == "py-spy":
        file = settings.results / f"{case}.svg"
        options = ["record", "--output", str(file), "--rate", "250", "--pid", str(pid)]
    else:
        file = settings.results / f"{case}.perf.data"
        options = ["record", "-g", "--freq", "499", "--output", str(file), "--pid", str(pid)]
        if sys.version_info < (3, 12):
            print(f"Python {platform.python_version()} has no names of its functions for perf: 3.12 has", flush=True)
    log = file.with_suffix(".log")
    with log.open("wb") as words:
        recorder = subprocess.Popen(
            [program(settings.profile), *options], stdin=subprocess.DEVNULL, stdout=words, stderr=words
        )
    try:
        yield
    finally:
        recorder.send_signal(signal.SIGINT)  # both write their file then
        try:
            recorder.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            recorder.kill()
            recorder.wait()
    if not file.exists():
        raise RuntimeError(f"{settings.profile} has recorded nothing:\n{log.read_text(errors='replace')}")
    print(f"{case}: recorded in {file}", flush=True)
