"""The text of deltas as databases and clients can take it."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


class TextJoiner:
    """Joins surrogate halves that an upstream split over two deltas; a lone one, and NUL, become U+FFFD."""

    def __init__(self) -> None:
        self._high = ""

    def join(self, delta: str) -> str:
        if self._high:
            delta, self._high = self._high + delta, ""
        if "\x00" in delta:
            delta = delta.replace("\x00", REPLACEMENT)
        if delta.isascii() or not _SURROGATES.search(delta):
            return delta
        if "\ud800" <= delta[-1] <= "\udbff":
            delta, self._high = delta[:-1], delta[-1]
        return delta.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def flush(self) -> str:
        lone, self._high = self._high, ""
        return REPLACEMENT if lone else ""
