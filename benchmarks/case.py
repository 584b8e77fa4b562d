"""What a case is: a workload, who is measured with it, and how; and what it yields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from benchmarks.measurement import Figures
from benchmarks.workload import Workload

if TYPE_CHECKING:
    from benchmarks.stage import Stage

Kind = Literal["ours", "go", "starlette"]

OURS, GO, STARLETTE = "ours", "Go relay", "Starlette relay"
"""How the names of the servers begin."""


@dataclass(frozen=True)
class Entrant:
    """A server to be measured, under its `name` in the tables. `tls`: it reaches its upstream over TLS;
    `environment`: further settings of its process."""

    name: str
    kind: Kind
    websocket: bool = False
    tls: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class Quantity(msgspec.Struct, frozen=True):
    """One number that can be judged."""

    case: str
    name: str
    value: float
    unit: str = ""

    def words(self) -> str:
        return f"{self.value:g} {self.unit}".rstrip()


class Outcome(msgspec.Struct):
    figures: list[Figures] = []
    quantities: list[Quantity] = []


class CannotMeasure(Exception):
    """A sentence: what this case needs is not there."""


class NotInstalled(Exception):
    """A sentence: a program that this case runs is not there; the case is left out."""


@dataclass(frozen=True)
class Case:
    """`entrants[0]` is ours, which the others are compared with."""

    name: str
    workload: Workload
    entrants: tuple[Entrant, ...]
    measure: Callable[[Stage, Case], Outcome]
