"""Anthropic's Messages API, as spoken by Anthropic and by those who offer it for their own models.

Source: the Claude API reference, "Messages" and "Streaming messages", and the Python SDK's _streaming.py and types.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Annotated, Any

import httpx
import msgspec

from chat.errors import UpstreamError
from chat.events import FinishReason
from chat.providers import anthropic_errors
from chat.providers.alternation import alternating
from chat.providers.base import ChatRequest, Params, Profile, Take, Turn
from chat.providers.claude_models import Takes, takes
from chat.providers.continuing import CONTINUE
from chat.providers.http_adapter import HttpAdapter
from chat.providers.json_frames import FrameDecoder, json_object
from chat.providers.sse_reply import DONE, SSEReply
from chat.providers.token_counts import tokens_at, total

VERSION = b"2023-06-01"
USER_CHARS = 256

BUDGET_LEAST = 1024
"""Tokens of thinking: the API takes no smaller budget."""

THINKING_TOP_P = 0.95
"""The least top_p of a model that thinks."""

_FINISH = {
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}
"""Whatever else it is (`end_turn`, `stop_sequence`, `tool_use`, `pause_turn` …) is a stop."""

_INPUT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
"""What is in the cache is not among the first, and belongs to the question all the same."""

_EVENTS = frozenset(
    {"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
     "message_stop", "error"}
)  # fmt: skip
_PIECES = frozenset({"text", "thinking", "text_delta", "thinking_delta"})


class _Piece(msgspec.Struct, gc=False):
    """Of a block its beginning, or what is added to it; of the message why it stops."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Message(msgspec.Struct, gc=False):
    usage: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    message: _Message | None = None
    content_block: _Piece | None = None
    delta: _Piece | None = None
    error: Any = None
    usage: Any = None


_decode = FrameDecoder(_Event).decode


class Anthropic(HttpAdapter):
    """`base_url` ends where `/messages` follows. `thinking`: tokens that a model may think for, beside those of its
    answer. `beta`: names of preview features, between commas."""

    kind = "anthropic"
    upstream = "sse"

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        api_key: str | None,
        thinking: Annotated[int, msgspec.Meta(ge=BUDGET_LEAST)] | None = None,
        beta: str | None = None,
        http: httpx.AsyncBaseTransport,
    ) -> None:
        headers = [(b"anthropic-version", VERSION)]
        if api_key is not None:
            headers.append((b"x-api-key", api_key.encode()))
        if beta:
            headers.append((b"anthropic-beta", beta.encode()))
        super().__init__(profile, f"{base_url.rstrip('/')}/messages", headers, http)
        self._thinking = thinking
        self.prefills = all(self._prefills(model.id) for model in profile.models)

    async def stream(self, request: ChatRequest, take: Take) -> None:
        await self.exchange(self._post(request), _Reply(self.id, take, left_out=self._left_out(request)))

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take)

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        return anthropic_errors.refine(error, body)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        instructions, turns = alternating(request.turns)
        if not turns or (turns[-1].role == "assistant" and not self._prefills(request.model)):
            turns.append(Turn("user", CONTINUE))
        elif turns[-1].role == "assistant":
            turns[-1] = replace(turns[-1], text=turns[-1].text.rstrip())
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [_message(turn) for turn in turns],
            "stream": True,
            **self._parameters(request.params, takes(request.model)),
        }
        if instructions:
            body["system"] = instructions
        if request.user:
            body["metadata"] = {"user_id": request.user[:USER_CHARS]}
        return body

    def _prefills(self, model: str) -> bool:
        return self._thinking is None and takes(model).prefill

    def _left_out(self, request: ChatRequest) -> str:
        """White space at the end of an unfinished answer, which the API refuses there."""
        last = request.turns[-1] if request.turns else None
        if last is None or last.role != "assistant" or not self._prefills(request.model):
            return ""
        return last.text[len(last.text.rstrip()) :]

    def _parameters(self, params: Params, taken: Takes) -> dict[str, Any]:
        """A model that thinks takes no temperature, and little of top_p; its thoughts count as tokens of the reply."""
        tokens = taken.tokens if params.max_tokens is None else max(params.max_tokens, 1)
        given: dict[str, Any] = {"max_tokens": tokens + (self._thinking or 0)}
        if self._thinking is not None and taken.budget:
            given["thinking"] = {"type": "enabled", "budget_tokens": self._thinking}
        elif self._thinking is not None:
            given["thinking"] = {"type": "adaptive", "display": "summarized"}
        if not taken.sampling:
            return given
        if params.temperature is not None and self._thinking is None:
            given["temperature"] = min(max(params.temperature, 0.0), 1.0)
        if params.top_p is not None and (taken.both or "temperature" not in given):
            given["top_p"] = min(max(params.top_p, 0.0 if self._thinking is None else THINKING_TOP_P), 1.0)
        return given


