"""What the environment says about a run of the benchmarks. No variable has to be there.

| variable | default | what it is |
|---|---|---|
| `BENCH_REPEAT` | 1 | runs of each case; figures are their medians |
| `BENCH_STREAMS` | the case's | streams, but in `streams-…`, whose names say it |
| `BENCH_TOKENS`, `BENCH_RATE` | the case's | tokens of a stream; tokens a second, where it is paced |
| `BENCH_RAMP` | the case's | seconds over which the streams are opened |
| `BENCH_SERVER` | `uvicorn` | what serves ours: `uvicorn` or `daphne` |
| `BENCH_RELAYS` | none | a folder with Go sources: `load/`, `upstream/`, `peers/gorelay/` |
| `BENCH_LOAD` | `go` with BENCH_RELAYS, else `python` | the load generator |
| `BENCH_PROFILE` | none | `py-spy` or `perf`: one further run of ours is recorded, in cases that run in turns |
| `BENCH_RESULTS` | `benchmarks/results` | where the files go |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).resolve().parent / "results"

_WORDS = {"BENCH_SERVER": ("uvicorn", "daphne"), "BENCH_LOAD": ("go", "python"), "BENCH_PROFILE": ("py-spy", "perf")}


class Settings(NamedTuple):
    """None: as the case has it, or not wanted."""

    repeat: int = 1
    streams: int | None = None
    tokens: int | None = None
    rate: int | None = None
    ramp_seconds: float | None = None
    server: str = "uvicorn"
    relays: Path | None = None
    load: str = "python"
    profile: str | None = None
    results: Path = RESULTS


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises ValueError, in a sentence, for what cannot be meant."""
    given = {name: value for name, value in environment.items() if name.startswith("BENCH_") and value}

    def whole(name: str, least: int = 1) -> int | None:
        if name not in given:
            return None
        if not given[name].isdecimal() or int(given[name]) < least:
            raise ValueError(f"{name}={given[name]}: a whole number, {least} or more, is wanted")
        return int(given[name])

    for name, words in _WORDS.items():
        if name in given and given[name] not in words:
            raise ValueError(f"{name}={given[name]}: {' or '.join(words)} is wanted")
    relays = Path(given["BENCH_RELAYS"]).resolve() if "BENCH_RELAYS" in given else None
    load = given.get("BENCH_LOAD", "go" if relays else "python")
    if load == "go" and relays is None:
        raise ValueError("BENCH_LOAD=go: its sources are wanted, in BENCH_RELAYS")
    ramp = given.get("BENCH_RAMP")
    return Settings(
        repeat=whole("BENCH_REPEAT") or 1,
        streams=whole("BENCH_STREAMS"),
        tokens=whole("BENCH_TOKENS"),
        rate=whole("BENCH_RATE"),
        ramp_seconds=None if ramp is None else float(ramp),
        server=given.get("BENCH_SERVER", "uvicorn"),
        relays=relays,
        load=load,
        profile=given.get("BENCH_PROFILE"),
        results=Path(given.get("BENCH_RESULTS", RESULTS)).resolve(),
    )
