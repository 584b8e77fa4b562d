"""What is told from the figures of several servers or cases: ratios of CPU per token."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.case import GO, OURS, STARLETTE, Quantity
from benchmarks.measurement import Figures

TO_GO, TO_STARLETTE = "ratio to the Go relay", "ratio to the Starlette relay"
SCALE = "scale"
"""CPU per token with a thousand streams over that with a hundred."""

_PEERS = ((GO, TO_GO), (STARLETTE, TO_STARLETTE))


def ratios(figures: Sequence[Figures]) -> list[Quantity]:
    """Within each case, of the server that is called ours to each peer; and the scale, where both its cases ran."""
    found = [
        Quantity(ours.case, name, round(ours.cpu_us_per_token / peer.cpu_us_per_token, 3))
        for ours in figures
        if ours.server == OURS
        for peer in figures
        for begins, name in _PEERS
        if peer.case == ours.case and peer.server.startswith(begins)
    ]
    by_case = {each.case: each.cpu_us_per_token for each in figures if each.server == OURS}
    if {"streams-100", "streams-1000"} <= by_case.keys():
        found.append(Quantity("streams-1000", SCALE, round(by_case["streams-1000"] / by_case["streams-100"], 3)))
    return found
