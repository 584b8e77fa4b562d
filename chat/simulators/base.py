"""The frame of a simulated upstream: a real server on a loopback port, with a record of each connection."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

RECORDS = 2000
"""Connections remembered, newest last: enough for a test to look back on."""

REQUEST_BYTES = 4 << 20
"""Bytes of requests remembered with them: the demonstration lives inside the server, for weeks."""


@dataclass(slots=True)
class ConnectionRecord:
    """One upstream connection as the simulator saw it. Times are `time.monotonic()` seconds."""

    opened: float = field(default_factory=time.monotonic)
    closed: float | None = None
    model: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    tokens_sent: int = 0


class Simulator(ABC):
    """Start it, point a provider's `base_url` at `url`, close it. Serves any number of connections."""

    def __init__(self) -> None:
        self.connections: deque[ConnectionRecord] = deque(maxlen=RECORDS)
        self.requests: Counter[str] = Counter()
        self._remembered: deque[tuple[ConnectionRecord, int]] = deque()
        self._remembered_bytes = 0

    @property
    @abstractmethod
    def url(self) -> str:
        """What a provider's `base_url` is set to."""

    @abstractmethod
    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens; port 0 picks a free one."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stops listening and ends every connection."""

    def remember(self, record: ConnectionRecord, model: str, request: dict[str, Any], size: int) -> int:
        """Counts a request of `size` bytes; the oldest are forgotten. Returns its number for this model, from 1."""
        record.model, record.request = model, request
        self._remembered.append((record, size))
        self._remembered_bytes += size
        while self._remembered_bytes > REQUEST_BYTES or len(self._remembered) > RECORDS:
            oldest, oldest_size = self._remembered.popleft()
            oldest.request = {}
            self._remembered_bytes -= oldest_size
        self.requests[model] += 1
        return self.requests[model]

    @property
    def open_connections(self) -> int:
        return sum(1 for record in self.connections if record.closed is None)