def _message(turn: Turn) -> dict[str, Any]:
    if not turn.pictures:
        return {"role": turn.role, "content": turn.text}
    blocks: list[dict[str, Any]] = [
        {
            "type": "image",
            "source": {
                "type": "base64",
                "media_type": picture.content_type,
                "data": base64.b64encode(picture.data).decode(),
            },
        }
        for picture in turn.pictures
    ]
    if turn.text.strip():
        blocks.append({"type": "text", "text": turn.text})
    return {"role": turn.role, "content": blocks}


class _Reply(SSEReply):
    def __init__(self, provider: str, take: Take, *, left_out: str = "") -> None:
        super().__init__(provider, take)
        self._left_out = left_out
        self._input: dict[str, int] = {}

    def is_complete(self) -> bool:
        return self.done

    def read_block(self, name: str, data: bytes) -> None:
        if name == "ping" or not data.strip():
            return
        if name == "error":
            raise anthropic_errors.of_object(anthropic_errors.error_in(data), provider=self.provider)
        try:
            event = _decode(data)
        except ValueError:
            if data.startswith(DONE) or _is_new(data):
                return
            raise self.broken() from None
        if event.error or event.type == "error":  # gateways leave the type out, and the event's name
            raise anthropic_errors.of_object(anthropic_errors.error_in(data), provider=self.provider)
        if event.type == "content_block_delta":
            self._read_piece(event.delta)
        elif event.type == "content_block_start":
            self._read_piece(event.content_block)
        elif event.type == "message_start":
            self._count(event.message.usage if event.message else None)
        elif event.type == "message_delta":
            self._count(event.usage)
            if event.delta is not None and event.delta.stop_reason:
                self.finish(_FINISH.get(event.delta.stop_reason, FinishReason.STOP))
        elif event.type == "message_stop":
            self.done = True

    def refused(self, body: bytes) -> UpstreamError:
        error = anthropic_errors.error_in(body)
        return self.broken() if error is None else anthropic_errors.of_object(error, provider=self.provider)

    def _read_piece(self, piece: _Piece | None) -> None:
        if piece is None:
            return
        if piece.type in ("text_delta", "text"):
            self.say(self._without_repetition(piece.text) if self._left_out else piece.text)
        elif piece.type in ("thinking_delta", "thinking"):
            self.think(piece.thinking)

    def _without_repetition(self, text: str | None) -> str:
        """The white space that the question had to leave out comes from the model, which knows nothing of it."""
        text, at = text or "", 0
        while text[at : at + 1] and text[at] == self._left_out[at : at + 1]:
            at += 1
        self._left_out = self._left_out[at:] if at == len(text) else ""
        return text[at:]

    def _count(self, usage: Any) -> None:
        """Each report holds the totals so far, of what it holds."""
        for name in _INPUT:
            if (known := tokens_at(usage, name)) is not None:
                self._input[name] = known
        self.count(total(*self._input.values()), tokens_at(usage, "output_tokens"))


def _is_new(data: bytes) -> bool:
    """Whether an event that cannot be read is one that the API has got since, or is about what it has got."""
    event = json_object(data)
    if event is None:
        return False
    pieces = [event[name] for name in ("delta", "content_block") if isinstance(event.get(name), dict)]
    kinds = [str(piece["type"]) for piece in pieces if piece.get("type") is not None]
    return str(event.get("type")) not in _EVENTS or any(kind not in _PIECES for kind in kinds)
