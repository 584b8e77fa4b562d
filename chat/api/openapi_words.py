"""What the description of the API says beyond what the code of each operation does: words, headers, and who may call.

Keys are the operations' ids, which are their file and function: `generations_chat`.
"""

from __future__ import annotations

from typing import Any

from chat.models.generation import KEY_CHARS

TITLE = "Chat"

DESCRIPTION = """\
Chat with AIs: send messages, follow replies by cursor, over SSE or as JSON. The same events travel over the WebSocket,
which `/api/asyncapi.json` describes.

A list is `{"items": […], "next": <cursor or null>}`: the next page is asked for with `?cursor=`. A field without a
value is `null`, never missing. Ids are UUIDs, times ISO 8601 in UTC. Every refusal is `{"error", "code", "details"}`:
words for a person, a code and details for a program; the addresses under `/v1` refuse in OpenAI's shape.

A good answer to a GET has an `ETag`; sent back in `If-None-Match`, it is answered with 304 while nothing has changed.
HEAD is answered wherever GET is. Answers of a kilobyte or more are compressed where the client takes gzip.
"""

TAGS = {
    "generations": "Sending messages, and the replies: each is a generation, whose events are numbered from 1.",
    "conversations": "A user's threads of messages. What is somebody else's does not exist.",
    "messages": "One turn of a conversation, and what its reader thinks of it.",
    "search": "Finding what was said.",
    "providers": "The AIs that can be chosen.",
    "accounts": "Who one is, tokens and API keys.",
    "webhooks": "Addresses of yours that are told when something happens.",
    "dialects": "The same replies in the formats of other clients.",
    "OpenAI": "OpenAI's Chat Completions and models, for its clients. Refusals have its shape.",
    "responses": "OpenAI's Responses, for its clients. Refusals have its shape.",
}

SECURITY_SCHEMES: dict[str, Any] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of `POST /api/v1/auth/token`. It may do what its person may.",
    },
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `POST /api/v1/api-keys`. It needs the scope that is named beside it.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "The browser's session, after the sign-in page.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRFToken",
        "description": "With a session, whatever is no GET needs this too: the value of the cookie `csrftoken`.",
    },
}

KEY_SCOPES = {"authenticate": ("read", None), "authenticate_chat": ("read", "chat")}
"""What an API key needs to read and to change something, by the `auth` of the operation; None: no key may."""

STREAMS = ("generations_events",)
"""Operations that answer with a reply's events and nothing else."""

SENDS = ("generations_chat", "generations_edit", "generations_regenerate", "generations_proceed")
"""Operations that start a reply: as a stream, as JSON, or without waiting for it."""

DIALECT_SENDS = (
    "generate_generate",
    "openai_chat_create",
    "openai_responses_create",
    "seed_chat_chat",
    "ui_message_chat",
)
"""The same in the formats of other clients, which say for themselves how they want to be answered."""

COUNTED = (*SENDS, *DIALECT_SENDS, "auth_token")
"""Operations that a limit counts."""

ERRORS: dict[int, tuple[str, str, str]] = {
    400: ("INVALID_REQUEST", "The body is not JSON.", "The request cannot be read."),
    401: ("UNAUTHENTICATED", "Please sign in.", "Nobody is signed in, or the token or key is not valid any more."),
    402: ("PAYMENT_REQUIRED", "This needs to be paid for.", "Something has to be paid for first."),
    403: (
        "FORBIDDEN",
        "The security token is missing or wrong. Please reload the page.",
        "A session without its CSRF token, or an API key without the scope.",
    ),
    404: ("NOT_FOUND", "There is no such conversation.", "It does not exist, or is somebody else's."),
    409: ("CONFLICT", "This key was used for another message.", "It contradicts what there is, such as a used key."),
    413: ("TOO_LARGE", "The request is too large.", "The body, or a text in it, is larger than the server takes."),
    415: ("UNSUPPORTED_MEDIA", "Send the body as application/json.", "The body is of another type than is taken."),
    422: ("INVALID_REQUEST", "Please write a message.", "The request can be read and makes no sense."),
    429: (
        "RATE_LIMITED",
        "Too many messages. Please wait a moment.",
        "A limit is reached; `Retry-After` says how long.",
    ),
    500: ("INTERNAL", "Something went wrong on our side. Please try again.", "A fault of the server's own."),
    502: ("UPSTREAM_UNAVAILABLE", "The AI service cannot be reached at the moment.", "The AI has failed."),
    503: ("UNAVAILABLE", "The server is restarting. Please try again.", "The server cannot do it at the moment."),
    504: ("UPSTREAM_TIMEOUT", "The AI service took too long to answer.", "The AI took too long."),
}
"""By status: the code, words as a client may read them, and what it means."""

NOT_OF_GET = (409, 413, 415)

HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Generation-Id": ("The reply's id, by which it can be followed and stopped.", {"type": "string"}),
    "X-Conversation-Id": ("The conversation's id.", {"type": "string"}),
    "Location": ("Where to look for what was started.", {"type": "string"}),
    "Preference-Applied": ("`respond-async`.", {"type": "string"}),
    "ETag": ("What to send in `If-None-Match` the next time.", {"type": "string"}),
    "Retry-After": ("Seconds until the same request may succeed.", {"type": "integer", "minimum": 0}),
    "WWW-Authenticate": ("`Bearer`.", {"type": "string"}),
    "RateLimit-Limit": ("How many of these calls the limit allows.", {"type": "integer"}),
    "RateLimit-Remaining": ("How many are left.", {"type": "integer"}),
    "RateLimit-Reset": ("Seconds until there are more.", {"type": "integer"}),
}

RATE_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
REPLY_HEADERS = ("X-Generation-Id", "X-Conversation-Id")

PARAMETERS: dict[str, Any] = {
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The `ETag` of the answer that the client has.",
        "schema": {"type": "string"},
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The client's own name for this request: sent again, it is done once and answered alike. "
        "An empty one is none.",
        "schema": {"type": "string", "maxLength": KEY_CHARS},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": "`respond-async`: 202 at once; the reply is followed, or asked for, by its id.",
        "schema": {"type": "string"},
        "example": "respond-async",
    },
    "Last-Event-ID": {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "The cursor: the last `seq` that the client has; empty is none.",
        "schema": {"type": "string", "pattern": "^[0-9]{0,15}$"},
    },
    "after": {
        "name": "after",
        "in": "query",
        "required": False,
        "description": "The same, where `Last-Event-ID` cannot be sent; 0 is everything.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999999999999999, "default": 0},
    },
}
