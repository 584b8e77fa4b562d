"""How a generation's events stand in Redis: one stream a generation, its entries numbered by epoch and event.

The entry `2-57` is event 57, written by the generation's second owner. Redis takes entries in ascending order only, so
the first one of an epoch fences off all owners before it: no lock, no script. The entry `2-0` is no event: it is how
a new owner fences before it reads what there is.

`v1` is the version of all this: a worker of another version neither reads nor writes these keys. The braces let a
Cluster keep what belongs together on one server, and a reader ask for all streams of a bucket with one command.
"""

from __future__ import annotations

import zlib

from chat.events import LOG_VERSION
from chat.redis.nodes import slot_of

BUCKETS = 64
"""Of one Cluster at most so many servers share the load."""

TERMINAL = b"."
"""Behind the name of an event that is its generation's last; the name is the entry's field, the data its value."""

FENCE = b"fence"


def bucket_of(generation: str) -> int:
    return zlib.crc32(generation.encode()) % BUCKETS


class Key:
    """`stream`: its events; `snapshot`: what stands for those that were let go, as `<seq> <JSON>`."""

    __slots__ = ("slot", "snapshot", "stream")

    def __init__(self, prefix: str, generation: str) -> None:
        self.stream = f"{prefix}:v{LOG_VERSION}:{{{bucket_of(generation)}}}:{generation}".encode()
        self.snapshot = self.stream + b":snapshot"
        self.slot = slot_of(self.stream)


def entry_id(epoch: int, seq: int) -> bytes:
    return b"%d-%d" % (epoch, seq)


def parse_entry_id(value: bytes) -> tuple[int, int]:
    """Epoch and event."""
    epoch, _, seq = value.partition(b"-")
    return int(epoch), int(seq)
