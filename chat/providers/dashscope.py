"""DashScope's own interface of Alibaba's Model Studio: text, and text of pictures, as server-sent events.

Source: the DashScope API reference and the page of error codes of Alibaba Model Studio, and the Python SDK's
generation.py and common/utils.py. The stream has no end mark but a finish reason; until then it is the word "null".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers import openai_errors
from chat.providers.alternation import alternating, instructed
from chat.providers.base import ChatRequest, Profile, Take, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.cumulative_text import CumulativeText
from chat.providers.http_adapter import HttpAdapter
from chat.providers.json_frames import FrameDecoder
from chat.providers.openai_messages import data_uri
from chat.providers.openai_options import Extra, Headers, bearer
from chat.providers.openai_vendors import VENDORS, sampling_of
from chat.providers.sse_reply import SSEReply

TEXT_PATH = "/services/aigc/text-generation/generation"
PICTURES_PATH = "/services/aigc/multimodal-generation/generation"
"""For the models that take pictures; their messages, and most of their answers, are lists of parts."""

_FINISH = {"length": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}
"""Whatever else it is (`stop`, `tool_calls` …) is a stop."""

_UNFINISHED = frozenset({"", "null"})

_CODES: Mapping[str, tuple[ErrorCode, Cause | None]] = {
    "accessdenied": (ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    "accessdenied.unpurchased": (ErrorCode.UPSTREAM_AUTH, Cause.QUOTA),
    "model.accessdenied": (ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    "workspace.accessdenied": (ErrorCode.UPSTREAM_AUTH, Cause.KEY),
    "allocationquota": (ErrorCode.UPSTREAM_AUTH, Cause.QUOTA),
    "commoditynotpurchased": (ErrorCode.UPSTREAM_AUTH, Cause.QUOTA),
    "prepaidbilloverdue": (ErrorCode.UPSTREAM_AUTH, Cause.QUOTA),
    "postpaidbilloverdue": (ErrorCode.UPSTREAM_AUTH, Cause.QUOTA),
    "customroleblocked": (ErrorCode.CONTENT_FILTERED, None),
    "faqruleblocked": (ErrorCode.CONTENT_FILTERED, None),
    "ipinfringementsuspect": (ErrorCode.CONTENT_FILTERED, None),
    "internalerror.algo.invalidparameter": (ErrorCode.UPSTREAM_REJECTED, Cause.PARAMETERS),
    "invalidparameter.datainspection": (ErrorCode.UPSTREAM_REJECTED, Cause.PICTURES),
    "invalidurl": (ErrorCode.UPSTREAM_REJECTED, Cause.PICTURES),
    "model.notexist": (ErrorCode.UPSTREAM_REJECTED, Cause.MODEL),
    "notfound": (ErrorCode.UPSTREAM_REJECTED, Cause.ADDRESS),
}
"""In lower case, each with all that stands behind a dot of it: those that do not say by their words what they are."""


class _Part(msgspec.Struct, gc=False):
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None


class _Output(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Block(msgspec.Struct, gc=False):
    output: _Output | None = None
    usage: Any = None
    code: Any = None
    error: Any = None


_decode = FrameDecoder(_Block).decode


class DashScope(HttpAdapter):
    """`base_url` ends with `/api/v1`."""

    kind = "dashscope"
    upstream = "sse"

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        api_key: str,
        headers: Headers | None = None,
        extra: Extra | None = None,
        prefill: bool = False,
        http: httpx.AsyncBaseTransport,
    ) -> None:
        """`headers`: further ones, such as `X-DashScope-WorkSpace`. `extra`: further parameters, which count before
        ours, such as `enable_thinking`. `prefill`: every model of this table knows `partial`; many do not."""
        root = base_url.rstrip("/")
        named = [*bearer(api_key, headers), (b"X-DashScope-SSE", b"enable")]
        super().__init__(profile, root + TEXT_PATH, named, http)
        self._pictures_url = httpx.URL(root + PICTURES_PATH)
        self._with_pictures = frozenset(model.id for model in profile.models if model.vision)
        self._extra = extra or {}
        self.prefills = prefill

    def url(self, request: ChatRequest) -> httpx.URL:
        return self._pictures_url if request.model in self._with_pictures else self._url

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take)

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        known = _known(openai_errors.error_in(body))
        return openai_errors.refine(error, body) if known is None else _error_of(known, error)

    def body(self, request: ChatRequest) -> dict[str, Any]:
        in_parts = request.model in self._with_pictures
        if not in_parts and any(turn.pictures for turn in request.turns):
            raise UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"provider": self.id, "cause": Cause.PICTURES})
        instructions, turns = alternating(request.turns)
        unfinished = bool(turns) and turns[-1].role == "assistant"
        if not turns or (unfinished and not self.prefills):
            turns.append(Turn("user", CONTINUE))
        turns = instructed(instructions, turns, system=True)
        messages = [_message(turn, in_parts=in_parts) for turn in turns]
        if unfinished and self.prefills:
            messages[-1]["partial"] = True
        parameters = {
            "result_format": "message",
            "incremental_output": True,
            **sampling_of(request.params, VENDORS["qwen"], "max_tokens"),
            **self._extra,
        }
        return {"model": request.model, "input": {"messages": messages}, "parameters": parameters}


def _message(turn: Turn, *, in_parts: bool) -> dict[str, Any]:
    if not in_parts:
        return {"role": turn.role, "content": turn.text}
    parts = [{"image": data_uri(picture)} for picture in turn.pictures]
    if turn.text.strip():
        parts.append({"text": turn.text})
    return {"role": turn.role, "content": parts}


class _Reply(SSEReply):
    def __init__(self, provider: str, take: Take) -> None:
        super().__init__(provider, take)
        # Whether they are deltas is the model's choice, whatever was asked for.
        self._answer = CumulativeText()
        self._thoughts = CumulativeText()

    def let_go(self) -> None:
        """Of a reply that breaks off. Where it looks like repetitions, and may be deltas all the same, what has been
        given is all that both agree on."""
        if not (self._answer.grows or self._thoughts.grows):
            self._settle(whole=False)

    def read_block(self, name: str, data: bytes) -> None:
        try:
            block = _decode(data)
        except ValueError:
            if not data.strip():
                return  # blanks, which keep the connection alive
            raise self.broken() from None
        if block.code or block.error or name.startswith("error"):
            raise self.refused(data)
        self.count_in(block.usage, "input_tokens", "output_tokens")
        if block.output is not None:
            self._read_output(block.output)

    def refused(self, body: bytes) -> UpstreamError:
        error = openai_errors.error_in(body)
        if error is None:
            return self.broken()
        known = _known(error)
        if known is None:
            return openai_errors.of_object(error, provider=self.provider)
        return _error_of(known, self.broken())

    def _read_output(self, output: _Output) -> None:
        choice = output.choices[0] if output.choices else _Choice(_Message(output.text), output.finish_reason)
        message = choice.message or _Message()
        content = message.content
        if isinstance(content, list):
            content = "".join(part.text or "" for part in content)
        try:
            self.think(self._thoughts.read(message.reasoning_content or ""))
            self.say(self._answer.read(content or ""))
        except ValueError:
            raise self.broken() from None
        if choice.finish_reason is not None and choice.finish_reason not in _UNFINISHED:
            # The last delta is empty, the last whole is the whole.
            self._settle(whole=bool(content))
            self.finish(_FINISH.get(choice.finish_reason, FinishReason.STOP))
            self.done = True

    def _settle(self, *, whole: bool) -> None:
        """`whole`: the last event has brought text. Deltas were asked for: who was not seen to repeat himself has sent
        them, unless his last word is his only one again. Thoughts come as the answer does."""
        answer, thoughts = self._answer, self._thoughts
        repeats = thoughts.repeats if answer.repeats is None else answer.repeats
        if repeats is None:
            repeats = whole and (answer.grows or thoughts.grows or answer.echoes == 1)
        self.say(self._answer.settle(repeats=repeats))
        self.think(self._thoughts.settle(repeats=repeats))


def _known(error: Any) -> tuple[ErrorCode, Cause | None] | None:
    """By its code, or by what its code is a case of."""
    code = str(error.get("code") or "").lower() if isinstance(error, dict) else ""
    while code:
        if code in _CODES:
            return _CODES[code]
        code = code.rpartition(".")[0]
    return None


def _error_of(known: tuple[ErrorCode, Cause | None], error: UpstreamError) -> UpstreamError:
    """The same failure as `error`, told by its code; none of them is mended by asking once more."""
    code, cause = known
    details = {name: value for name, value in error.details.items() if name != "cause"}
    return UpstreamError(code, details=details if cause is None else {**details, "cause": cause})
