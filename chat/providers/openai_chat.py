"""OpenAI's Chat Completions stream, as spoken by OpenAI and by many others with differences of their own: what they are
asked is data of `openai_vendors`, what they answer is read here, whoever it comes from.

Source: the OpenAI API reference, "Chat Completions", and what DeepSeek, Qwen, GLM, Moonshot, Qianfan, Spark's HTTP
interface, vLLM, llama.cpp, Ollama and `transformers serve` are seen to send. Unknown fields are ignored.
"""

from __future__ import annotations

from typing import Any, Literal

import httpx
import msgspec

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers import openai_errors
from chat.providers.base import ChatRequest, Profile, Take
from chat.providers.http_adapter import HttpAdapter
from chat.providers.json_frames import FrameDecoder
from chat.providers.openai_messages import messages_of
from chat.providers.openai_options import Extra, Headers, bearer
from chat.providers.openai_vendors import Prefill, VendorName, sampling_of, vendor_at
from chat.providers.spark_codes import SENSITIVE_REPLY
from chat.providers.sse_reply import DONE, SSEReply

_FINISH = {
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "sensitive": FinishReason.CONTENT_FILTER,
}
"""Whatever else an upstream calls it (`stop`, `eos`, `tool_calls` …) is a stop."""

_SENSITIVE = str(SENSITIVE_REPLY)
_UNFINISHED = frozenset({"", "null", "normal"})
"""Baidu's `normal` stands on any chunk of a reply that is going well, the last one or not."""

_FINE = frozenset({"", "0", "200", "none", "null", "ok", "success"})
"""A `code` that says that nothing is wrong, in lower case: Spark's is 0 on each chunk, a gateway's an HTTP status."""

_COUNTS = ("prompt_tokens", "completion_tokens")

_CUT_SHORT = frozenset({"insufficient_system_resource", "network_error", "abort", "aborted", "error"})


class _Delta(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None
    usage: Any = None
    index: int | None = 0


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    code: Any = None


_decode = FrameDecoder(_Chunk).decode


class OpenAIChat(HttpAdapter):
    kind = "openai_chat"
    upstream = "sse"

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        api_key: str | None,
        vendor: VendorName = "auto",
        stop_mark: Literal["optional", "required"] = "optional",
        prefill: Literal["auto"] | Prefill = "auto",
        headers: Headers | None = None,
        extra: Extra | None = None,
        http: httpx.AsyncBaseTransport,
    ) -> None:
        super().__init__(profile, f"{base_url.rstrip('/')}/chat/completions", bearer(api_key, headers), http)
        self._vendor = vendor_at(base_url, vendor)
        self._stop_mark = stop_mark
        self._prefill: Prefill = self._vendor.prefill if prefill == "auto" else prefill
        self._extra = extra or {}
        self.prefills = self._prefill != "no"

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take, mark_required=self._stop_mark == "required")

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        return openai_errors.refine(error, body)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        vendor = self._vendor.of_model(request.model)
        if not vendor.pictures and any(turn.pictures for turn in request.turns):
            details = {"provider": self.id, "cause": Cause.PICTURES}
            raise UpstreamError(ErrorCode.UPSTREAM_REJECTED, details=details)
        body: dict[str, Any] = {
            "model": request.model,
            "messages": messages_of(request.turns, vendor, self._prefill),
            "stream": True,
            **sampling_of(request.params, vendor, vendor.max_tokens),
        }
        if vendor.counts_on_request:
            body["stream_options"] = {"include_usage": True}
        if self._prefill == "continue_final_message" and request.turns and request.turns[-1].role == "assistant":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.user and vendor.user is not None:
            body[vendor.user] = request.user
        return body | self._extra


class _Reply(SSEReply):
    def __init__(self, provider: str, take: Take, *, mark_required: bool) -> None:
        super().__init__(provider, take)
        self._mark_required = mark_required

    def is_complete(self) -> bool:
        return self.done or (self.finish_reason is not None and not self._mark_required)

    def read_block(self, name: str, data: bytes) -> None:
        if data.startswith(DONE):
            self.done = True
            return
        if name == "error":
            raise openai_errors.of_object(openai_errors.error_in(data), provider=self.provider)
        try:
            chunk = _decode(data)
        except ValueError:
            if not data.strip():
                return  # blanks, which some send to keep the connection alive
            raise self.broken() from None
        code = str(chunk.code).lower() if chunk.code else ""
        if chunk.error or (code not in _FINE and code != _SENSITIVE):
            raise self.refused(data)
        if chunk.usage is not None:
            self.count_in(chunk.usage, *_COUNTS)
        for choice in chunk.choices or ():
            if not choice.index:  # of several answers, the first
                self._read_choice(choice)
        if code == _SENSITIVE:
            # The text is complete and stands; that it looks sensitive is for the reader to know.
            self.done = True
            self.finish(FinishReason.CONTENT_FILTER)

    def _read_choice(self, choice: _Choice) -> None:
        delta = choice.delta
        if delta is not None and delta.role != "tool":  # what a search found is no answer
            self.think(delta.reasoning_content or delta.reasoning)
            self.say(delta.content or delta.refusal)
        if choice.usage is not None:
            self.count_in(choice.usage, *_COUNTS)
        reason = choice.finish_reason
        if reason is not None and reason not in _UNFINISHED:
            if reason in _CUT_SHORT:
                raise self.fail(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True)
            self.finish(_FINISH.get(reason, FinishReason.STOP))

    def refused(self, body: bytes) -> UpstreamError:
        error = openai_errors.error_in(body)
        return self.broken() if error is None else openai_errors.of_object(error, provider=self.provider)
