"""OpenAI's Responses API as a real server: refusals in its words, responses in the background, and cuts on demand.

Source: the OpenAI API reference, "Responses" and its streaming events, and its guide "Background mode".
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from chat.simulators.base import Simulator
from chat.simulators.http_server import Answer, HttpServer, Request
from chat.simulators.script import Fault, Script, script_for
from chat.simulators.voice import Voice, speak
from tests.upstreams.rig import UpstreamRig

KEY = "key-of-the-tests"
TOKENS_LEAST = 16
_STATUS_FAULTS: dict[Fault, tuple[int, str, str | None]] = {
    Fault.UNAUTHORIZED: (401, "invalid_request_error", "invalid_api_key"),
    Fault.RATE_LIMITED: (429, "requests", "rate_limit_exceeded"),
    Fault.SERVER_ERROR: (500, "server_error", None),
    Fault.REJECTED: (400, "invalid_request_error", "context_length_exceeded"),
    Fault.FILTERED: (400, "invalid_request_error", "invalid_prompt"),
}
_FIELDS = frozenset(
    {"model", "input", "instructions", "stream", "store", "background", "reasoning", "temperature", "top_p",
     "max_output_tokens", "user", "safety_identifier", "metadata", "text"}
)  # fmt: skip
_PARTS = {"user": {"input_text", "input_image", "input_file"}, "assistant": {"output_text", "refusal"}}
_ADDRESS = re.compile(r"/v1/responses/(resp_[0-9a-f]+)(/cancel)?")


class Refused(Exception):
    def __init__(self, message: str, param: str | None, code: str | None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


@dataclass
class Stored:
    """A response in the background: its events, numbered from 0, and whether there will be more."""

    id: str
    frames: list[bytes] = field(default_factory=list)
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    over: bool = False
    task: asyncio.Task[None] | None = None


class OpenAIResponsesSimulator(Simulator):
    """With an `api_key`, it refuses every other. `cuts`: after how many events the next streams of a response in the
    background are cut, by a reset, or where `orderly`, by a proper end of the connection. `cancelled`: the responses
    that somebody has had stopped; `refuses_resuming`: the status of every answer to a resumption."""

    def __init__(self, api_key: str | None = None) -> None:
        super().__init__()
        self._api_key = api_key
        self._server = HttpServer(self._answer, self.connections)
        self.responses: dict[str, Stored] = {}
        self.cuts: deque[int] = deque()
        self.orderly = False
        self.overlap = 0
        """So many events before those that were asked for come along with a resumption."""
        self.refuses_resuming: int | None = None
        self.resumed: list[int] = []
        self.cancelled: list[str] = []
        self.confirms = True
        """Else a cancellation is never answered."""

    @property
    def url(self) -> str:
        host, port = self._server.address
        return f"http://{host}:{port}/v1"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        await self._server.start(host, port)

    async def aclose(self) -> None:
        await self._server.aclose()
        tasks = [stored.task for stored in self.responses.values() if stored.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, request: Request, answer: Answer) -> None:
        try:
            await self._route(request, answer)
        except Refused as refused:
            _refuse(answer, refused.status, "invalid_request_error", refused.code, refused.param, str(refused))

    async def _route(self, request: Request, answer: Answer) -> None:
        if self._api_key is not None and request.headers.get("authorization") != f"Bearer {self._api_key}":
            raise Refused("Incorrect API key provided.", None, "invalid_api_key", 401)
        if request.path == "/v1/responses" and request.method == "POST":
            await self._create(request, answer)
        elif match := _ADDRESS.fullmatch(request.path):
            stored = self.responses.get(match[1])
            if stored is None:
                raise Refused(f"Response with id '{match[1]}' not found.", None, None, 404)
            if match[2] and request.method == "POST":
                await self._cancel(stored, answer)
            elif request.method == "GET":
                await self._resume(stored, request, answer)
            else:
                raise Refused("Not allowed to do this.", None, "method_not_supported", 405)
        else:
            raise Refused(f"Invalid URL ({request.method} {request.path})", None, "unknown_url", 404)

    async def _create(self, request: Request, answer: Answer) -> None:
        body = checked(request.body)
        number = self.remember(answer.record, body["model"], body, len(request.body))
        try:
            script = script_for(body["model"], _question(body["input"]), number)
        except ValueError:
            raise Refused("The requested model does not exist.", "model", "model_not_found", 404) from None
        script, reason = _shortened(script, body.get("max_output_tokens"))
        if script.fault in _STATUS_FAULTS:
            _refuse(answer, *_STATUS_FAULTS[script.fault])
        elif script.fault is Fault.REFUSE:
            answer.reset()
        elif body.get("background"):
            stored = Stored(f"resp_{secrets.token_hex(24)}")
            self.responses[stored.id] = stored
            voice = ResponsesVoice(body, stored.id, reason)
            stored.task = asyncio.get_running_loop().create_task(_write(stored, voice, script))
            await self._follow(stored, 0, answer)
        else:
            await speak(ResponsesVoice(body, f"resp_{secrets.token_hex(24)}", reason), script, answer)

    async def _resume(self, stored: Stored, request: Request, answer: Answer) -> None:
        query = dict(part.split("=") for part in request.query.split("&") if "=" in part)
        if query.get("stream") != "true" or not query.get("starting_after", "").isdigit():
            raise Refused("This simulator only streams.", "stream", "invalid_value")
        cursor = int(query["starting_after"])
        self.resumed.append(cursor)
        if self.refuses_resuming is not None:
            _refuse(answer, self.refuses_resuming, "server_error", None)
            return
        await self._follow(stored, max(0, cursor + 1 - self.overlap), answer)

    async def _follow(self, stored: Stored, at: int, answer: Answer) -> None:
        """The events from `at` on, up to the last one or the next cut."""
        answer.begin_stream()
        cut = at + self.cuts.popleft() if self.cuts else None
        while True:
            async with stored.grown:
                while not stored.over and len(stored.frames) <= at:
                    await stored.grown.wait()
            while at < len(stored.frames) and at != cut:
                answer.chunk(stored.frames[at])
                answer.record.tokens_sent += 1
                at += 1
            if at == cut:
                await self._break_off(stored, at, answer)
                return
            if stored.over and at == len(stored.frames):
                answer.end()
                return

    async def _break_off(self, stored: Stored, at: int, answer: Answer) -> None:
        """In the middle of an event, if there is a further one."""
        if at < len(stored.frames):
            answer.chunk(stored.frames[at][:-9])
        await asyncio.sleep(0.02)
        if self.orderly:
            answer.end()
        else:
            answer.reset()

    async def _cancel(self, stored: Stored, answer: Answer) -> None:
        self.cancelled.append(stored.id)
        if not self.confirms:
            await asyncio.Event().wait()
        if stored.task is not None:
            stored.task.cancel()
        async with stored.grown:
            stored.over = True
            stored.grown.notify_all()
        answer.json(200, {"id": stored.id, "object": "response", "status": "cancelled"})


def checked(data: bytes) -> dict[str, Any]:
    """A request's body. Raises Refused, in the words of the real one."""
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise Refused("We could not parse the JSON body of your request.", None, None) from None
    for name in body:
        if name not in _FIELDS:
            raise Refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if not isinstance(body.get("input"), list) or not body["input"]:
        raise Refused("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    for at, item in enumerate(body["input"]):
        _check_item(at, item)
    if not 0 <= body.get("temperature", 0) <= 2:
        raise Refused("Invalid 'temperature'.", "temperature", "decimal_above_max_value")
    if not 0 <= body.get("top_p", 0) <= 1:
        raise Refused("Invalid 'top_p'.", "top_p", "decimal_above_max_value")
    if body.get("max_output_tokens", TOKENS_LEAST) < TOKENS_LEAST:
        raise Refused("Invalid 'max_output_tokens'.", "max_output_tokens", "integer_below_min_value")
    if body.get("background") and body.get("store") is False:
        raise Refused("Background mode requires 'store' to be true.", "background", None)
    return dict(body)


def _check_item(at: int, item: dict[str, Any]) -> None:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        raise Refused(f"Invalid value: '{role}'.", f"input[{at}].role", "invalid_value")
    if isinstance(content, str):
        return
    for number, part in enumerate(content or [{}]):
        if part.get("type") not in _PARTS.get(role, _PARTS["user"]):
            raise Refused(f"Invalid value: '{part.get('type')}'.", f"input[{at}].content[{number}]", "invalid_value")
        url = part.get("image_url")
        if part["type"] == "input_image" and not (isinstance(url, str) and url.startswith("data:image/")):
            raise Refused("Invalid image URL.", f"input[{at}].content[{number}].image_url", "invalid_image_url")


def _question(items: list[dict[str, Any]]) -> str:
    content = [item for item in items if item["role"] == "user"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _shortened(script: Script, limit: int | None) -> tuple[Script, str | None]:
    if limit is None or len(script.tokens) <= limit:
        return script, None
    return replace(script, tokens=script.tokens[:limit]), "max_output_tokens"


def _refuse(
    answer: Answer, status: int, kind: str, code: str | None, param: str | None = None, message: str = ""
) -> None:
    headers = "Retry-After: 0\r\n" if status == 429 else ""
    error = {"message": message or f"a simulated {status}", "type": kind, "param": param, "code": code}
    answer.json(status, {"error": error}, headers)


async def _write(stored: Stored, voice: ResponsesVoice, script: Script) -> None:
    async def add(frames: bytes) -> None:
        async with stored.grown:
            stored.frames += [frame + b"\n\n" for frame in frames.split(b"\n\n") if frame]
            stored.grown.notify_all()

    await add(voice.opening())
    for thought in script.thoughts:
        await add(voice.thought(thought))
    async for token in script.pace():
        await add(voice.token(token))
    await add(voice.closing(len(script.tokens)))
    async with stored.grown:
        stored.over = True
        stored.grown.notify_all()


class ResponsesVoice(Voice):
    """`reason`: why it is incomplete; None where it is not."""

    def __init__(self, body: dict[str, Any], id: str, reason: str | None) -> None:
        self._body = body
        self._reason = reason
        self._number = -1
        self._response = {"id": id, "object": "response", "created_at": 1763690402, "model": body["model"],
                          "background": bool(body.get("background"))}  # fmt: skip
        self._text = {"item_id": f"msg_{id[5:]}", "output_index": 1, "content_index": 0}
        self._summary = {"item_id": f"rs_{id[5:]}", "output_index": 0, "summary_index": 0}

    def opening(self) -> bytes:
        return (
            self._of_response("response.created", "in_progress")
            + self._of_response("response.in_progress", "in_progress")
            + self._event("response.output_item.added", output_index=1, item={"type": "message", "content": []})
            + self._event("response.content_part.added", **self._text, part={"type": "output_text", "text": ""})
        )

    def token(self, text: str) -> bytes:
        return self._event("response.output_text.delta", **self._text, delta=text, logprobs=[], obfuscation="aX3k")

    def thought(self, text: str) -> bytes:
        return self._event("response.reasoning_summary_text.delta", **self._summary, delta=text)

    def closing(self, tokens: int) -> bytes:
        asked = max(1, len(_question(self._body["input"])) // 4)
        usage = {"input_tokens": asked, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": tokens,
                 "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": asked + tokens}  # fmt: skip
        end = "completed" if self._reason is None else "incomplete"
        details = None if self._reason is None else {"reason": self._reason}
        return self._event(
            "response.output_item.done", output_index=1, item={"type": "message", "status": end}
        ) + self._of_response(f"response.{end}", end, usage=usage, incomplete_details=details)

    def try_later(self) -> bytes:
        return self._event("error", code="server_error", message="The server had an error.", param=None)

    def _of_response(self, kind: str, status: str, **more: Any) -> bytes:
        response = {**self._response, "status": status, "error": None, "usage": None, **more}
        return self._event(kind, response=response)

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        data = msgspec.json.encode({"type": kind, "sequence_number": self._number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


RIG = UpstreamRig(
    simulator=lambda: OpenAIResponsesSimulator(KEY),
    table={"kind": "openai_responses", "api_key": "env:KEY"},
    environment={"KEY": KEY},
    wrong={"KEY": "another-secret"},
)
