"""The description of the socket: valid, and what is said on a real socket is what it describes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from jsonschema import Draft7Validator

from chat.api.router import api
from chat.models import User
from chat.websocket import commands
from chat.websocket.asyncapi import document
from chatsite.asgi import application
from tests.conftest import Server
from tests.node_client import PACKAGES

DOCUMENT = document(api.version)
SPECIFICATION = PACKAGES / "node_modules/@asyncapi/specs/schemas/3.0.0.json"
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]

Bearer = Callable[[User], Awaitable[dict[str, str]]]


@cache
def validator(message: str) -> Draft7Validator:
    return Draft7Validator({"allOf": [MESSAGES[message]["payload"]], "components": DOCUMENT["components"]})


def of_operation(name: str) -> list[str]:
    return [one["$ref"].rpartition("/")[2] for one in DOCUMENT["operations"][name]["messages"]]


def test_it_is_asyncapi() -> None:
    assert SPECIFICATION.is_file(), "the packages are absent: scripts/install-test-tools gets them by npm"
    specification = json.loads(SPECIFICATION.read_text())
    Draft7Validator.check_schema(specification)
    assert [error.message for error in Draft7Validator(specification).iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_has_an_example_that_its_schema_allows(message: str) -> None:
    for example in MESSAGES[message]["examples"]:
        assert [error.message for error in validator(message).iter_errors(example["payload"])] == []
        if message in {command.__name__ for command in commands.COMMANDS.values()}:
            assert commands.parse(example["payload"]).ref is not None or "ref" not in example["payload"]


async def next_frames(communicator: WebsocketCommunicator, until: str) -> list[dict[str, Any]]:
    """Up to the first of this type; `final` is a reply's last message."""
    said = []
    while True:
        frame = await communicator.receive_json_from(timeout=10)
        said.append(frame)
        if frame["type"] == until or (until == "final" and frame.get("isFinal")):
            return said


@pytest.mark.django_db(transaction=True)
async def test_a_conversation_on_the_socket_holds_nothing_else(
    server: Server, transactional_db: None, make_user: Callable[..., User], bearer: Bearer
) -> None:
    from_app = await bearer(await User.objects.acreate_user("owner", "owner@example.com", "correct-horse-battery"))
    headers = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **from_app}.items()]
    communicator = WebsocketCommunicator(application, "/ws/chat/", headers=headers)
    await communicator.connect(timeout=10)
    said: list[dict[str, Any]] = []

    async def say(frame: dict[str, Any], until: str) -> dict[str, Any]:
        await communicator.send_json_to(frame)
        said.extend(await next_frames(communicator, until))
        return said[-1]

    # Once without a type, and with a field of a newer client's.
    await say({"text": "hello", "model": "tokens-3-0", "ref": {"n": [1]}, "colour": "green"}, "final")
    assert said[0]["type"] == "accepted"
    assert said[0]["ref"] == {"n": [1]}
    generation = said[0]["generation"]
    await say({"type": "follow", "generation": generation}, "end")
    await say({"type": "ping"}, "pong")
    await server.client(from_app).post("/api/v1/conversations", json={"title": "another device"})
    said.extend(await next_frames(communicator, "conversation"))
    await communicator.disconnect()
    possible = [*of_operation("answer"), *of_operation("event")]
    for frame in said:
        fitting = [name for name in possible if MESSAGES[name]["name"] == frame["type"]]
        assert any(validator(name).is_valid(frame) for name in fitting), frame
    assert {frame["type"] for frame in said} >= {"accepted", "start", "message", "end", "pong", "conversation"}


REFUSALS: list[tuple[Any, str | None, str]] = [
    ("{", None, "not JSON"),
    ('{"text": "\\ud800"}', None, "not JSON"),
    ("[" * 50_000, None, "not JSON"),
    ([], None, "object"),
    ({}, "type", "no such command"),
    ({"type": "sing"}, "type", "no such command"),
    ({"type": 5}, "type", "no such command"),
    ({"type": None, "text": "hello"}, "type", "no such command"),
    ({"type": "send"}, "message", "write a message"),
    ({"type": "send", "message": 5}, "message", "text"),
    ({"type": "send", "message": "hello", "key": 5}, "key", "text"),
    ({"type": "send", "message": "hello", "params": 5}, "params", "object"),
    ({"type": "send", "message": "hello", "params": {"top_p": "x"}}, "params.top_p", "number"),
    ({"type": "send", "message": "hello", "params": {"seed": 1}}, "params.seed", "parameter"),
    ({"type": "follow"}, "generation", "Name the generation"),
    ({"type": "stop", "generation": 5}, "generation", "Name the generation"),
    ({"type": "follow", "generation": "x", "after": -1}, "after", "whole number"),
    ({"type": "follow", "generation": "x", "after": True}, "after", "whole number"),
    ({"type": "follow", "generation": "x", "after": "1"}, "after", "whole number"),
]


@pytest.mark.django_db(transaction=True)
async def test_what_is_no_command_is_refused_by_its_field_and_the_socket_stays(
    server: Server, transactional_db: None, bearer: Bearer
) -> None:
    from_app = await bearer(await User.objects.acreate_user("owner", "owner@example.com", "correct-horse-battery"))
    headers = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **from_app}.items()]
    communicator = WebsocketCommunicator(application, "/ws/chat/", headers=headers)
    await communicator.connect(timeout=10)
    for number, (command, field, words) in enumerate(REFUSALS):
        if isinstance(command, dict):
            command = {"ref": number, **command}
        await communicator.send_to(text_data=command if isinstance(command, str) else json.dumps(command))
        refused = (await next_frames(communicator, "refused"))[-1]
        assert validator("Refused").is_valid(refused)
        assert words in refused["error"], command
        assert refused["details"].get("field") == field, command
        assert refused["ref"] == (number if isinstance(command, dict) else None)
    await communicator.send_to(bytes_data=b"\x00")
    assert (await next_frames(communicator, "refused"))[-1]["code"] == "INVALID_REQUEST"
    await communicator.send_json_to({"type": "ping"})
    await next_frames(communicator, "pong")
    await communicator.disconnect()
