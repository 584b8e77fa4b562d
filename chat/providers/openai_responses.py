"""OpenAI's Responses API, as spoken by OpenAI, Azure, Ollama, vLLM and others.

Source: the OpenAI API reference, "Responses" and its streaming events. With `background`, a response is written whether
or not anybody is connected: see `resumable_responses`.
"""

from __future__ import annotations

from typing import Any, Literal

import httpx
import msgspec

from chat.errors import ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers import openai_errors
from chat.providers.base import ChatRequest, Profile, Take, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.json_frames import FrameDecoder
from chat.providers.openai_messages import data_uri
from chat.providers.openai_options import Extra, Headers, bearer
from chat.providers.openai_vendors import VendorName, sampling_of, vendor_at
from chat.providers.resumable_responses import ResumableReply, ResumingAdapter
from chat.providers.sse_reply import DONE

TOKENS_LEAST = 16
"""`max_output_tokens` below this is refused."""

_SAID = frozenset({"response.output_text.delta", "response.refusal.delta"})
_THOUGHT = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})
_INCOMPLETE = {"content_filter": FinishReason.CONTENT_FILTER}
"""Whatever else keeps a response from being complete, above all `max_output_tokens`, is a length."""


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    id: str | None = None
    usage: Any = None
    error: Any = None
    incomplete_details: _Incomplete | None = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    sequence_number: int | None = None
    delta: Any = None
    output_index: int | None = None
    summary_index: int | None = None
    content_index: int | None = None
    response: _Response | None = None
    error: Any = None


_decode = FrameDecoder(_Event).decode


class OpenAIResponses(ResumingAdapter):
    kind = "openai_responses"
    upstream = "sse"

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        api_key: str | None,
        vendor: VendorName = "auto",
        store: bool = False,
        background: bool = False,
        effort: str | None = None,
        summary: Literal["auto", "concise", "detailed"] | None = None,
        headers: Headers | None = None,
        extra: Extra | None = None,
        http: httpx.AsyncBaseTransport,
    ) -> None:
        """`store`: whether the upstream keeps what was said; in the background it always does for a while. `effort`
        and `summary`: how much a model reasons, and whether it tells; their words are the upstream's."""
        super().__init__(profile, f"{base_url.rstrip('/')}/responses", bearer(api_key, headers), http)
        self._vendor = vendor_at(base_url, vendor)
        self._background = background
        self._options: dict[str, Any] = {"store": store or background}
        if background:
            self._options["background"] = True
        if effort is not None or summary is not None:
            reasoning = {"effort": effort, "summary": summary}
            self._options["reasoning"] = {name: word for name, word in reasoning.items() if word is not None}
        self._extra = extra or {}

    async def stream(self, request: ChatRequest, take: Take) -> None:
        if self._background:
            await self.follow(self._post(request), self.reply(take), request.pace)
        else:
            await super().stream(request, take)

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take)

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        return openai_errors.refine(error, body)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "input": [_item(turn) for turn in request.turns if turn.role != "system"],
            "stream": True,
            **self._options,
            **sampling_of(request.params, self._vendor, "max_output_tokens"),
        }
        if instructions := "\n\n".join(turn.text for turn in request.turns if turn.role == "system"):
            body["instructions"] = instructions
        if "max_output_tokens" in body:
            body["max_output_tokens"] = max(body["max_output_tokens"], TOKENS_LEAST)
        if request.turns and request.turns[-1].role == "assistant":
            body["input"].append({"role": "user", "content": CONTINUE})
        if request.user and self._vendor.user is not None:
            body[self._vendor.user] = request.user
        return body | self._extra


def _item(turn: Turn) -> dict[str, Any]:
    if not turn.pictures:
        return {"role": turn.role, "content": turn.text}
    parts = [{"type": "input_text", "text": turn.text}] if turn.text else []
    pictures = [{"type": "input_image", "image_url": data_uri(picture)} for picture in turn.pictures]
    return {"role": turn.role, "content": parts + pictures}


class _Reply(ResumableReply):
    def __init__(self, provider: str, take: Take) -> None:
        super().__init__(provider, take)
        self._thought: tuple[int | None, ...] | None = None

    def read_block(self, name: str, data: bytes) -> None:
        if data.startswith(DONE):
            return  # some say so behind the last event, which has its own end
        if name == "error":
            raise self._of_error(openai_errors.error_in(data))
        try:
            event = _decode(data)
        except ValueError:
            if not data.strip():
                return
            raise self.broken() from None
        if self.is_news(event.sequence_number):
            self._read_event(event, event.type or name, data)

    def _read_event(self, event: _Event, kind: str, data: bytes) -> None:
        if kind in _SAID:
            self.say(_text(event.delta))
        elif kind in _THOUGHT:
            self._think_apart(event)
        elif kind == "error" or (event.error and not kind.startswith("response.")):
            raise self._of_error(event.error or openai_errors.error_in(data))
        elif event.response is not None:
            self._read_response(event.response, kind)

    def _think_apart(self, event: _Event) -> None:
        """A blank line between the parts of what was thought."""
        if not (delta := _text(event.delta)):
            return
        part = (event.output_index, event.summary_index, event.content_index)
        if self._thought not in (None, part):
            self.think("\n\n")
        self._thought = part
        self.think(delta)

    def _read_response(self, response: _Response, kind: str) -> None:
        """An event about the whole of it."""
        self.named(response.id)
        self.count_in(response.usage, "input_tokens", "output_tokens")
        match kind:
            case "response.completed":
                self._end(FinishReason.STOP)
            case "response.incomplete":
                details = response.incomplete_details
                reason = None if details is None else details.reason
                self._end(_INCOMPLETE.get(reason or "", FinishReason.LENGTH))
            case "response.failed":
                self.over = True
                raise self._of_error(response.error)
            case "response.cancelled":
                self.over = True
                raise self.fail(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True)

    def _end(self, reason: FinishReason) -> None:
        self.over = self.done = True
        self.finish(reason)

    def refused(self, body: bytes) -> UpstreamError:
        error = openai_errors.error_in(body)
        return self.broken() if error is None else self._of_error(error)

    def _of_error(self, error: Any) -> UpstreamError:
        return openai_errors.of_object(error, provider=self.provider)


def _text(delta: Any) -> str | None:
    """Deltas of other kinds of event are objects."""
    return delta if isinstance(delta, str) else None
