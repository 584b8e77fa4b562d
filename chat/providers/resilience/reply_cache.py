"""Replies to deterministic questions, kept to answer the same question again."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from chat.events import Finish, FinishReason, ProviderEvent, Text, Usage
from chat.providers.base import ChatRequest

CACHE_BYTES = 16 << 20

ENTRY_BYTES = 1024
"""What a reply takes beside its texts, about."""

POINTER_BYTES = 8
LOOSE_BYTES = 8192
"""A text's pieces are joined when they take more than this, and more than what was joined before: a short piece takes
ten times what its characters do, and a join copies all."""

PART_OF_ONE = 8
"""One reply takes no more than this part of the cache: a few long ones would be all that it holds."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A reply that ended as it should. `usage`: None where the upstream said nothing."""

    text: str
    reasoning: str
    usage: Usage | None

    @property
    def bytes(self) -> int:
        return ENTRY_BYTES + sys.getsizeof(self.text) + sys.getsizeof(self.reasoning)


@dataclass(frozen=True, slots=True)
class _Entry:
    kept: Kept
    at: float
    until: float


class ReplyCache:
    """One a process; the least recently used go first. Times are seconds."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self.bytes = 0
        self.hits: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()
        """By provider, from the beginning on."""

    @property
    def longest(self) -> int:
        """Bytes of a reply that is still kept."""
        return self._max_bytes // PART_OF_ONE

    def find(self, provider: str, key: bytes, now: float) -> tuple[Kept, float] | None:
        """The reply, and its age in seconds."""
        entry = self._entries.get(key)
        if entry is not None and now >= entry.until:
            self._forget(key)
            entry = None
        if entry is None:
            self.misses[provider] += 1
            return None
        self._entries.move_to_end(key)
        self.hits[provider] += 1
        return entry.kept, now - entry.at

    def keep(self, key: bytes, kept: Kept, seconds: float, now: float) -> None:
        if kept.bytes > self.longest:
            return
        if key in self._entries:
            self._forget(key)
        self._entries[key] = _Entry(kept, now, now + seconds)
        self.bytes += kept.bytes
        while self.bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: bytes) -> None:
        self.bytes -= self._entries.pop(key).kept.bytes


def is_deterministic(request: ChatRequest) -> bool:
    """Whether the same question has the same answer, as far as an upstream can promise that."""
    return request.params.temperature == 0 and not request.left_out and not any(turn.pictures for turn in request.turns)


def key_of(provider: str, request: ChatRequest, *, personal: bool = False) -> bytes:
    """A digest of all that the answer depends on: whose question it is, where the provider is `personal`."""
    turns = [(turn.role, turn.text) for turn in request.turns]
    params = request.params
    sampling = (params.temperature, params.top_p, params.max_tokens)
    user = request.user if personal else None
    return hashlib.sha256(msgspec.json.encode((provider, request.model, sampling, turns, user))).digest()


class _Pieces:
    """A text that comes in pieces. `bytes`: what it takes, with what the loose pieces take beside their characters."""

    __slots__ = ("_joined", "_loose", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._joined = self._loose = 0

    @property
    def bytes(self) -> int:
        return self._joined + self._loose

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._loose += sys.getsizeof(piece) + POINTER_BYTES
        if self._loose > max(LOOSE_BYTES, self._joined):
            self.join()

    def join(self) -> str:
        text = "".join(self._pieces)
        self._pieces = [text]
        self._joined, self._loose = sys.getsizeof(text), 0
        return text


class Recording:
    """Listens to a reply, as long as what would be kept of it is not above `longest` bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._text = _Pieces()
        self._reasoning = _Pieces()
        self._too_long = False
        self._usage: Usage | None = None
        self._finish: FinishReason | None = None

    def take(self, events: Sequence[ProviderEvent]) -> None:
        for event in events:
            if isinstance(event, Usage):
                self._usage = event
            elif isinstance(event, Finish):
                self._finish = event.reason
            elif not self._too_long:
                (self._text if isinstance(event, Text) else self._reasoning).add(event.delta)
                if self.bytes > self._longest:
                    self._shrink()

    @property
    def bytes(self) -> int:
        return ENTRY_BYTES + self._text.bytes + self._reasoning.bytes

    def _shrink(self) -> None:
        self._text.join()
        self._reasoning.join()
        if self.bytes > self._longest:
            self._too_long = True
            self._text, self._reasoning = _Pieces(), _Pieces()

    def kept(self) -> Kept | None:
        """None where it did not end as it should, says nothing, or is too long."""
        text = self._text.join()
        if self._finish is not FinishReason.STOP or not text.strip():
            return None
        return Kept(text, self._reasoning.join(), self._usage)
