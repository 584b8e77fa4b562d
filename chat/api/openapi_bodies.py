"""Examples of the bodies that are not seen from their schemas: requests that a server really takes, and streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat.api.openapi_examples import ANSWER, CONVERSATION, GENERATION, QUESTION, TIME

_START = (
    f'{{"generation":"{GENERATION}","conversation":"{CONVERSATION}","user_message":"{QUESTION}",'
    f'"message":"{ANSWER}","provider":"demo-sse","model":"demo","upstream":"sse"}}'
)
_FINAL = (
    '{"finish_reason":"stop","usage":{"input_tokens":9,"output_tokens":4,"estimated":false},"text":"Tea is a drink.",'
    f'"timestamp":"{TIME}","image_url":null,"delta":"","isFinal":true}}'
)
_CHUNK = f'"id":"chatcmpl-{GENERATION}","object":"chat.completion.chunk","created":1795249800,"model":"demo"'
_REPLY = (
    f"id: 1\nevent: start\ndata: {_START}\n\n"
    'id: 2\nevent: message\ndata: {"delta":"Tea is a drink.","isFinal":false}\n\n'
    f"id: 3\nevent: message\ndata: {_FINAL}\n\n"
)


def _lines(*data: str) -> str:
    return "".join(f"data: {line}\n\n" for line in data)


_UI = _lines(
    f'{{"type":"start","messageId":"{ANSWER}"}}',
    '{"type":"text-start","id":"text"}',
    '{"type":"text-delta","id":"text","delta":"Tea is a drink."}',
    '{"type":"text-end","id":"text"}',
    '{"type":"finish"}',
    "[DONE]",
)
_RESPONSE = (
    'event: response.created\ndata: {"type":"response.created","sequence_number":0,'
    '"response":{"status":"in_progress"}}\n\n'
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,'
    '"output_index":0,"content_index":0,"delta":"Tea is a drink."}\n\n'
    'event: response.completed\ndata: {"type":"response.completed","sequence_number":20,'
    '"response":{"status":"completed"}}\n\n'
)

STREAMS: Mapping[str, str] = {
    "generations_chat": _REPLY,
    "generations_edit": _REPLY,
    "generations_regenerate": _REPLY,
    "generations_proceed": _REPLY,
    "generations_events": _REPLY,
    "ag_ui_run": _lines(
        '{"type":"RUN_STARTED","threadId":"thread-1","runId":"run-1"}',
        f'{{"type":"TEXT_MESSAGE_START","messageId":"{ANSWER}","role":"assistant"}}',
        f'{{"type":"TEXT_MESSAGE_CONTENT","messageId":"{ANSWER}","delta":"Tea is a drink."}}',
        f'{{"type":"TEXT_MESSAGE_END","messageId":"{ANSWER}"}}',
        '{"type":"RUN_FINISHED","threadId":"thread-1","runId":"run-1"}',
    ),
    "generate_generate": 'event: message\ndata: {"delta":"Tea is a drink.","isFinal":false}\n\n'
    'event: message\ndata: {"delta":"","isFinal":true}\n\n',
    "openai_chat_create": _lines(
        f'{{{_CHUNK},"choices":[{{"index":0,"delta":{{"content":"Tea is a drink."}},"finish_reason":null}}]}}',
        f'{{{_CHUNK},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}',
        "[DONE]",
    ),
    "openai_responses_create": _RESPONSE,
    "openai_responses_show": _RESPONSE,
    "seed_chat_chat": _lines(
        f'{{"uid":"{CONVERSATION}","message":"Tea is a drink.","index":0}}',
        '{"is_end":true}',
    ),
    "ui_message_chat": _UI,
    "ui_message_stream": _UI,
}
"""By operation: what a stream looks like on the wire."""

REQUESTS: Mapping[str, Any] = {
    "account_delete": {"password": "correct-horse-battery"},
    "auth_sign_out_everywhere": {"api_keys": False},
    "openai_chat_create": {"model": "demo", "messages": [{"role": "user", "content": "What is tea?"}]},
    "openai_responses_create": {"model": "demo", "input": "What is tea?"},
    "seed_chat_chat": {"uid": CONVERSATION, "message": "What is tea?"},
    "transfers_take_in": {
        "format": "chat.export",
        "version": 1,
        "conversation": {"title": "What is tea?"},
        "messages": [{"id": "1", "parent": None, "role": "user", "text": "What is tea?"}],
    },
}
"""By operation: where the fields that must be there are not enough, or mean something else than elsewhere."""

TEXTS: Mapping[str, str] = {"text/markdown": "# What is tea?\n\n## User\n\nWhat is tea?\n"}
"""By media type."""
