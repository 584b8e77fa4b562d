"""Resident memory of one process, in KB, as the kernel counts it; its peak too, exactly, without looking all the time.

One worker is one process, so that no children are added.
"""

from __future__ import annotations

from pathlib import Path

_FORGET_THE_PEAK = "5"


def now(pid: int) -> int:
    return _read(pid, "VmRSS")


def peak(pid: int) -> int:
    """Since the last `forget_peak`."""
    return _read(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text(_FORGET_THE_PEAK)


def _read(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _colon, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise RuntimeError(f"the kernel tells no {name}")
