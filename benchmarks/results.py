"""The verdict, and the files that keep a run: latest.json, latest.md and latest.svg."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks import chart, limits, tables
from benchmarks.case import Outcome, Quantity
from benchmarks.machine import machine
from benchmarks.measurement import Figures
from benchmarks.ratios import ratios


class Results(msgspec.Struct):
    """`failures`: sentences about the cases that could not be measured."""

    at: str
    machine: dict[str, str]
    repeat: int
    load: str
    figures: list[Figures]
    quantities: list[Quantity]
    failures: list[str]

    def faults(self) -> list[str]:
        """Why this run is no success; empty where it is one."""
        return [*self.breaks(), *limits.exceeded(self.quantities)]

    def breaks(self) -> list[str]:
        """What went wrong, however fast the machine was."""
        found = list(self.failures)
        for figures in self.figures:
            problems = {problem for run in figures.runs for problem in run.load.problems}
            if problems or figures.success < 1:
                words = f"{figures.case}, {figures.server}: {figures.success:.1%} of the streams good"
                found.append("; ".join([words, *sorted(problems)]))
        return found

    def conditions(self) -> str:
        words = f"medians of {self.repeat} runs" if self.repeat > 1 else "one run"
        named = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return f"{self.at}; {words}; load generator {self.load}; {named}"

    def tables(self) -> str:
        parts = []
        if self.figures:
            parts.append(tables.of_figures(self.figures, self.quantities))
        if self.quantities:
            parts.append(tables.of_quantities(self.quantities))
        return "\n\n".join(parts)

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        faults = "".join(f"- {fault}\n" for fault in self.faults())
        (directory / "latest.json").write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        (directory / "latest.md").write_text(f"{self.conditions()}\n\n{self.tables()}\n" + (faults and f"\n{faults}"))
        (directory / "latest.svg").write_text(chart.svg(self.figures, self.conditions()))


def collect(outcomes: list[Outcome], failures: list[str], repeat: int, load: str) -> Results:
    figures = [each for outcome in outcomes for each in outcome.figures]
    quantities = [*ratios(figures), *(each for outcome in outcomes for each in outcome.quantities)]
    return Results(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        repeat=repeat,
        load=load,
        figures=figures,
        quantities=quantities,
        failures=failures,
    )
