"""A misspelt word, and the one that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question to follow a sentence, such as " Did you mean 'api_key'?"; "" where no word is near."""
    near = difflib.get_close_matches(word.lower().replace("-", "_"), sorted(known), 1)
    return f" Did you mean {near[0]!r}?" if near else ""
