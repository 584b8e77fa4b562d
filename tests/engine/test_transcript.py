"""The growing text: what is handed out once, and in what pieces."""

from __future__ import annotations

import pytest

from chat.engine.transcript import TAKEN_BYTES, Transcript


def test_new_text_is_handed_out_once() -> None:
    it = Transcript()
    it.append("One ")
    it.append("two")
    assert it.take_new() == "One two"
    assert it.take_new() == ""
    it.put_back()
    assert it.take_new() == ""
    it.append("!")
    assert it.take_new() == "!"
    it.put_back()
    assert it.take_new() == "!"
    assert it.whole() == "One two!"


@pytest.mark.parametrize("character", ["a", "é", "字", "🙂"])
@pytest.mark.parametrize("lead", ["", "x", "xy", "xyz"])
def test_a_flood_is_handed_out_in_pieces_of_whole_characters(character: str, lead: str) -> None:
    it, text = Transcript(), lead + character * TAKEN_BYTES
    it.append(text)
    taken = []
    while piece := it.take_new():
        assert TAKEN_BYTES - 4 < len(piece.encode()) <= TAKEN_BYTES or "".join(taken) + piece == text
        taken.append(piece)
    assert "".join(taken) == text


def test_blank_is_what_has_no_visible_character() -> None:
    it = Transcript()
    it.append(" \n\t")
    assert it.is_blank()
    it.append("x")
    assert not it.is_blank()
    it.clear()
    assert it.is_blank()
    assert len(it) == 0
