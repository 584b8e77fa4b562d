"""Turns in the order that some upstreams insist on."""

from __future__ import annotations

import pytest

from chat.providers.alternation import alternating, instructed
from chat.providers.base import Picture, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.openai_messages import messages_of
from chat.providers.openai_vendors import Vendor
from chat.providers.spark_messages import turns_for_spark

CAT = Picture("image/png", b"\x89PNG cat")
SYSTEM, ASK, SAY, BLANK = Turn("system", "S"), Turn("user", "Q"), Turn("assistant", "A"), Turn("user", " \n")
SEEN = Turn("user", "", (CAT,))


@pytest.mark.parametrize(
    ("turns", "instructions", "asked"),
    [
        ((), "", []),
        ((SYSTEM, SAY, ASK, SYSTEM), "S\n\nS", [ASK]),
        ((ASK, ASK, SAY, BLANK, SAY), "", [Turn("user", "Q\n\nQ"), Turn("assistant", "A\n\nA")]),
        ((ASK, SEEN, SAY, SEEN, ASK), "", [Turn("user", "Q", (CAT,)), SAY, Turn("user", "Q", (CAT,))]),
    ],
)
def test_user_and_assistant_take_turns(turns: tuple[Turn, ...], instructions: str, asked: list[Turn]) -> None:
    assert alternating(turns) == (instructions, asked)


def test_instructions_stand_apart_or_open_the_first_turn() -> None:
    assert instructed("", [ASK, SAY], system=False) == [ASK, SAY]
    assert instructed("S", [ASK, SAY], system=True) == [SYSTEM, ASK, SAY]
    assert instructed("S", [ASK, SAY], system=False) == [Turn("user", "S\n\nQ"), SAY]
    assert instructed("S", [SEEN], system=False) == [Turn("user", "S", (CAT,))]


@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("turns", [(), (SAY,), (BLANK,), (SYSTEM, BLANK)])
def test_where_nothing_is_asked_somebody_asks_to_go_on(turns: tuple[Turn, ...], system: bool) -> None:
    *_, last = turns_for_spark(turns, system=system)
    *_, other = messages_of(turns, Vendor(alternates=True, system=system), "no")
    assert last == other
    assert last["role"] == "user"
    assert last["content"].endswith(CONTINUE)


def test_a_vendor_without_the_role_gets_turns_too() -> None:
    turns = (SYSTEM, ASK, ASK, SAY)
    sent = messages_of(turns, Vendor(alternates=False, system=False), "no")
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert sent[0]["content"] == "S\n\nQ\n\nQ"
