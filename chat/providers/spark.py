"""iFlytek Spark over WebSocket: its chat models, models that were fine-tuned on it, and questions about a picture.

Source: iFlytek's "星火认知大模型 WebSocket 接口文档", "图片理解 API 文档", and its Java and Python SDKs.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

import httpx
import msgspec

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers.base import ChatRequest, Profile, Take
from chat.providers.json_frames import FrameDecoder
from chat.providers.refused_handshake import HandshakeRefused
from chat.providers.spark_codes import SENSITIVE_REPLY, of_code
from chat.providers.spark_messages import Message, is_acceptable, newest_picture, turns_for_spark, with_picture
from chat.providers.spark_products import domain_for, product_at
from chat.providers.spark_signing import signed_url
from chat.providers.websocket_adapter import FrameReply, WebSocketAdapter

UID_CHARS = 32

LEAST = 0.01
"""Sampling parameters must be above 0."""

CLOCK_HINT = "The server's clock may be wrong by more than 300 seconds."


class _Item(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None


class _Choices(msgspec.Struct, gc=False):
    status: int | None = None
    text: list[_Item] | None = None


class _Payload(msgspec.Struct, gc=False):
    choices: _Choices | None = None
    usage: Any = None


class _Header(msgspec.Struct, gc=False):
    code: int


class _Frame(msgspec.Struct, gc=False):
    header: _Header
    payload: _Payload | None = None


_decode = FrameDecoder(_Frame, strict=True).decode


class Spark(WebSocketAdapter):
    """`top_k`: of how many tokens each is chosen. `patch_id`: the resource that a fine-tuned model wants besides its
    service id, which is its model's id. `thinking`: of models that think as they are told, as the vendor's HTTP
    interface has it. Each model without a `context` has its product's."""

    kind = "spark"

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        app_id: str,
        api_key: str,
        api_secret: str,
        top_k: Annotated[int, msgspec.Meta(ge=1, le=6)] | None = None,
        patch_id: str = "",
        thinking: Literal["", "enabled", "disabled", "auto"] = "",
    ) -> None:
        self._product = product_at(base_url)
        context = self._product.context
        models = tuple(replace(model, context=context) if model.context is None else model for model in profile.models)
        super().__init__(replace(profile, models=models))
        self._base_url = base_url
        self._app_id = app_id
        self._api_key = api_key
        self._api_secret = api_secret
        self._top_k = top_k
        self._patch_id = patch_id
        self._thinking = thinking

    def address(self) -> str:
        return signed_url(self._base_url, self._api_key, self._api_secret)

    def question(self, request: ChatRequest) -> str:
        question = {
            "header": self._header(request),
            "parameter": {"chat": self._chat(request)},
            "payload": {"message": {"text": self._messages(request)}},
        }
        return json.dumps(question, ensure_ascii=False)

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take)

    def refine(self, error: UpstreamError, refusal: HandshakeRefused) -> UpstreamError:
        """Only its words tell a skewed clock from a wrong key."""
        if refusal.status != 403 or b"valid date" not in refusal.body:
            return error
        skew = _ahead_of_theirs(refusal.headers)
        known: dict[str, Any] = {} if skew is None else {"skew": skew}
        return self.error(ErrorCode.UPSTREAM_AUTH, status=403, cause=Cause.CLOCK, hint=CLOCK_HINT, **known)

    def _header(self, request: ChatRequest) -> dict[str, Any]:
        header: dict[str, Any] = {"app_id": self._app_id}
        if request.user:
            header["uid"] = request.user[:UID_CHARS]
        if self._patch_id:
            header["patch_id"] = [self._patch_id]
        return header

    def _chat(self, request: ChatRequest) -> dict[str, Any]:
        chat: dict[str, Any] = {"domain": self._domain(request.model)}
        params = request.params
        if params.temperature is not None:
            chat["temperature"] = min(max(params.temperature, LEAST), self._product.temperature)
        if params.top_p is not None:
            chat["top_p"] = min(max(params.top_p, LEAST), 1.0)
        if params.max_tokens is not None:
            chat["max_tokens"] = min(max(params.max_tokens, 1), self._product.max_tokens)
        if self._top_k is not None:
            chat["top_k"] = self._top_k
        if self._thinking:
            chat["thinking"] = {"type": self._thinking}
        return chat

    def _domain(self, model: str) -> str:
        """A model with a resource of its own has a domain of its own, wherever it is served."""
        return model if self._patch_id else domain_for(model, self._base_url)

    def _messages(self, request: ChatRequest) -> list[Message]:
        messages = turns_for_spark(request.turns, system=self._product.system)
        picture = newest_picture(request.turns)
        if picture is None:
            return messages
        if not self._product.pictures or not is_acceptable(picture):
            raise self.error(ErrorCode.UPSTREAM_REJECTED, cause=Cause.PICTURES)
        return with_picture(messages, picture)


class _Reply(FrameReply):
    def read_frame(self, message: bytes) -> None:
        try:
            frame = _decode(message)
        except ValueError:
            raise self.broken() from None
        code = frame.header.code
        if code not in (0, SENSITIVE_REPLY):
            raise of_code(code, provider=self.provider)
        if frame.payload is not None:
            self._read_payload(frame.payload)
        if code == SENSITIVE_REPLY:
            # The text is complete and stands; that it looks sensitive is for the reader to know.
            self._end(FinishReason.CONTENT_FILTER)

    def _read_payload(self, payload: _Payload) -> None:
        if isinstance(payload.usage, dict):
            self.count_in(payload.usage.get("text"), "prompt_tokens", "completion_tokens")
        if payload.choices is None:
            return
        for item in payload.choices.text or ():
            self.think(item.reasoning_content)
            self.say(item.content)
        # Not the header's status: it is seen to be 0 there.
        if payload.choices.status == 2:
            self._end(FinishReason.STOP)

    def _end(self, reason: FinishReason) -> None:
        self.done = True
        self.finish(reason)


def _ahead_of_theirs(headers: httpx.Headers) -> int | None:
    """By how many seconds our clock is ahead of who answered (RFC 9110, 6.6.1); None where that doesn't say."""
    try:
        return round(time.time() - parsedate_to_datetime(headers.get("date", "")).timestamp())
    except (ValueError, OverflowError):
        return None
