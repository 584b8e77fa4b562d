"""Examples for the description of the API, made from the schemas: each field has the value that its name suggests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CONVERSATION = "01985f2e-7a10-7c4e-9b1d-2f6a8c3e5d10"
QUESTION = "01985f2e-7a31-7d02-8f44-0c9b7e6a1f21"
ANSWER = "01985f2e-7a31-7d03-a1b2-3c4d5e6f7a8b"
GENERATION = "01985f2e-7a31-7d04-b7c8-9d0e1f2a3b4c"
TIME = "2026-11-21T08:30:00.000000Z"
LATER = "2036-11-21T08:30:00.000000Z"
TEXT = "Tea is a drink made from the leaves of Camellia sinensis."

FIELDS: Mapping[str, Any] = {
    "access": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "alt": "A cup of tea",
    "api_keys": False,
    "archived": False,
    "bytes": 48213,
    "code": "INVALID_REQUEST",
    "comment": "Short and right.",
    "content": TEXT,
    "content_type": "image/png",
    "conversation": CONVERSATION,
    "created_at": TIME,
    "delta": "Tea is a drink",
    "details": {},
    "duration_ms": 1840,
    "email": "lin@example.com",
    "error": None,
    "events": ["generation.completed"],
    "expires_at": LATER,
    "expires_in": 3600,
    "feedback": 1,
    "finish_reason": "stop",
    "finished_at": TIME,
    "first_token_ms": 320,
    "generation": GENERATION,
    "height": 768,
    "id": CONVERSATION,
    "images": [],
    "input_tokens": 9,
    "is_staff": False,
    "key": "7f3c1a52-send-1",
    "kind": "openai_chat",
    "label": "Demonstration",
    "language": "en",
    "max_tokens": 800,
    "last_used_at": TIME,
    "message": ANSWER,
    "message_count": 2,
    "model": "demo",
    "name": "My phone",
    "next": None,
    "notes": [],
    "output_tokens": 14,
    "parent": QUESTION,
    "prefix": "chat_7f3c1a52",
    "prompt": "What is tea?",
    "password": "correct-horse-battery",
    "pinned": False,
    "provider": "demo-sse",
    "reasoning": "",
    "reason": "worker_lost",
    "ref": "1",
    "refresh": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyIn0.c2ln",
    "retryable": True,
    "role": "assistant",
    "running": [],
    "seq": 12,
    "siblings": [ANSWER],
    "snippet": "Tea is a drink made from the leaves …",
    "state": "ready",
    "status": "completed",
    "system": None,
    "temperature": 0.7,
    "text": TEXT,
    "timestamp": TIME,
    "title": "What is tea?",
    "top_p": 0.9,
    "uid": CONVERSATION,
    "updated_at": TIME,
    "upstream": "sse",
    "url": "https://example.com/hooks/chat",
    "user_message": QUESTION,
    "username": "lin",
    "width": 1024,
}
"""By a field's name, wherever it fits the field's schema."""

COMPONENTS: Mapping[str, Mapping[str, Any]] = {
    "SendBody": {"message": "What is tea?"},
    "RegenerateBody": {"model": "demo"},
    "AGUIMessageBody": {"id": "message-1", "role": "user", "content": "What is tea?"},
    "UIRequestMessageBody": {"id": "message-1", "role": "user", "parts": [{"type": "text", "text": "What is tea?"}]},
    "UIMessageBody": {"id": "message-1", "role": "user", "parts": [{"type": "text", "text": "What is tea?"}]},
    "ProceedBody": {},
    "ConversationFieldsBody": {"title": "What is tea?", "pinned": True},
    "RevokeBody": {"refresh": FIELDS["refresh"]},
    "FailedReplyBody": {
        "error": "The AI service took too long to answer. Please try again.",
        "code": "UPSTREAM_TIMEOUT",
        "details": {},
        "retryable": True,
        "generation": GENERATION,
        "text": "Tea is a drink",
    },
}
"""By a component's name: for those whose fields say other things than elsewhere."""

DEPTH = 8
"""Schemas may contain themselves."""


class Examples:
    """`components`: the schemas by their names."""

    def __init__(self, components: Mapping[str, Any]) -> None:
        self._components = components

    def of_request(self, schema: Mapping[str, Any]) -> Any:
        """What a client must send, and no more."""
        component = schema.get("$ref", "").rpartition("/")[2]
        if component in COMPONENTS or (component and self._components[component].get("type") != "object"):
            return self.of(schema)
        whole = self._components[component] if component else schema
        return self._object(whole, DEPTH - 2)

    def of(self, schema: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
        """A value that the schema allows. `name`: the field's."""
        if "$ref" in schema:
            component = schema["$ref"].rsplit("/", 1)[-1]
            if component in COMPONENTS:
                return dict(COMPONENTS[component])
            return self.of(self._components[component], name, depth)
        for given in ("example", "const", "default"):
            if given in schema and schema[given] is not None:
                return schema[given]
        if schema.get("examples"):
            return schema["examples"][0]
        if schema.get("enum"):
            return schema["enum"][0]
        choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if choices:
            return self._choice(choices, name, depth)
        return self._typed(schema, name, depth)

    def _choice(self, choices: list[Mapping[str, Any]], name: str, depth: int) -> Any:
        value = FIELDS.get(name)
        for choice in choices:
            if name in FIELDS and "$ref" not in choice and _fits(value, choice):
                return value
        if depth >= DEPTH and any(choice.get("type") == "null" for choice in choices):
            return None
        if name in FIELDS and value is None and any(choice.get("type") == "null" for choice in choices):
            return None
        return self.of(choices[0], name, depth + 1)

    def _typed(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        if name in FIELDS and _fits(FIELDS[name], schema):
            return FIELDS[name]
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                if depth >= DEPTH:
                    return []
                items = schema.get("prefixItems") or [schema.get("items", {})] * max(1, schema.get("minItems", 1))
                return [self.of(item, _singular(name), depth + 1) for item in items]
            case "string":
                return _string(schema, name)
            case "integer" | "number":
                return max(1, schema.get("minimum", 1))
            case "boolean":
                return True
            case _:
                return None if schema.get("type") == "null" else {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if depth >= DEPTH:
            return {}
        required = schema.get("required", ())
        properties = schema.get("properties", {})
        wanted = properties if depth == 0 else required
        shown = {key: one for key, one in properties.items() if key in wanted}
        return {key: self.of(one, key, depth + 1) for key, one in shown.items()}


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """By its type; in what the schema says beyond that, the tests find whether a name was taken for another's."""
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if "pattern" in schema and not (isinstance(value, str) and re.search(schema["pattern"], value)):
        return False
    match schema.get("type"):
        case "string":
            return isinstance(value, str) and len(value) <= schema.get("maxLength", len(value))
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list) and (not value or schema.get("items", {}).get("type") == "string")
        case "object":
            return isinstance(value, dict) and not schema.get("properties")
        case "null":
            return value is None
        case None:
            return not schema.keys() & {"$ref", "anyOf", "allOf", "oneOf"}  # anything goes
        case _:
            return False


def _string(schema: Mapping[str, Any], name: str) -> str:
    formats = {"date-time": TIME, "date": TIME[:10], "uuid": CONVERSATION, "email": "lin@example.com"}
    formats |= {"uri": "https://example.com/", "binary": "…"}
    found = formats.get(schema.get("format", ""), name or "text")
    return found[: schema.get("maxLength", len(found))]


def _singular(name: str) -> str:
    return name.removesuffix("s")
