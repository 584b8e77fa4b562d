"""Baidu's agents (文心智能体, agents.baidu.com): somebody's agent, asked over its conversation interface.

The interface takes one question and keeps the conversation itself, by a `threadId`. Our conversations can be edited,
branched and carried to another model, so that no thread of theirs is one of ours: each question is a thread of its own,
and what was said before goes along in its text.

Source: public clients of `agentapi.baidu.com/assistant/conversation` (among them fruitbars/simple-one-api's
baidu_agentbuilder) and a published transcript of its stream; the vendor's own page could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import httpx
import msgspec

from chat.errors import WORTH_WAITING, Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers import openai_errors
from chat.providers.base import ChatRequest, Profile, Take
from chat.providers.http_adapter import HttpAdapter
from chat.providers.inline_history import question_of
from chat.providers.json_frames import FrameDecoder, json_object
from chat.providers.sse_reply import SSEReply

PATH = "/assistant/conversation"
SOMEBODY = "chat"
"""The `openId` of a request without a user: the interface wants one."""

_CODES: Mapping[int, tuple[ErrorCode, Cause | None]] = {
    11: (ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    13: (ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    18: (ErrorCode.UPSTREAM_RATE_LIMITED, None),
    19: (ErrorCode.UPSTREAM_AUTH, Cause.QUOTA),
    1000: (ErrorCode.UPSTREAM_REJECTED, Cause.PARAMETERS),
    1001: (ErrorCode.UPSTREAM_REJECTED, Cause.MODEL),
}
"""`status`: wrong appId, wrong secretKey, too often, used up, bad parameters, an agent that is not there."""

_TEXTS = frozenset({"markdown", "text", "txt"})


class _Item(msgspec.Struct, gc=False):
    dataType: str | None = None
    isFinished: bool | None = None
    data: Any = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Item] | None = None
    endTurn: bool | None = None


class _Data(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Frame(msgspec.Struct, gc=False):
    status: int | None = None
    data: Any = None


_decode = FrameDecoder(_Frame).decode


class BaiduAgents(HttpAdapter):
    kind = "baidu_agents"
    upstream = "sse"
    personal = True

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        app_id: str | None = None,
        api_secret: str,
        history: Literal["inline", "none"] = "inline",
        http: httpx.AsyncBaseTransport,
    ) -> None:
        """`app_id`: the agent's; without it, a model's id is. `api_secret`: its secretKey. `history`: "none" sends
        nothing but the newest question, for an agent that has all its instructions at its own place."""
        super().__init__(profile, base_url.rstrip("/") + PATH, [], http)
        self._app_id = app_id
        self._api_secret = api_secret
        self._with_history = history == "inline"

    def url(self, request: ChatRequest) -> httpx.URL:
        return self._url.copy_with(params={"appId": self._agent(request), "secretKey": self._api_secret})

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take)

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        """The interface has statuses of its own; a gateway in front of it may have OpenAI's errors."""
        return openai_errors.refine(error, body)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        if any(turn.pictures for turn in request.turns):
            raise UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"provider": self.id, "cause": Cause.PICTURES})
        text = question_of(request.turns, history=self._with_history)
        return {
            "message": {"content": {"type": "text", "value": {"showText": text}}},
            "source": self._agent(request),
            "from": "openapi",
            "openId": request.user or SOMEBODY,
        }

    def _agent(self, request: ChatRequest) -> str:
        return self._app_id or request.model


class _Reply(SSEReply):
    def __init__(self, provider: str, take: Take) -> None:
        super().__init__(provider, take)
        self._section_finished = False

    def read_rest(self) -> None:
        """Where the connection ends behind a finished section, without the turn's own mark, more may have been meant:
        such a reply can be continued."""
        super().read_rest()
        if self._section_finished and not self.done:
            self.finish(FinishReason.LENGTH)

    def read_block(self, name: str, data: bytes) -> None:
        try:
            frame = _decode(data)
            if frame.status:
                raise _of_status(frame.status, self.provider)
            message = msgspec.convert(frame.data or {}, _Data, strict=False).message
        except ValueError:  # msgspec's too
            if not data.strip():
                return
            raise self.broken() from None
        if message is None:
            return
        texts = [item for item in message.content or () if item.dataType in _TEXTS]
        for item in texts:
            self.say(_text_of(item.data))
        if message.content:  # also of other kinds, such as progress
            self._section_finished = bool(texts and texts[-1].isFinished)
        if message.endTurn:
            # Frames may follow that say it is not over; they hold nothing.
            self.done = True
            self.finish(FinishReason.STOP)

    def refused(self, body: bytes) -> UpstreamError:
        said = json_object(body)
        status = None if said is None else said.get("status")
        return _of_status(status, self.provider) if isinstance(status, int) and status else self.broken()


def _text_of(data: Any) -> str | None:
    text = data.get("text") if isinstance(data, dict) else data
    return text if isinstance(text, str) else None


def _of_status(status: int, provider: str) -> UpstreamError:
    """One that nobody has written of is a fault of theirs."""
    code, cause = _CODES.get(status, (ErrorCode.UPSTREAM_UNAVAILABLE, None))
    details: dict[str, Any] = {"provider": provider, "upstream_code": status}
    if cause is not None:
        details["cause"] = cause
    again = code in WORTH_WAITING
    return UpstreamError(code, details=details, attempt_again=again)
