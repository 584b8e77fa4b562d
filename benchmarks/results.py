"""The table, the verdict, and the files that keep both."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.measurement import Figures, machine

DIRECTORY = Path(__file__).resolve().parent / "results"

RATIO_ALLOWED = 0.5
"""Of the peer's CPU per token: this project's server has to come by with half."""


class Results(msgspec.Struct):
    """`peer` is what the others are divided by."""

    at: str
    machine: dict[str, Any]
    ours: list[Figures]
    peer: Figures

    def ratio(self, figures: Figures) -> float:
        return figures.cpu_us_per_token / self.peer.cpu_us_per_token

    def faults(self) -> list[str]:
        """Why this run is no success; empty where it is one."""
        found = [
            f"{figures.case}: {self.ratio(figures):.2f} of the peer's CPU per token, {RATIO_ALLOWED} is allowed"
            for figures in self.ours
            if self.ratio(figures) > RATIO_ALLOWED
        ]
        for figures in (*self.ours, self.peer):
            problems = {problem for run in figures.runs for problem in run.load.problems}
            if problems:
                found.append(
                    f"{figures.case}: {figures.success:.1%} of the streams good; {'; '.join(sorted(problems))}"
                )
        return found

    def table(self) -> str:
        lines = [
            "| Server | Streams | CPU, µs per token | Ratio | Events per token | First token p50 / p99, ms "
            "| Delay p50 / p99, ms | Streams without fault |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for figures in (*self.ours, self.peer):
            cells = (
                figures.case,
                str(figures.streams),
                f"{figures.cpu_us_per_token:.1f}",
                "1" if figures is self.peer else f"{self.ratio(figures):.2f}",
                f"{figures.events_per_token:.2f}",
                f"{figures.first_token_ms_p50:.0f} / {figures.first_token_ms_p99:.0f}",
                f"{figures.delay_ms_p50:.0f} / {figures.delay_ms_p99:.0f}",
                f"{figures.success:.1%}",
            )
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)

    def save(self) -> None:
        DIRECTORY.mkdir(exist_ok=True)
        (DIRECTORY / "latest.json").write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        runs = len(self.peer.runs)
        words = f"{self.at}; medians of {runs} run{'s' if runs > 1 else ''}; " + ", ".join(
            f"{name} {value}" for name, value in self.machine.items()
        )
        (DIRECTORY / "latest.md").write_text(f"{words}\n\n{self.table()}\n")


def collect(ours: list[Figures], peer: Figures) -> Results:
    return Results(at=datetime.now(UTC).isoformat(timespec="seconds"), machine=machine(), ours=ours, peer=peer)
