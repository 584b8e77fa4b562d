"""A text that grows by pieces, in one buffer that grows in place: a long reply leaves no heap of pieces behind."""

from __future__ import annotations


class Transcript:
    __slots__ = ("_handed_out", "_handed_out_before", "_utf8")

    def __init__(self) -> None:
        self._utf8 = bytearray()
        self._handed_out = self._handed_out_before = 0

    def append(self, piece: str) -> None:
        """Without lone surrogates, which are no text."""
        self._utf8 += piece.encode()

    def take_new(self) -> str:
        """What has come since the last call."""
        new = self._utf8[self._handed_out :].decode()
        self._handed_out_before, self._handed_out = self._handed_out, len(self._utf8)
        return new

    def put_back(self) -> None:
        """What the last `take_new` gave is new again."""
        self._handed_out = self._handed_out_before

    def whole(self) -> str:
        return self._utf8.decode()

    def clear(self) -> None:
        self._utf8 = bytearray()
        self._handed_out = self._handed_out_before = 0

    def is_blank(self) -> bool:
        return not self._utf8.strip()

    def __len__(self) -> int:
        """Bytes."""
        return len(self._utf8)
