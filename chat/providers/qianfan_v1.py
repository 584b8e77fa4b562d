"""Baidu Qianfan's first interface (wenxinworkshop), that of the ERNIE models with an access token.

Source: Baidu's pages of the ERNIE models' chat interface, and its bce-qianfan-sdk.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers.alternation import alternating
from chat.providers.base import ChatRequest, Profile, Take
from chat.providers.continuing import CONTINUE
from chat.providers.http_adapter import HttpAdapter
from chat.providers.http_request import post
from chat.providers.json_frames import FrameDecoder, json_object
from chat.providers.qianfan_codes import KNOWN, TOKEN_REFUSED, code_in, of_code
from chat.providers.qianfan_models import LEAST_OUTPUT, most_output, path_of
from chat.providers.qianfan_token import AccessToken
from chat.providers.sse_reply import SSEReply

TOKEN_PATH = "/oauth/2.0/token"  # noqa: S105 (an address)
CHAT_PATH = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/"

LEAST_TEMPERATURE = 0.01
"""It must be above 0, and not above 1."""


class _Block(msgspec.Struct, gc=False):
    result: str | None = None
    is_end: bool | None = None
    is_truncated: bool | None = None
    finish_reason: str | None = None
    need_clear_history: bool | None = None
    flag: int | None = None
    usage: Any = None
    error_code: Any = None


_decode = FrameDecoder(_Block).decode


class QianfanV1(HttpAdapter):
    kind = "qianfan_v1"
    upstream = "sse"

    def __init__(
        self, profile: Profile, *, base_url: str, api_key: str, api_secret: str, http: httpx.AsyncBaseTransport
    ) -> None:
        self._root = base_url.rstrip("/")
        super().__init__(profile, self._root + CHAT_PATH, [], http)
        self._token = AccessToken(
            profile.id,
            self._root + TOKEN_PATH,
            api_key=api_key,
            api_secret=api_secret,
            connect_seconds=profile.timeouts.connect,
            http=http,
        )

    async def stream(self, request: ChatRequest, take: Take) -> None:
        """A token that is refused before any text is followed by a new one, once."""
        body = msgspec.json.encode(self.body(request))
        token = await self._token.get()
        reply = self.reply(take)
        try:
            await self._ask(request, body, token, reply)
        except UpstreamError as error:
            if reply.begun or error.details.get("upstream_code") not in TOKEN_REFUSED:
                raise
            self._token.forget(token)
        else:
            return
        await self._ask(request, body, await self._token.get(), self.reply(take))

    async def _ask(self, request: ChatRequest, body: bytes, token: str, reply: _Reply) -> None:
        path = quote(path_of(request.model), safe="")
        url = httpx.URL(self._root + CHAT_PATH + path, params={"access_token": token})
        await self.exchange(post(url, self._headers, body, request.pace, self.timeouts.connect), reply)

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take)

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        code = code_in((json_object(body) or {}).get("error_code"))
        if code not in KNOWN:
            return error
        known = of_code(code, provider=self.id)
        details = {**known.details, "status": error.details.get("status")}
        return UpstreamError(
            known.error_code, details=details, attempt_again=known.attempt_again, retry_after=error.retry_after
        )

    def body(self, request: ChatRequest) -> dict[str, Any]:
        if any(turn.pictures for turn in request.turns):
            raise UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"provider": self.id, "cause": Cause.PICTURES})
        system, turns = alternating(request.turns)
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        if not messages or messages[-1]["role"] == "assistant":
            messages.append({"role": "user", "content": CONTINUE})
        body: dict[str, Any] = {"messages": messages, "stream": True}
        if system:
            body["system"] = system
        params = request.params
        if params.temperature is not None:
            body["temperature"] = min(max(params.temperature, LEAST_TEMPERATURE), 1.0)
        if params.top_p is not None:
            body["top_p"] = min(max(params.top_p, 0.0), 1.0)
        if params.max_tokens is not None:
            wanted, most = max(params.max_tokens, LEAST_OUTPUT), most_output(request.model)
            body["max_output_tokens"] = wanted if most is None else min(wanted, most)
        if request.user:
            body["user_id"] = request.user
        return body


class _Reply(SSEReply):
    def __init__(self, provider: str, take: Take) -> None:
        super().__init__(provider, take)
        self.begun = False
        """It has said something."""
        self._reason = FinishReason.STOP

    def read_block(self, name: str, data: bytes) -> None:
        try:
            block = _decode(data)
        except ValueError:
            if not data.strip():
                return  # blanks, which keep the connection alive
            raise self.broken() from None
        if (code := code_in(block.error_code)) is not None:
            raise of_code(code, provider=self.provider)
        if block.need_clear_history or block.flag or block.finish_reason == "content_filter":
            if not self.begun:
                # What stands in `result` then is a set phrase in place of an answer.
                raise self.fail(ErrorCode.CONTENT_FILTERED)
            self._reason = FinishReason.CONTENT_FILTER
        elif block.is_truncated or block.finish_reason == "length":
            self._reason = FinishReason.LENGTH
        if block.result:
            self.begun = True
            self.say(block.result)
        self.count_in(block.usage, "prompt_tokens", "completion_tokens")
        if block.is_end:
            self.finish(self._reason)
            self.done = True

    def refused(self, body: bytes) -> UpstreamError:
        code = code_in((json_object(body) or {}).get("error_code"))
        return self.broken() if code is None else of_code(code, provider=self.provider)
