"""iFlytek Spark over WebSocket.

Source: iFlytek's "星火认知大模型 WebSocket 接口文档" and its Java and Python SDKs.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, ProviderEvent, Reasoning, Text, Usage
from chat.providers.base import ChatRequest, Model, Provider, Take, Timeouts, Turn
from chat.providers.spark_products import domain_for, product_at
from chat.providers.spark_signing import signed_url
from chat.providers.text import TextJoiner
from chat.providers.transport import ConnectionDied
from chat.providers.websocket import HandshakeRefused, ProtocolBroken, UpstreamSocket

UID_CHARS = 32

CONTINUE = "请从刚才中断的地方继续,不要重复。 Go on exactly where you stopped; repeat nothing."
"""What asks for the rest of an unfinished answer: the last turn must be the user's."""

ORDERLY = frozenset({1000, 1005})
"""Close codes (RFC 6455, 7.4) of a server that meant to say goodbye; with any other it has failed."""
TOO_BIG = 1009

LEAST = 0.01
"""Sampling parameters must be above 0."""

CLOCK_HINT = "The server's clock may be wrong by more than 300 seconds."

_AUTH = {10015, 10016, 11200}
_RATE_LIMITED = {10006, 10007, 11201, 11202, 11203}
_UNAVAILABLE = {10000, 10001, 10002, 10008, 10009, 10010, 10011, 10012, 10018, 10110, 10222, 10223}
_FILTERED = {10013, 10014, 10021, 10022}
_DAILY_LIMIT = 11201
_SENSITIVE_REPLY = 10019


