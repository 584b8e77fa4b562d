"""A text that grows by pieces, in one buffer that grows in place: a long reply leaves no heap of pieces behind."""

from __future__ import annotations

TAKEN_BYTES = 512 * 1024
"""New text that is handed out at once, so that a flood costs its saving no second copy of the whole. A save a second
falls behind only where more than half a mebibyte comes in each; the ending brings everything."""


class Transcript:
    __slots__ = ("_handed_out", "_handed_out_before", "_utf8")

    def __init__(self) -> None:
        self._utf8 = bytearray()
        self._handed_out = self._handed_out_before = 0

    def append(self, piece: str) -> None:
        """Without lone surrogates, which are no text."""
        self._utf8 += piece.encode()

    def take_new(self) -> str:
        """What has come since the last call, at most TAKEN_BYTES of it."""
        start, end = self._handed_out, len(self._utf8)
        if end - start > TAKEN_BYTES:
            end = self._character_before(start + TAKEN_BYTES)
        self._handed_out_before, self._handed_out = start, end
        return self._utf8[start:end].decode()

    def put_back(self) -> None:
        """What the last `take_new` gave is new again."""
        self._handed_out = self._handed_out_before

    def mark_handed_out(self) -> None:
        """All that there is."""
        self._handed_out = self._handed_out_before = len(self._utf8)

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

    def _character_before(self, at: int) -> int:
        """Where the character begins that the byte `at` belongs to."""
        while self._utf8[at] & 0xC0 == 0x80:
            at -= 1
        return at
