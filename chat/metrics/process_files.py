"""The files in which several processes of a host count together, with PROMETHEUS_MULTIPROC_DIR in the environment."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

FILES = os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def leave() -> None:
    """Takes this process's gauges out of the sums; its counters stay in them."""
    if FILES is not None:
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


def forget_the_dead(directory: Path) -> None:
    """A worker that was killed could not take its gauges out: whoever starts next does."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not _is_alive(int(pid)):
            with suppress(FileNotFoundError):  # another worker may be at it too
                mark_process_dead(int(pid))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
