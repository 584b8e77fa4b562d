"""The tables of a run, in Markdown that can be read on a terminal too."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from benchmarks.case import OURS, Quantity
from benchmarks.limits import limit_of
from benchmarks.measurement import Figures
from benchmarks.ratios import TO_GO, TO_STARLETTE


def of_figures(figures: Sequence[Figures], quantities: Sequence[Quantity]) -> str:
    values = {(each.case, each.name): each.value for each in quantities}

    def ratio(each: Figures, name: str) -> str:
        value = values.get((each.case, name)) if each.server == OURS else None
        return "" if value is None else f"{value:.2f}"

    heading = (
        *("Case", "Server", "Streams", "CPU, µs per token", "To Go", "To Starlette", "Events per token"),
        *("First token p50 / p99, ms", "Delay p50 / p99, ms", "Streams without fault"),
    )
    rows = [
        (
            each.case,
            each.server,
            str(each.streams),
            f"{each.cpu_us_per_token:.1f}",
            ratio(each, TO_GO),
            ratio(each, TO_STARLETTE),
            f"{each.events_per_token:.2f}",
            f"{each.first_token_ms_p50:.0f} / {each.first_token_ms_p99:.0f}",
            f"{each.delay_ms_p50:.0f} / {each.delay_ms_p99:.0f}",
            f"{each.success:.1%}",
        )
        for each in figures
    ]
    return _table(heading, rows)


def of_quantities(quantities: Sequence[Quantity]) -> str:
    rows = []
    for each in quantities:
        most = limit_of(each)
        verdict = "" if most is None else "yes" if each.value <= most else "NO"
        rows.append((each.case, each.name, each.words(), "" if most is None else f"{most:g}", verdict))
    return _table(("Case", "What", "Value", "At most", "Kept"), rows)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(_width(row[column]) for row in (heading, *rows)) for column in range(len(heading))]

    def line(cells: Sequence[str]) -> str:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([line(heading), rule, *map(line, rows)])


def _width(text: str) -> int:
    return sum(not unicodedata.combining(character) for character in text)
