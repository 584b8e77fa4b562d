"""Ollama's own chat interface: one JSON object a line.

Source: Ollama's "API" and "Errors" documentation (docs/api.md, docs/api/errors.mdx), and its server/routes.go.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import httpx
import msgspec

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers import openai_errors
from chat.providers.base import ChatRequest, Profile, Take, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.http_adapter import HttpAdapter
from chat.providers.json_frames import FrameDecoder, json_object
from chat.providers.line_reply import LineReply

_Tokens = Annotated[int, msgspec.Meta(ge=1)]


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None


class _Line(msgspec.Struct, gc=False):
    message: _Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


_decode = FrameDecoder(_Line).decode


class Ollama(HttpAdapter):
    kind = "ollama"
    upstream = "ndjson"

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        api_key: str | None = None,
        num_ctx: _Tokens | None = None,
        think: bool | Literal["low", "medium", "high"] | None = None,
        keep_alive: int | str | None = None,
        prefill: bool = False,
        http: httpx.AsyncBaseTransport,
    ) -> None:
        """`num_ctx`: tokens of the context, question and answer together; without it Ollama takes its own default, and
        cuts longer conversations without a word. `keep_alive`: how long the model stays loaded, "10m" or seconds.
        `prefill`: the template of every model of this table leaves an unfinished answer open; many close it."""
        headers = [] if api_key is None else [(b"Authorization", b"Bearer " + api_key.encode())]
        root = base_url.rstrip("/").removesuffix("/api")
        super().__init__(profile, f"{root}/api/chat", headers, http, accept=b"application/x-ndjson")
        self._options = {} if num_ctx is None else {"num_ctx": num_ctx}
        given = {"think": think, "keep_alive": keep_alive}
        self._fields = {name: value for name, value in given.items() if value is not None}
        self.prefills = prefill

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take)

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        """Ollama has words and no marks; a gateway in front of it may have OpenAI's."""
        error = openai_errors.refine(error, body)
        said = json_object(body)
        if error.details.get("status") == 404 and said is not None and said.get("error"):
            # There is an API: what it does not find is the model.
            return UpstreamError(error.error_code, details={**error.details, "cause": Cause.MODEL})
        return error

    def body(self, request: ChatRequest) -> dict[str, Any]:
        messages = [_message(turn) for turn in request.turns]
        if not self.prefills and messages and messages[-1]["role"] == "assistant":
            messages.append({"role": "user", "content": CONTINUE})
        params = request.params
        given = {"temperature": params.temperature, "top_p": params.top_p, "num_predict": params.max_tokens}
        options = self._options | {name: value for name, value in given.items() if value is not None}
        body = {"model": request.model, "messages": messages, "stream": True, **self._fields}
        return {**body, "options": options} if options else body


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.pictures:
        message["images"] = [base64.b64encode(picture.data).decode() for picture in turn.pictures]
    return message


class _Reply(LineReply):
    def read_line(self, line: bytes) -> None:
        try:
            said = _decode(line)
        except ValueError:
            raise self.broken() from None
        if said.error:
            # Only prose tells one failure of a model that is running from another.
            raise self.fail(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True)
        if said.message is not None:
            self.think(said.message.thinking)
            self.say(said.message.content)
        if said.done:
            self.count(said.prompt_eval_count, said.eval_count)
            self.finish(FinishReason.LENGTH if said.done_reason == "length" else FinishReason.STOP)
            self.done = True
