"""CPU time of a process and its children, as the kernel counts it. It hardly depends on what else the machine does."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def seconds(root: int) -> float:
    """utime and stime of the process, of what it started, and of those of them that have ended."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            pid = int(entry.parent.name)
            fields = entry.read_text().rpartition(")")[2].split()
            parents[pid] = int(fields[1])
            ticks[pid] = sum(int(field) for field in fields[11:15])
    return sum(spent for pid, spent in ticks.items() if _descends(pid, root, parents)) / _TICKS


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid != root:
        if pid not in parents:
            return False
        pid = parents[pid]
    return True