class _Item(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None


class _Choices(msgspec.Struct, gc=False):
    status: int = 1
    text: list[_Item] | None = None


class _UsageText(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _UsagePart(msgspec.Struct, gc=False):
    text: _UsageText | None = None


class _Payload(msgspec.Struct, gc=False):
    choices: _Choices | None = None
    usage: _UsagePart | None = None


class _Header(msgspec.Struct, gc=False):
    code: int
    status: int = 1


class _Frame(msgspec.Struct, gc=False):
    header: _Header
    payload: _Payload | None = None


_decode_frame = msgspec.json.Decoder(_Frame).decode


class Spark(Provider):
    kind = "spark"
    upstream = "websocket"

    def __init__(
        self,
        id: str,
        label: str,
        models: tuple[Model, ...],
        timeouts: Timeouts,
        retries: int,
        fallback: tuple[str, ...],
        *,
        base_url: str,
        app_id: str,
        api_key: str,
        api_secret: str,
    ) -> None:
        self.id = id
        self.label = label
        self.models = models
        self.timeouts = timeouts
        self.retries = retries
        self.fallback = fallback
        self._base_url = base_url
        self._app_id = app_id
        self._api_key = api_key
        self._api_secret = api_secret

    async def stream(self, request: ChatRequest, take: Take) -> None:
        socket = await self._connect(request)
        reply = _Reply(self.id, take)
        try:
            socket.send(json.dumps(self._question(request), ensure_ascii=False))
            if not await socket.pour(reply.read):
                raise self._of_close(socket.close_code, reply.begun)
        except ProtocolBroken:
            raise self._error(ErrorCode.UPSTREAM_PROTOCOL) from None
        except ConnectionDied:
            raise self._error(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=not reply.begun) from None
        finally:
            await socket.aclose()

    async def aclose(self) -> None:
        """Nothing is kept between requests."""

    async def _connect(self, request: ChatRequest) -> UpstreamSocket:
        url = signed_url(self._base_url, self._api_key, self._api_secret)
        try:
            return await UpstreamSocket.connect(url, pace=request.pace, seconds=self.timeouts.connect)
        except TimeoutError:
            raise self._error(ErrorCode.UPSTREAM_TIMEOUT) from None
        except OSError:
            raise self._error(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True) from None
        except HandshakeRefused as refusal:
            raise self._of_handshake(refusal.status, refusal.body) from None

    def _of_close(self, code: int | None, begun: bool) -> UpstreamError:
        """The server has closed before the end mark."""
        if code in ORDERLY:
            return self._error(ErrorCode.UPSTREAM_PROTOCOL, close_code=code)
        if code == TOO_BIG:
            return self._error(ErrorCode.UPSTREAM_REJECTED, close_code=code)
        return self._error(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=not begun, close_code=code)

    def _of_handshake(self, status: int, body: bytes) -> UpstreamError:
        if status in (401, 403):
            if status == 403 and b"valid date" in body:
                return self._error(ErrorCode.UPSTREAM_AUTH, status=status, hint=CLOCK_HINT)
            return self._error(ErrorCode.UPSTREAM_AUTH, status=status)
        if status == 429:
            return self._error(ErrorCode.UPSTREAM_RATE_LIMITED, attempt_again=True, status=status)
        if status >= 500:
            return self._error(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True, status=status)
        if status >= 400:
            return self._error(ErrorCode.UPSTREAM_REJECTED, status=status)
        return self._error(ErrorCode.UPSTREAM_PROTOCOL)

    def _question(self, request: ChatRequest) -> dict[str, Any]:
        product = product_at(self._base_url)
        chat: dict[str, Any] = {"domain": domain_for(request.model, self._base_url)}
        params = request.params
        if params.temperature is not None:
            chat["temperature"] = min(max(params.temperature, LEAST), product.temperature)
        if params.top_p is not None:
            chat["top_p"] = min(max(params.top_p, LEAST), 1.0)
        if params.max_tokens is not None:
            chat["max_tokens"] = min(max(params.max_tokens, 1), product.max_tokens)
        header = {"app_id": self._app_id}
        if request.user:
            header["uid"] = request.user[:UID_CHARS]
        return {
            "header": header,
            "parameter": {"chat": chat},
            "payload": {"message": {"text": turns_for_spark(request.turns, system=product.system)}},
        }

    def _error(self, code: ErrorCode, *, attempt_again: bool = False, **details: Any) -> UpstreamError:
        return UpstreamError(code, details={"provider": self.id, **details}, attempt_again=attempt_again)


class _Reply:
    """What one answer has said so far."""

    def __init__(self, provider: str, take: Take) -> None:
        self._provider = provider
        self._take = take
        self._events: list[ProviderEvent] = []
        self._text = TextJoiner()
        self._reasoning = TextJoiner()
        self.begun = False
        self.done = False

    def read(self, messages: list[bytes]) -> bool:
        """Gives away what these frames say; True at the end mark."""
        try:
            for message in messages:
                self._read_frame(message)
                if self.done:
                    break
        finally:
            if self._events:
                events, self._events = self._events, []
                self._take(events)
        return self.done

    def _read_frame(self, message: bytes) -> None:
        frame = self._parse(message)
        self.begun = True
        code = frame.header.code
        if code == _SENSITIVE_REPLY:
            # It comes after the complete reply: the text stands.
            self._end()
            return
        if code != 0:
            raise _of_code(code, self._provider)
        payload = frame.payload
        if payload is None:
            return
        events = self._events
        if payload.usage is not None and payload.usage.text is not None:
            events.append(Usage(payload.usage.text.prompt_tokens, payload.usage.text.completion_tokens))
        if payload.choices is None:
            return
        for item in payload.choices.text or ():
            if item.reasoning_content and (thought := self._reasoning.join(item.reasoning_content)):
                events.append(Reasoning(thought))
            if item.content and (said := self._text.join(item.content)):
                events.append(Text(said))
        if payload.choices.status == 2:
            self._end()

    def _end(self) -> None:
        self.done = True
        if lone := self._reasoning.flush():
            self._events.append(Reasoning(lone))
        if lone := self._text.flush():
            self._events.append(Text(lone))
        self._events.append(Finish(FinishReason.STOP))

    def _parse(self, message: bytes) -> _Frame:
        try:
            return _decode_frame(message)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
        try:
            # The standard library reads lone surrogates, which come when a pair is split over two frames.
            return msgspec.convert(json.loads(message), _Frame)
        except (ValueError, msgspec.ValidationError, RecursionError):
            raise UpstreamError(ErrorCode.UPSTREAM_PROTOCOL, details={"provider": self._provider}) from None


def _of_code(code: int, provider: str) -> UpstreamError:
    """A business error in `header.code`."""
    again = False
    if code in _FILTERED:
        kind = ErrorCode.CONTENT_FILTERED
    elif code in _AUTH:
        kind = ErrorCode.UPSTREAM_AUTH
    elif code in _RATE_LIMITED:
        kind, again = ErrorCode.UPSTREAM_RATE_LIMITED, code != _DAILY_LIMIT
    elif code in _UNAVAILABLE:
        kind, again = ErrorCode.UPSTREAM_UNAVAILABLE, True
    else:
        kind = ErrorCode.UPSTREAM_REJECTED
    return UpstreamError(kind, details={"provider": provider, "upstream_code": code}, attempt_again=again)


def turns_for_spark(turns: tuple[Turn, ...], *, system: bool) -> list[dict[str, str]]:
    """In the order that Spark insists on: system at most once and first, then user and assistant by turns, at the end
    the user. Where the product knows no system role, its words open the first question."""
    instructions = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    asked: list[dict[str, str]] = []
    for turn in turns:
        if turn.role == "system" or (turn.role == "assistant" and not asked):
            continue
        if asked and asked[-1]["role"] == turn.role:
            asked[-1]["content"] += "\n\n" + turn.text
        else:
            asked.append({"role": turn.role, "content": turn.text})
    if not asked or asked[-1]["role"] == "assistant":
        asked.append({"role": "user", "content": CONTINUE})
    if instructions and system:
        return [{"role": "system", "content": instructions}, *asked]
    if instructions:
        asked[0]["content"] = f"{instructions}\n\n{asked[0]['content']}"
    return asked
