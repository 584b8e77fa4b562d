"""What schemathesis is told beside the schema, in its own process: who asks, and what a schema has no words for.

A request that the schema allows must be answered well. Where that hangs on what only this server knows (which models
there are), or on what JSON Schema cannot say (the last message is the user's), a good request is made truly good.
Requests that shall be refused stay as they are.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation

Body = dict[str, Any]

FUZZ: Mapping[str, str] = json.loads(os.environ["SCHEMA_FUZZ"])
"""`url`, `password`, `provider`, `model`, `webhook`; of who asks, its `token`, its API `key`, its `uid`, and ids of
what it has: `conversation`, `question`, `answer`, `generation`, `response` and `chat`."""

QUESTION = "What is tea?"
LATER = "2036-11-21T08:30:00Z"
EARLIER = "2026-11-20T08:30:00Z"

ACCOUNTS = {"auth_revoke": "staff", "auth_sign_out_everywhere": "staff", "account_delete": "stranger"}
"""These end sign-ins: they have accounts of their own, signed in anew each time."""

KEY_EACH, NOBODY_EACH = 5, 11
"""Every so many requests are by an API key, or by nobody."""

SENDS = ("generations_chat", "generations_edit", "generations_regenerate", "generations_proceed")
WHOLE_EACH = 3
"""Every so many of these ask for the finished reply; they stream otherwise, if they do not prefer 202."""

PLACES = {
    "conversations_change": "conversation",
    "conversations_messages": "conversation",
    "conversations_show": "conversation",
    "generations_edit": "question",
    "generations_events": "generation",
    "generations_pause": "generation",
    "generations_proceed": "answer",
    "generations_regenerate": "answer",
    "generations_resume": "generation",
    "generations_show": "generation",
    "generations_stop": "generation",
    "messages_feedback": "answer",
    "messages_show": "answer",
    "openai_models_show": "model",
    "openai_responses_cancel": "response",
    "openai_responses_show": "response",
    "transfers_export": "conversation",
    "ui_message_show": "chat",
    "ui_message_stop": "chat",
    "ui_message_stream": "chat",
}
"""Whose ids these operations take, which else would mostly answer that there is nothing."""

DELETIONS = {"conversations_delete": "conversation", "openai_responses_delete": "response"}
"""These are given something of their own."""

STRANGE_EACH = 4
"""Every so many ids and keys stay as they were generated."""

CURSORS = {
    "conversations_index": "MjAyNi0xMS0yMVQwODozMDowMCswMDowMHwwMTk4NWYyZS03YTEwLTdjNGUtOWIxZC0yZjZhOGMzZTVkMTA=",
    "search_search": "7",
}
ANY_CURSOR = "01985f2e-7a10-7c4e-9b1d-2f6a8c3e5d10"

_count = 0


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    global _count
    _count += 1
    name = case.operation.definition.raw["operationId"]
    if case.headers.get("Authorization") == f"Bearer {FUZZ['token']}":
        if name in ACCOUNTS:
            case.headers["Authorization"] = f"Bearer {_sign_in(ACCOUNTS[name])['access']}"
        elif _count % NOBODY_EACH == 0:
            del case.headers["Authorization"]
        elif _count % KEY_EACH == 0:
            case.headers["Authorization"] = f"Bearer {FUZZ['key']}"
    if name in SENDS and _count % WHOLE_EACH == 0:
        case.headers["Accept"] = "application/json"
    if _count % STRANGE_EACH:
        if _is_good(case, ParameterLocation.PATH):
            if name in PLACES:
                case.path_parameters["id"] = FUZZ[PLACES[name]]
            elif name in DELETIONS:
                case.path_parameters["id"] = _something_new()[DELETIONS[name]]
        if _is_good(case, ParameterLocation.HEADER) and case.headers.get("Idempotency-Key"):
            case.headers["Idempotency-Key"] = f"fuzz-{_count}"
    if _is_good(case, ParameterLocation.QUERY) and (case.query or {}).get("cursor") is not None:
        case.query["cursor"] = CURSORS.get(name, ANY_CURSOR)
    if isinstance(case.body, dict) and _is_good(case, ParameterLocation.BODY):
        _name_what_there_is(case.body)
        if name in MENDED:
            MENDED[name](case.body)
    elif isinstance(case.body, list) and _is_good(case, ParameterLocation.BODY):
        for conversation in case.body:
            _chatgpt(conversation)  # the only list that is a good body


def _is_good(case: Any, location: ParameterLocation) -> bool:
    return case.meta is not None and not case.meta.is_negative_at(location)


def _sign_in(username: str) -> Mapping[str, str]:
    tokens: Mapping[str, str] = _post("/api/v1/auth/token", {"username": username, "password": FUZZ["password"]})
    return tokens


def _something_new() -> Mapping[str, str]:
    start = _post(
        "/api/v1/chat", {"message": QUESTION}, {"Authorization": f"Bearer {FUZZ['token']}", "Prefer": "respond-async"}
    )
    return start | {"response": f"resp_{start['generation'].replace('-', '')}"}


def _post(path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(FUZZ["url"] + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _name_what_there_is(body: Body) -> None:
    for place in (body, body.get("forwardedProps")):
        if isinstance(place, dict):
            for name in ("provider", "model"):
                if isinstance(place.get(name), str):
                    place[name] = FUZZ[name]


def _openai(body: Body) -> None:
    last = body["messages"][-1]
    if last["role"] != "user" or not _says(last.get("content")):
        body["messages"].append({"role": "user", "content": QUESTION})


def _responses(body: Body) -> None:
    if isinstance(body["input"], list):
        body["input"].append({"role": "user", "content": QUESTION})
        if any(item.get("role") == "assistant" for item in body["input"]):
            body.pop("previous_response_id", None)
    if body.get("previous_response_id"):
        body["previous_response_id"] = FUZZ["response"]


def _ag_ui(body: Body) -> None:
    last = body["messages"][-1]
    if last["role"] != "user" or not _says(last["content"]):
        body["messages"].append({"id": "1", "role": "user", "content": QUESTION})


def _ui(body: Body) -> None:
    last = body["messages"][-1]
    if last["role"] != "user" or not _says(last["parts"]):
        body["messages"].append({"id": "1", "role": "user", "parts": [{"type": "text", "text": QUESTION}]})


def _says(content: str | list[Body] | None) -> bool:
    texts = [content] if isinstance(content, str) else [part.get(part["type"]) for part in content or []]
    return bool("".join(text for text in texts if isinstance(text, str)).strip())


def _api_key(body: Body) -> None:
    if body.get("expires_at") is not None:
        body["expires_at"] = LATER


def _credentials(body: Body) -> None:
    body |= {"username": "stranger", "password": FUZZ["password"]}


def _refresh(body: Body) -> None:
    body["refresh"] = _sign_in("stranger")["refresh"]


def _seed(body: Body) -> None:
    body["uid"] = FUZZ["uid"]


def _webhook(body: Body) -> None:
    body["url"] = FUZZ["webhook"]


def _farewell(body: Body) -> None:
    """Who says goodbye is needed again."""
    body["password"] = "not the password"


def _import(body: Body) -> None:
    for tree in [body, *(body.get("conversations") or [])]:
        if isinstance(tree.get("conversation"), dict):
            _moments(tree["conversation"], "created_at", "updated_at")
        for number, message in enumerate(tree.get("messages") or []):
            if isinstance(message, dict):
                message["id"] = str(number)
                message["parent"] = str(number - 1) if number % 3 else None
                _moments(message, "created_at")


def _chatgpt(conversation: Body) -> None:
    _moments(conversation, "create_time", "update_time")
    for node in conversation["mapping"].values():
        node["parent"] = None
        if isinstance(node.get("message"), dict):
            _moments(node["message"], "create_time")


def _moments(place: Body, *names: str) -> None:
    """Of the schema's moments, those before 1970 are refused."""
    for name in names:
        if isinstance(place.get(name), str):
            place[name] = EARLIER


MENDED: Mapping[str, Callable[[Body], None]] = {
    "account_delete": _farewell,
    "ag_ui_run": _ag_ui,
    "api_keys_create": _api_key,
    "auth_refresh": _refresh,
    "auth_token": _credentials,
    "openai_chat_create": _openai,
    "openai_responses_create": _responses,
    "seed_chat_chat": _seed,
    "transfers_take_in": _import,
    "ui_message_chat": _ui,
    "webhooks_create": _webhook,
}
