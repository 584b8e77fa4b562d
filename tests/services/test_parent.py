"""Where a message is put in the tree of its conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from chat.models import User
from chat.models.identifier import new_id
from tests.conftest import Server

JSON = {"Accept": "application/json"}


@pytest.fixture
def people(transactional_db: None, make_user: Callable[..., User]) -> tuple[User, User]:
    return make_user("owner"), make_user("stranger")


async def test_a_parent_alone_finds_its_conversation_and_a_strangers_is_not_found(
    people: tuple[User, User], server: Server, bearer: Callable[[User], Awaitable[dict[str, str]]]
) -> None:
    owner, stranger = [server.client(await bearer(user)) for user in people]
    first = (await owner.post("/api/v1/chat", json={"message": "one"}, headers=JSON)).json()
    parent = first["message"]["id"]
    second = (await owner.post("/api/v1/chat", json={"message": "two", "parent": parent}, headers=JSON)).json()
    assert second["conversation"] == first["conversation"]
    assert second["user_message"]["parent"] == parent
    assert (await stranger.post("/api/v1/chat", json={"message": "two", "parent": parent})).status_code == 404
    assert (await owner.post("/api/v1/chat", json={"message": "two", "parent": str(new_id())})).status_code == 404
