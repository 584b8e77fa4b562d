"""An upstream's text for a terminal, where control characters are commands."""

from __future__ import annotations

from collections.abc import Mapping

_DIRECTIONS = (0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""They turn the direction of writing, and can make words look like others."""

_TABLE: Mapping[int, str | None] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # their pictures
    0x7F: "␡",
    **dict.fromkeys(range(0x80, 0xA0), "�"),
    **dict.fromkeys(range(0xD800, 0xE000), "�"),  # halves of characters, which cannot be written
    **dict.fromkeys((0x0A, 0x85, 0x2028, 0x2029), "\n"),
    **dict.fromkeys(_DIRECTIONS),
    0x09: "\t",
    0x0D: None,
}


def printable(text: str) -> str:
    """Line breaks and tabs stay; other control characters become their pictures, `␛` for an escape, a character at a
    time: so a sequence that is split over two pieces does nothing either."""
    return text.translate(_TABLE)


def first_words(text: str, chars: int) -> str:
    """The beginning of it in one line of at most so many characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= chars else line[: chars - 1].rstrip() + "…"
