"""An AI of one's own on a WebSocket: a JSON message out, JSON messages in, and an end mark or an orderly close.

There is no protocol to cite: `json_dialect` has the names of its fields, and the usual ones are the defaults there.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import msgspec

from chat.errors import WORTH_WAITING, Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers.base import ChatRequest, Picture, Profile, Take, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.cumulative_text import CumulativeText
from chat.providers.header_names import OF_THE_CONNECTION
from chat.providers.http_errors import LONGEST_RETRY_AFTER, code_of_status
from chat.providers.json_dialect import Mark, ReplyShape, RequestShape, find, find_at, put
from chat.providers.json_frames import json_value
from chat.providers.providers_file import ProvidersFileError
from chat.providers.websocket_adapter import FrameReply, WebSocketAdapter

USUAL_REQUEST = RequestShape()
USUAL_REPLY = ReplyShape()

_HEADER = rf"header:(?!(?i:{OF_THE_CONNECTION})$)[A-Za-z0-9_-]+"
Auth = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^(bearer|none|{_HEADER}|query:.+|field:[^.]+(\.[^.]+)*)$",
        description='"bearer", "none", "header:NAME", "query:NAME" or "field:PATH"',
    ),
]

_ERRORS: Mapping[str, tuple[ErrorCode, Cause | None]] = {
    "key": (ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    "quota": (ErrorCode.UPSTREAM_AUTH, Cause.QUOTA),
    "rate_limited": (ErrorCode.UPSTREAM_RATE_LIMITED, None),
    "unavailable": (ErrorCode.UPSTREAM_UNAVAILABLE, None),
    "rejected": (ErrorCode.UPSTREAM_REJECTED, None),
    "filtered": (ErrorCode.CONTENT_FILTERED, None),
    "context": (ErrorCode.UPSTREAM_REJECTED, Cause.CONTEXT),
    "model": (ErrorCode.UPSTREAM_REJECTED, Cause.MODEL),
    "parameters": (ErrorCode.UPSTREAM_REJECTED, Cause.PARAMETERS),
    "pictures": (ErrorCode.UPSTREAM_REJECTED, Cause.PICTURES),
}
_FINISHES: Mapping[str, str] = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}
"""Besides those of the table; whatever else it is called is a stop."""

_SCHEMES = {"http": "ws", "https": "wss"}


class WebSocketJSON(WebSocketAdapter):
    """`auth`: where the key goes: `bearer`, `header:NAME`, `query:NAME`, `field:PATH` of the message, or `none`."""

    kind = "websocket_json"
    personal = True

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        api_key: str | None,
        auth: Auth = "bearer",
        request: RequestShape = USUAL_REQUEST,
        reply: ReplyShape = USUAL_REPLY,
    ) -> None:
        super().__init__(profile)
        self._base_url = base_url
        self._api_key = api_key
        self._key_in, _colon, self._key_name = ("none", "", "") if api_key is None else auth.partition(":")
        if self._key_in == "field":
            try:
                request.check(self._key_name)
            except ValueError as error:
                raise ProvidersFileError(f"[providers.{profile.id}] auth cannot be used: {error}.") from None
        self._request_shape = request
        self._reply_shape = reply
        self.prefills = request.prefill

    def address(self) -> str:
        parts = urlsplit(self._base_url)
        address = f"{_SCHEMES.get(parts.scheme, parts.scheme)}://{parts.netloc}{parts.path or '/'}"
        if self._key_in == "query":
            return f"{address}?{quote(self._key_name)}={quote(self._api_key or '', safe='')}"
        return address

    def headers(self) -> Mapping[str, str]:
        if self._key_in == "bearer":
            return {"Authorization": f"Bearer {self._api_key}"}
        return {self._key_name: self._api_key or ""} if self._key_in == "header" else {}

    def ends_by_closing(self) -> bool:
        return self._reply_shape.close

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take, self._reply_shape)

    def question(self, request: ChatRequest) -> str:
        shape, params = self._request_shape, request.params
        body = copy.deepcopy(shape.extra)
        fields = (
            (shape.messages, self._messages(request.turns)),
            (shape.system_field, _instructions(request.turns) or None),
            (shape.model, request.model),
            (shape.user, request.user or None),
            (shape.temperature, params.temperature),
            (shape.top_p, params.top_p),
            (shape.max_tokens, params.max_tokens),
            (self._key_name if self._key_in == "field" else "", self._api_key),
        )
        for path, value in fields:
            if path and value is not None:
                put(body, path, value)
        return msgspec.json.encode(body).decode()

    def _messages(self, turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
        shape = self._request_shape
        opening = ""
        if shape.system != "message":
            opening = _instructions(turns) if shape.system == "first" else ""
            turns = tuple(turn for turn in turns if turn.role != "system")
        messages = []
        for turn in turns:
            text = turn.text
            if opening and turn.role == "user":
                text, opening = f"{opening}\n\n{text}", ""
            messages.append(self._message(turn.role, text, turn.pictures))
        if turns and turns[-1].role == "assistant" and not shape.prefill:
            messages.append(self._message("user", CONTINUE))
        return messages

    def _message(self, role: Any, text: str, pictures: tuple[Picture, ...] = ()) -> dict[str, Any]:
        shape = self._request_shape
        message: dict[str, Any] = {shape.role: shape.roles.get(role, role), shape.content: text}
        if pictures:
            if not shape.pictures:
                raise self.error(ErrorCode.UPSTREAM_REJECTED, cause=Cause.PICTURES)
            message[shape.pictures] = [_encoded(picture, as_url=shape.data_urls) for picture in pictures]
        return message


class _Reply(FrameReply):
    def __init__(self, provider: str, take: Take, shape: ReplyShape) -> None:
        super().__init__(provider, take)
        self._shape = shape
        self._delta = "delta" if shape.delta is None and not shape.full else shape.delta or ""
        self._error = Mark(shape.error) if shape.error and isinstance(shape.error, str) else shape.error
        self._silent = [mark for mark in shape.keep_alive if isinstance(mark, Mark)]
        self._silent_words = {words.encode() for words in shape.keep_alive if isinstance(words, str)}
        self._end_words = shape.end.encode() if shape.end and isinstance(shape.end, str) else None
        self._full = CumulativeText(repeats=True)

    def is_complete(self) -> bool:
        """It is asked only behind the end mark and behind an orderly close."""
        return self.done or (self._shape.close and self.begun)

    def read_frame(self, message: bytes) -> None:
        words = message.strip()
        if words == self._end_words:
            self.done = True
        elif words not in self._silent_words:
            self._read_object(self._object(message))

    def _object(self, message: bytes) -> dict[str, Any]:
        try:
            parsed = json_value(message)
        except ValueError:
            raise self.broken() from None
        if not isinstance(parsed, dict):
            raise self.broken()
        return parsed

    def _read_object(self, message: dict[str, Any]) -> None:
        shape = self._shape
        if any(mark.is_on(message) for mark in self._silent):
            return
        if isinstance(self._error, Mark) and self._error.is_on(message):
            raise self._failure(message, find(message, self._error.field))
        self.think(self._text_of(find_at(message, shape.reasoning)))
        self.say(self._text_of(find_at(message, self._delta)))
        if shape.full:
            self._say_what_is_new(self._text_of(find_at(message, shape.full)))
        self.count(find(message, shape.input_tokens), find(message, shape.output_tokens))
        reason = find(message, shape.finish)
        if reason and isinstance(reason, str):
            self.finish(FinishReason(shape.finishes.get(reason) or _FINISHES.get(reason, "stop")))
        if isinstance(shape.end, Mark) and shape.end.is_on(message):
            self.done = True

    def _text_of(self, found: Any) -> str | None:
        if found is not None and not isinstance(found, str):
            raise self.broken()
        return found

    def _say_what_is_new(self, full: str | None) -> None:
        """What was sent cannot be taken back: a text that goes another way is of no use."""
        try:
            self.say(self._full.read(full or ""))
        except ValueError:
            raise self.broken() from None

    def _failure(self, message: dict[str, Any], found: Any) -> UpstreamError:
        shape = self._shape
        code = find(message, shape.code)
        known = str(found if code is None else code)
        error, cause = ErrorCode.UPSTREAM_UNAVAILABLE, None
        if (word := shape.errors.get(known, known)) in _ERRORS:
            error, cause = _ERRORS[word]
        elif known.isascii() and known.isdigit() and 400 <= int(known[:4]) <= 599:
            error = code_of_status(int(known[:4]))
        details = {"provider": self.provider} | ({} if cause is None else {"cause": cause})
        pause = _seconds(find(message, shape.retry_after))
        return UpstreamError(error, details=details, attempt_again=error in WORTH_WAITING, retry_after=pause)


def _instructions(turns: tuple[Turn, ...]) -> str:
    return "\n\n".join(turn.text for turn in turns if turn.role == "system")


def _encoded(picture: Picture, *, as_url: bool) -> str:
    data = base64.b64encode(picture.data).decode()
    return f"data:{picture.content_type};base64,{data}" if as_url else data


def _seconds(found: Any) -> float | None:
    return float(min(found, LONGEST_RETRY_AFTER)) if type(found) in (int, float) and found >= 0 else None
