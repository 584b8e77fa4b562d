"""The Go relay, upstream and load generator, built from the sources in the folder that BENCH_RELAYS names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.settings import RESULTS

SOURCES = ("load", "upstream", "peers/gorelay")
BINARIES = RESULTS / ".bin"


class GoTools(NamedTuple):
    """The programs' files."""

    load: Path
    upstream: Path
    relay: Path


def build(sources: Path) -> GoTools:
    """Raises RuntimeError, in a sentence, where they cannot be built: a run that was asked to compare must not pass
    without. Go keeps what it has built: the second time takes a moment."""
    absent = [name for name in (*SOURCES, "go.mod") if not (sources / name).exists()]
    if absent:
        raise RuntimeError(f"BENCH_RELAYS={sources}: no {', '.join(absent)} in it")
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("BENCH_RELAYS is set, but there is no `go` to build the relays with")
    BINARIES.mkdir(parents=True, exist_ok=True)
    command = [go, "build", "-buildvcs=false", "-o", f"{BINARIES}/", *(f"./{name}" for name in SOURCES)]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the Go relays cannot be built:\n{done.stderr}")
    return GoTools(BINARIES / "load", BINARIES / "upstream", BINARIES / "gorelay")
