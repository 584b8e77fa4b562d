"""A simulated Qianfan, first interface: access tokens, and chats that want one.

Source: Baidu's pages of the ERNIE chat interface and of its error codes, and the mock server of its bce-qianfan-sdk.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from chat.simulators.http_server import Answer, Request
from chat.simulators.script import Fault
from chat.simulators.voice import Voice, speak
from tests.upstreams.http_simulator import HttpSimulator, cut_to, refuses
from tests.upstreams.rig import UpstreamRig

KEY, SECRET = "key-of-the-tests", "secret-of-the-tests"
TOKEN_PATH = "/oauth/2.0/token"
CHAT_PATH = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/"
MONTH = 2592000
_encode = msgspec.json.encode

_CODES: dict[Fault, int] = {
    Fault.UNAUTHORIZED: 110,
    Fault.RATE_LIMITED: 18,
    Fault.SERVER_ERROR: 336000,
    Fault.REJECTED: 336103,
}
_WORDS = {
    2: "Service temporarily unavailable",
    18: "Open api qps request limit reached",
    110: "Access token invalid or no longer valid",
    111: "Access token expired",
    336000: "Internal error",
    336002: "Invalid JSON",
    336003: "messages is invalid",
    336005: "The model does not exist",
    336103: "Prompt tokens too long",
}


class _Message(msgspec.Struct):
    role: str
    content: str


class _Body(msgspec.Struct):
    messages: list[_Message]
    stream: bool = False
    system: str = ""
    temperature: float = 0.8
    top_p: float = 0.8
    max_output_tokens: int = 1024
    user_id: str = ""

    def is_acceptable(self) -> bool:
        roles = [message.role for message in self.messages]
        return (
            roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
            and all(message.content.strip() for message in self.messages)
            and 0 < self.temperature <= 1
            and 0 <= self.top_p <= 1
            and self.max_output_tokens >= 2
        )


class QianfanV1Simulator(HttpSimulator):
    """`tokens` are those that it has given out and still takes; `fetches` counts what it was asked for. A fetch takes
    `fetch_seconds`, and fails with `fetch_status` where that is not 200."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: set[str] = set()
        self.fetches = 0
        self.fetch_seconds = 0.0
        self.fetch_status = 200
        self.lives = MONTH
        self.refusal = 110

    async def answer(self, request: Request, answer: Answer) -> None:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        if request.path == TOKEN_PATH:
            await self._give_token(query, answer)
        elif request.path.startswith(CHAT_PATH) and request.method == "POST":
            if query.get("access_token") in self.tokens:
                await self._chat(request, unquote(request.path.removeprefix(CHAT_PATH)), answer)
            else:
                _refuse(answer, self.refusal)
        else:
            _refuse(answer, 3)

    async def _give_token(self, query: dict[str, str], answer: Answer) -> None:
        self.fetches += 1
        number = self.fetches
        await asyncio.sleep(self.fetch_seconds)
        asked = (query.get("grant_type"), query.get("client_id"), query.get("client_secret"))
        if self.fetch_status != 200:
            answer.json(self.fetch_status, {"error": "server_error"})
        elif asked != ("client_credentials", KEY, SECRET):
            answer.json(401, {"error": "invalid_client", "error_description": "unknown client id"})
        else:
            token = f"24.token-number-{number}.{self.lives}.1700000000.282335-12345678"
            self.tokens.add(token)
            answer.json(200, {"access_token": token, "expires_in": self.lives, "scope": "public wenxinworkshop"})

    async def _chat(self, request: Request, model: str, answer: Answer) -> None:
        try:
            body = msgspec.json.decode(request.body, type=_Body)
        except msgspec.DecodeError:
            _refuse(answer, 336002)
            return
        if not body.is_acceptable():
            _refuse(answer, 336003)
            return
        question = body.messages[-1].content
        try:
            script = self.script(answer, model, question, msgspec.json.decode(request.body), len(request.body))
        except ValueError:
            _refuse(answer, 336005)
            return
        if script.fault in _CODES:
            _refuse(answer, _CODES[script.fault])
        elif script.fault is Fault.FILTERED:
            _decline(answer)
        elif not refuses(script, answer):
            # Its own default would cut what a model of the tests has to say.
            most = body.max_output_tokens if b"max_output_tokens" in request.body else None
            script, short = cut_to(script, most)
            await speak(_Voice(question, truncated=short), script, answer)


def _refuse(answer: Answer, code: int) -> None:
    """With status 200, also where a stream was asked for."""
    answer.json(200, {"error_code": code, "error_msg": _WORDS.get(code, "Unsupported openapi method"), "id": "as-1"})


def _decline(answer: Answer) -> None:
    """What it has against the question, it says in an answer."""
    answer.begin_stream(_Voice.content_type)
    phrase = {"result": "我们换个话题聊聊吧。", "is_end": True, "need_clear_history": True, "ban_round": -1, "flag": 1}
    answer.chunk(_block({"id": "as-1", "object": "chat.completion", "sentence_id": 0, **phrase}))
    answer.end()


def _block(value: dict[str, Any]) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


class _Voice(Voice):
    content_type = b"text/event-stream;charset=utf-8"

    def __init__(self, question: str, *, truncated: bool) -> None:
        self._asked = max(1, len(question) // 4)
        self._truncated = truncated
        self._said = 0

    def token(self, text: str) -> bytes:
        self._said += 1
        return self._frame(text, self._said)

    def closing(self, tokens: int) -> bytes:
        return self._frame("", tokens, is_end=True, is_truncated=self._truncated)

    def try_later(self) -> bytes:
        return _block({"error_code": 336100, "error_msg": "high load, try again later", "id": "as-1"})

    def _frame(self, text: str, said: int, *, is_end: bool = False, is_truncated: bool = False) -> bytes:
        usage = {"prompt_tokens": self._asked, "completion_tokens": said, "total_tokens": self._asked + said}
        return _block(
            {
                "id": "as-simulated",
                "object": "chat.completion",
                "created": 1763690402,
                "sentence_id": self._said,
                "is_end": is_end,
                "is_truncated": is_truncated,
                "result": text,
                "need_clear_history": False,
                "usage": usage,
            }
        )


RIG = UpstreamRig(
    simulator=QianfanV1Simulator,
    table={"kind": "qianfan_v1", "api_key": "env:KEY", "api_secret": "env:SECRET"},
    environment={"KEY": KEY, "SECRET": SECRET},
    wrong={"SECRET": "another-secret"},
    reasons=False,
)
