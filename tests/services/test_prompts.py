"""What is sent of a conversation: the turns that fit, how many were left out, and what is known of their size."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from chat.models import Conversation, Generation, Message, User
from chat.models.message import Role
from chat.providers.base import Counted, Params, Turn, Unpaced
from chat.services import prompts, recorded_params

pytestmark = pytest.mark.django_db

TRIMMED = [{"note": "trimmed", "details": {"left_out": 2}}]


class Tree:
    """A conversation that grows at its end."""

    def __init__(self) -> None:
        self.user = User.objects.create_user("owner")
        now = datetime.now(UTC)
        self.conversation = Conversation.objects.create(user=self.user, created_at=now, updated_at=now)
        self.leaf: uuid.UUID | None = None

    def say(self, role: Role, text: str) -> Message:
        message = Message.objects.create(
            conversation=self.conversation,
            parent_id=self.leaf,
            role=role.value,
            text=text,
            created_at=datetime.now(UTC),
        )
        self.leaf = message.id
        return message

    def ask(self, text: str) -> None:
        self.say(Role.USER, text)

    def answer(self, text: str, tokens: tuple[int, int] | None = None, **fields: Any) -> Message:
        """`tokens`: in and out, as the upstream has counted them."""
        message = self.say(Role.ASSISTANT, text)
        self.generate(message, tokens, **fields)
        return message

    def generate(self, message: Message, tokens: tuple[int, int] | None, **fields: Any) -> None:
        now = datetime.now(UTC)
        generation = Generation.objects.create(
            user=self.user,
            conversation=self.conversation,
            message=message,
            upstream="sse",
            owner="worker",
            heartbeat=now,
            created_at=now,
            input_tokens=tokens[0] if tokens else 100,
            output_tokens=tokens[1] if tokens else 100,
            usage_estimated=tokens is None,
            **{"provider": "main", "model": "m", **fields},
        )
        message.latest_generation = generation.id
        message.save()

    def branch(self, max_chars: int | None = None) -> prompts.Branch:
        return prompts.branch(self.conversation, self.leaf, max_chars)

    def counted(self, system: str = "") -> tuple[Counted, ...]:
        return self.branch().under(system).request("m", Params(), self.user.id, Unpaced()).counted


@pytest.fixture
def tree() -> Tree:
    return Tree()


def test_a_branch_is_its_turns_from_the_oldest_to_the_newest(tree: Tree) -> None:
    tree.ask("q1")
    tree.answer("a1")
    tree.ask("q2")
    branch = tree.branch()
    assert branch.turns == (Turn("user", "q1"), Turn("assistant", "a1"), Turn("user", "q2"))
    assert (branch.leaf, branch.left_out) == (tree.leaf, 0)
    assert prompts.branch(tree.conversation, None, None).leaf == tree.leaf


def test_what_does_not_fit_is_counted_by_messages(tree: Tree) -> None:
    for number in range(3):
        tree.ask(f"q{number}" * 5)
        tree.answer(f"a{number}" * 5, (10, 10))
    tree.ask("q3" * 5)
    assert tree.branch(70).left_out == 0
    cut = tree.branch(69)
    assert (len(cut.turns), cut.left_out) == (5, 2), "it begins with a question"
    assert cut.counted == (), "what was counted was of the whole"
    assert tree.branch(5).left_out == 6


def test_questions_that_nobody_answered_are_one_turn_and_several_messages(tree: Tree) -> None:
    tree.ask("first")
    tree.answer("")
    tree.ask("again")
    tree.answer("")
    tree.ask("last")
    branch = tree.branch()
    assert (branch.turns, branch.left_out) == ((Turn("user", "first\n\nagain\n\nlast"),), 0)
    assert tree.branch(4).left_out == 2


def test_what_upstreams_have_counted_is_what_was_sent_to_them_the_newest_first(tree: Tree) -> None:
    tree.ask("q1")
    tree.answer("a1", (10, 5))
    tree.ask("q2")
    tree.answer("a2", (20, 7), reasoning_length=1000)
    tree.ask("q3")
    tree.answer("a3", (30, 9), provider="spare", model="n")
    tree.ask("q4")
    assert tree.counted() == (Counted("spare", "n", 5, 30), Counted("main", "m", 3, 20), Counted("main", "m", 1, 10))


@pytest.mark.parametrize(
    "newer",
    [
        {"tokens": None},
        {"tokens": (20, 7), "notes": TRIMMED},
        {"tokens": (0, 0)},
        {"tokens": (20, 7), "text_offset": 2},
        {"tokens": (20, 7), "reasoning_offset": 2},
        {"tokens": (20, 7), "epoch": 2},
    ],
    ids=["estimated", "trimmed", "nothing", "continued", "continued in its thoughts", "taken over"],
)
def test_a_count_of_something_else_than_the_turns_before_is_passed_over(tree: Tree, newer: dict[str, Any]) -> None:
    tree.ask("q1")
    tree.answer("a1", (10, 5), notes=[{"note": "cached", "details": {"seconds": 1}}])
    tree.ask("q2")
    tree.answer("a2", **newer)
    tree.ask("q3")
    assert tree.counted() == (Counted("main", "m", 1, 10),)


def test_a_count_under_another_system_prompt_is_none(tree: Tree) -> None:
    tree.ask("q1")
    tree.answer("a1", (10, 5), params=recorded_params.to_row(Params(), "be brief"))
    tree.ask("q2")
    tree.answer("a2", (20, 7), params={"temperature": 0.5})
    tree.ask("q3")
    assert tree.counted("be brief") == (Counted("main", "m", 1, 10),)
    assert tree.counted("") == (Counted("main", "m", 3, 20),)
    assert tree.counted("be long") == ()


def test_the_row_of_a_reply_tells_its_sampling_and_one_system_prompt_from_another() -> None:
    params = Params(temperature=0.0, max_tokens=5)
    assert recorded_params.to_row(Params(), "") == {}
    rows = [recorded_params.to_row(params, system) for system in ("", "be brief", "be long")]
    assert [recorded_params.sampling_of(row) for row in rows] == [params] * 3
    assert len({recorded_params.system_of(row) for row in rows}) == 3
    assert "brief" not in str(rows)


def test_the_tokens_cost_one_query_and_a_first_message_none(
    tree: Tree, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    tree.ask("q1")
    with django_assert_num_queries(2):
        tree.branch()
    for _ in range(prompts.LOOK_BACK + 2):
        tree.answer("a")
        tree.ask("q")
    with django_assert_num_queries(3):
        assert tree.branch().counted == ()


def test_a_request_has_all_that_is_known(tree: Tree) -> None:
    tree.ask("q1")
    tree.answer("a1", (10, 5), params=recorded_params.to_row(Params(), "be brief"))
    prompt = tree.branch().asked("q2").under("be brief")
    request = prompt.request("m", Params(), tree.user.id, Unpaced())
    assert [turn.text for turn in request.turns] == ["be brief", "q1", "a1", "q2"]
    assert (request.counted, request.left_out, request.user) == ((Counted("main", "m", 1, 10),), 0, tree.user.id.hex)
    assert tree.branch().under("").turns == tree.branch().turns
    assert prompt.chars == 14
