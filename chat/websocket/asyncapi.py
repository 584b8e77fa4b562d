"""The description of the socket, AsyncAPI 3.0, made from the types of its frames. Source: the AsyncAPI specification.

The document is the server's: it receives commands, and sends everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from chat.api.openapi import plain
from chat.api.openapi_examples import ANSWER, CONVERSATION, GENERATION, QUESTION, Examples
from chat.events import EVENT_DATA
from chat.websocket.commands import COMMANDS
from chat.websocket.frames import FRAMES

TITLE = "Chat: the WebSocket"

DESCRIPTION = """\
Commands in, the events of any number of generations out; each frame is one JSON object. An event's frame is its data
with `type`, `generation` and `seq`: the same events, with the same numbers, as over SSE, so that a reader may change
from one to the other with its cursor.

The client is signed in by the browser's session, by `Authorization: Bearer <token>`, or by the subprotocols `chat.v1`
and `bearer.<token>`, of which the server then chooses `chat.v1`. Where a browser sends `Origin`, it is checked.

A refused socket is accepted and then closed with 4401 (sign in) or 4403 (origin). It is closed with 4401 also when the
sign-in has ended; with 1012 when the server restarts, and with 1008 where the client is too slow: such a client comes
back with its cursors.
"""

SCHEMA = "#/components/schemas/{name}"

START = {
    "generation": GENERATION,
    "conversation": CONVERSATION,
    "user_message": QUESTION,
    "message": ANSWER,
    "provider": "deepseek",
    "model": "deepseek-chat",
    "upstream": "sse",
}

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "Send": {"type": "send", "ref": "1", "message": "What is tea?", "model": "deepseek-chat"},
    "Follow": {"type": "follow", "generation": GENERATION, "after": 12},
    "Accepted": {"type": "accepted", "ref": "1", **START},
    "Refused": {
        "type": "refused",
        "ref": "1",
        "error": "Please write a message.",
        "code": "INVALID_REQUEST",
        "details": {"field": "message"},
    },
    "ConversationChanged": {"type": "conversation", "action": "updated", "id": CONVERSATION, "title": "What is tea?"},
    "StartDataEvent": {"type": "start", "seq": 1, **START},
    "MessageDataEvent": {
        "type": "message",
        "generation": GENERATION,
        "seq": 2,
        "delta": "Tea is a drink",
        "isFinal": False,
    },
    "NoteEvent": {"type": "note", "generation": GENERATION, "seq": 2, "note": "queued", "details": {"position": 3}},
    "ErrorDataEvent": {
        "type": "error",
        "generation": GENERATION,
        "seq": 9,
        "code": "UPSTREAM_TIMEOUT",
        "details": {},
        "error": "The AI service took too long to answer. Please try again.",
        "retryable": True,
    },
}
"""By the message's name; the others are made from their schemas."""

REPLIES = {"Send": ("Accepted", "Refused"), "Follow": ("End", "Refused"), "Ping": ("Pong", "Refused")}
"""What may answer a command, beside events. The others are answered only where they are refused."""


@cache
def document(version: str) -> dict[str, Any]:
    """`version`: the API's. Made once: anybody may ask for it."""
    commands = [command.__name__ for command in COMMANDS.values()]
    answers = [frame.__name__ for frame in FRAMES]
    events = {_event_name(data): event for event, data in _event_data()}
    schemas = _schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {"title": TITLE, "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "server": {
                "host": "{host}",
                "protocol": "wss",
                "description": "The host that the pages are on; `ws` where it has no TLS.",
                "variables": {"host": {"default": "localhost"}},
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("token", "session")],
            }
        },
        "channels": {
            "chat": {
                "address": "/ws/chat/",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in (*commands, *answers, *events)
                },
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            }
        },
        "operations": {
            **{command.lower(): _received(command, schemas) for command in commands},
            "answer": _sent("What the server says of itself.", answers),
            "event": _sent("What happens in the generations that this socket follows.", events),
        },
        "components": {
            "messages": {
                **{name: _message(name, schemas) for name in (*commands, *answers)},
                **{name: _message(name, schemas, event) for name, event in events.items()},
            },
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An access token, or an API key."},
                "session": {
                    "type": "httpApiKey",
                    "name": "sessionid",
                    "in": "cookie",
                    "description": "The browser's session.",
                },
            },
        },
    }


def _event_data() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for event, shapes in EVENT_DATA.items():
        if event != "ping":  # belongs to no generation, and is among the server's own frames
            yield from ((event, data) for data in shapes)


def _event_name(data: type[msgspec.Struct]) -> str:
    return f"{data.__name__}Event"


def _schemas() -> dict[str, Any]:
    """Of every frame, by its class. An event's frame is its data and a head."""
    events = list(_event_data())
    frames = [*COMMANDS.values(), *FRAMES, *(data for _event, data in events)]
    _refs, schemas = msgspec.json.schema_components(frames, ref_template=SCHEMA)
    for event, data in events:
        head = {
            "type": "object",
            "properties": {
                "type": {"const": event},
                "generation": {"type": "string"},
                "seq": {"type": "integer", "minimum": 1},
            },
            "required": ["type", "generation", "seq"],
        }
        schemas[_event_name(data)] = {"allOf": [head, {"$ref": SCHEMA.format(name=data.__name__)}]}
    described: dict[str, Any] = plain(schemas)
    return described


def _message(name: str, schemas: dict[str, Any], event: str | None = None) -> dict[str, Any]:
    """`event`: which it is the frame of."""
    example = EXAMPLES.get(name)
    described = schemas[name]
    if event is not None:
        described = schemas[name.removesuffix("Event")]
        data = Examples(schemas).of(described)
        example = example or {"type": event, "generation": GENERATION, "seq": 2, **data}
    message = {
        "name": event or described["properties"]["type"]["enum"][0],
        "title": name,
        "payload": {"$ref": SCHEMA.format(name=name)},
        "examples": [{"payload": example or Examples(schemas).of(described)}],
    }
    if "description" in described:
        message["description"] = described["description"]
    return message


def _received(command: str, schemas: dict[str, Any]) -> dict[str, Any]:
    replies = REPLIES.get(command, ("Refused",))
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/chat"},
        "summary": schemas[command]["description"],
        "messages": _references([command]),
        "reply": {"messages": _references(replies)},
    }


def _sent(summary: str, names: Iterable[str]) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": "#/channels/chat"},
        "summary": summary,
        "messages": _references(names),
    }


def _references(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/chat/messages/{name}"} for name in names]
