"""What is made of a captured stream's fixture: what a request lacks is found, and what cannot be meant is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.upstreams.capture import FIXTURES, framed, load, missing, paths
from tests.upstreams.quirks import QUIRKS, quirks_of

WANTED = {"model": "m", "messages": [{"role": "system"}, {"role": "user", "content": "Two?"}], "temperature": 0.5}
SENT = {**WANTED, "messages": [{"role": "system", "content": "Be brief."}, *WANTED["messages"][1:]], "stream": True}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"temperature": 0.6}, ".temperature: 0.5 is wanted, 0.6 was sent"),
        ({"model": None}, ".model: 'm' is wanted, None was sent"),
        ({"messages": SENT["messages"][1:]}, ".messages: 2 items are wanted, 1 were sent"),
        ({"messages": [SENT["messages"][0], {"role": "user"}]}, ".messages[1].content was not sent"),
        ({"messages": "Two?"}, f".messages: {WANTED['messages']!r} is wanted, 'Two?' was sent"),
    ],
)
def test_what_a_request_lacks_is_found(changed: dict[str, Any], words: str | None) -> None:
    assert missing(WANTED, {**SENT, **changed}) == words


def test_a_capture_falls_into_what_could_come_in_a_read_of_its_own() -> None:
    assert framed("sse", ": hi\n\ndata: 1\ndata: 2\n\n\ndata: 3\n") == [
        b": hi\n\n", b"data: 1\ndata: 2\n\n\n", b"data: 3\n"
    ]  # fmt: skip
    assert framed("ndjson", '{"a":1}\n\n{"b":2}\n') == [b'{"a":1}\n', b'{"b":2}\n']
    assert framed("frames", '{"a":1}\n{"b":2}\n') == [b'{"a":1}', b'{"b":2}']


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[reply]", "[replly]", "unknown field"),
        ("framing = ", "optional_tail = 900\nframing = ", "leaves no reply"),
        ('framing = "', 'framing = "x', "framing"),
        ("finish = ", "finis = ", "unknown field"),
    ],
)
def test_a_fixture_that_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = (FIXTURES / "anthropic.toml").read_text()
    assert old in text
    path = tmp_path / "x.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=words):
        load(path)


def test_every_quirk_is_tried_with_some_upstream() -> None:
    assert {quirk for path in paths() for quirk in quirks_of(load(path))} == QUIRKS.keys()
