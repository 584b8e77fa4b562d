"""Text of which nobody has said whether each event goes on with it, or repeats it from its beginning.

Some upstreams send deltas when they are asked to, and some of their models the whole text so far all the same. A delta
may begin as the text does, "ha" and "haha", so one event proves nothing: until it is clear, only that is given away on
which both readings agree, and so nothing is ever said twice, and nothing lost.
"""

from __future__ import annotations

PROOF = 16
"""Characters: who begins with so many that have been said, and goes on otherwise than deltas would, repeats them."""

ENDLESS = 256
"""The same where both readings agree, as in a row of dashes."""

HELD_MOST = 1024
"""Characters, of all events, that prove nothing: then it is what it looks like."""

_HIGH_HALVES = "".join(map(chr, range(0xD800, 0xDC00)))
"""Of characters that were cut into surrogates: who repeats them repeats them whole."""


class CumulativeText:
    def __init__(self, *, repeats: bool | None = None) -> None:
        self.repeats = repeats
        """Which of the two it is, once it is clear."""
        self.grows = False
        """It looks like repetitions: an event has begun with the one before it, and has gone on."""
        self.echoes = 0
        """How often an event was the very one before it."""
        self._joined = ""
        self._whole = ""
        self._given = 0

    def read(self, text: str) -> str:
        """What is new in an event's text. Raises ValueError where one begins otherwise that has been repeating all."""
        if self.repeats is False:
            return text
        if not text:
            return ""
        if not text.startswith(self._whole):
            return self._read_other(text)
        said, self._whole = len(self._whole), text.rstrip(_HIGH_HALVES)
        if self.repeats:
            return self._give(self._whole)
        self.grows = self.grows or 0 < said < len(self._whole)
        self.echoes += 0 < said == len(self._whole)
        self._joined += text
        agreed = _in_common(self._joined, self._whole)
        if said >= (PROOF if agreed < len(self._whole) else ENDLESS):
            return self.settle(repeats=True)
        if said and len(self._joined) > HELD_MOST:
            return self.settle(repeats=self.grows)
        return self._give(self._whole[:agreed])

    def settle(self, *, repeats: bool) -> str:
        """No more will come, and this decides where nothing else has: what was held back for it."""
        if self.repeats is not None:
            return ""
        self.repeats = repeats
        new = self._give(self._whole if repeats else self._joined)
        self._joined = ""
        return new

    def _read_other(self, text: str) -> str:
        if self.repeats:
            if self._whole.startswith(text.rstrip(_HIGH_HALVES)):
                return ""  # a shorter beginning of it says nothing new
            raise ValueError("neither a repetition nor a delta")
        self._joined += text
        return self.settle(repeats=False)

    def _give(self, text: str) -> str:
        """`text` from the beginning, without what was given."""
        new, self._given = text[self._given :], max(self._given, len(text))
        return new


def _in_common(first: str, second: str) -> int:
    """Characters that both begin with. By halves: an event may be of megabytes, and a step for each character would
    hold up everybody else."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
