"""A simulated upstream that speaks iFlytek Spark's WebSocket protocol, signature and all, with faults on demand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email.utils
import hmac
import json
import logging
import re
import socket
import struct
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from chat.providers.spark_signing import sign
from chat.simulators.base import ConnectionRecord, Simulator
from chat.simulators.script import Fault, Script, script_for

MAX_SKEW = 300
"""Seconds that the signed date may be off."""

MAX_QUESTION = 8 << 20
HUGE_FRAME = 17 << 20
"""More than any client of ours takes."""

THINKING_PATH = "/v1/x1"
THOUGHTS = ("Let me ", "think. ")
"""What the reasoning product says to itself before each answer."""

MAX_UID = 32

_ORIGIN = re.compile(r'(?:hmac username|api_key)="([^"]*)".*?signature="([^"]*)"')

_CODE_FAULTS = {
    Fault.RATE_LIMITED: 11202,
    Fault.SERVER_ERROR: 10012,
    Fault.REJECTED: 10907,
    Fault.FILTERED: 10013,
}


class SparkSimulator(Simulator):
    """Serves every path of the product family; refuses other credentials than its own."""

    def __init__(self, api_key: str = "key", api_secret: str = "secret") -> None:  # noqa: S107 (a simulator's)
        super().__init__()
        self._api_key = api_key
        self._api_secret = api_secret
        self._server: Server | None = None
        self._logger = logging.getLogger("chat.simulators.spark.websockets")
        self._logger.setLevel(logging.CRITICAL)

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()[:2]
        return f"ws://{host}:{port}/v3.5/chat"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = await serve(
            self._answer,
            host,
            port,
            process_request=self._check,
            compression=None,
            max_size=MAX_QUESTION,
            logger=self._logger,
            close_timeout=0.5,
            backlog=1024,
        )

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        """The gateway's answers before the upgrade."""
        target = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        if "authorization" not in query:
            return _refusal(HTTPStatus.UNAUTHORIZED, "Unauthorized")
        if not _is_recent(query.get("date", "")):
            return _refusal(
                HTTPStatus.FORBIDDEN,
                "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication",
            )
        try:
            match = _ORIGIN.search(base64.b64decode(query["authorization"]).decode())
        except ValueError:  # no Base64, or no UTF-8 in it
            match = None
        if match is None or match[1] != self._api_key:
            return _refusal(HTTPStatus.UNAUTHORIZED, "HMAC signature cannot be verified")
        expected = sign(query.get("host", ""), query["date"], target.path, self._api_secret)
        if not hmac.compare_digest(match[2].encode(), expected.encode()):
            return _refusal(HTTPStatus.UNAUTHORIZED, "HMAC signature does not match")
        return None

    async def _answer(self, connection: ServerConnection) -> None:
        record = ConnectionRecord()
        self.connections.append(record)
        # Whoever leaves in the middle is noticed at once, also while nothing is being sent.
        speaking = asyncio.create_task(self._speak(connection, record))
        leaving = asyncio.create_task(connection.wait_closed())
        try:
            await asyncio.wait([speaking, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (speaking, leaving):
                task.cancel()
            await asyncio.gather(speaking, leaving, return_exceptions=True)
            with contextlib.suppress(ConnectionClosed):
                await connection.close()
            record.closed = time.monotonic()

    async def _speak(self, connection: ServerConnection, record: ConnectionRecord) -> None:
        try:
            request = json.loads(await connection.recv())
            model, question = _asked(request)
            record.model, record.request = model, request
            self.requests[model] += 1
            script = script_for(model, question, self.requests[model])
        except _BadRequest as bad:
            await connection.send(_error(bad.code))
        except ValueError:  # no JSON, or an unknown fault's name
            await connection.send(_error(10003 if not record.model else 10005))
        else:
            path = urlsplit(connection.request.path).path if connection.request else ""
            await _Reply(connection, record).speak(script, question, thinking=path == THINKING_PATH)
        # The real server leaves it to the client to close.
        await connection.wait_closed()


class _Reply:
    def __init__(self, connection: ServerConnection, record: ConnectionRecord) -> None:
        self._connection = connection
        self._record = record
        self._seq = 0

    async def speak(self, script: Script, question: str, *, thinking: bool) -> None:
        fault = script.fault
        if fault is Fault.REFUSE or fault is Fault.UNAUTHORIZED:
            if fault is Fault.UNAUTHORIZED:
                await self._connection.send(_error(10016))
            else:
                self._reset()
            return
        if fault in _CODE_FAULTS:
            await self._connection.send(_error(_CODE_FAULTS[fault]))
            return
        if fault is Fault.SILENCE:
            await asyncio.Event().wait()
        if fault is Fault.EMPTY:
            await self._frame("", 2, question)
            return
        if thinking:
            for thought in THOUGHTS:
                await self._frame(thought, 0 if self._seq == 0 else 1, question, "reasoning_content")
        async for token in script.pace():
            await self._frame(token, 0 if self._seq == 0 else 1, question)
            self._record.tokens_sent += 1
        if fault is not None and fault is not Fault.SLOW:
            await self._misbehave(fault)
            return
        await self._frame("", 2, question)

    async def _misbehave(self, fault: Fault) -> None:
        connection = self._connection
        match fault:
            case Fault.STALL:
                await asyncio.Event().wait()
            case Fault.CUT:
                await asyncio.sleep(0.05)
                self._reset()
            case Fault.CUT_CHARACTER:
                frame = self._text("界", 1).encode()
                cut = frame.index("界".encode()) + 1
                connection.transport.write(b"\x81\x7e" + len(frame).to_bytes(2) + frame[:cut])
                await asyncio.sleep(0.05)
                self._reset()
            case Fault.GARBAGE:
                await connection.send("{this is not JSON")
            case Fault.HUGE_LINE:
                await connection.send("x" * HUGE_FRAME)
            case Fault.NO_END_MARK:
                await connection.close(1000)
            case Fault.ERROR_FRAME:
                await connection.send(_error(10110))

    def _reset(self) -> None:
        """Ends the connection as a crashed machine does: by RST, not by FIN."""
        raw = self._connection.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.transport.abort()

    async def _frame(self, content: str, status: int, question: str, field: str = "content") -> None:
        await self._connection.send(self._text(content, status, question, field))
        self._seq += 1

    def _text(self, content: str, status: int, question: str = "", field: str = "content") -> str:
        payload: dict[str, Any] = {
            "choices": {
                "status": status,
                "seq": self._seq,
                "text": [{field: content, "role": "assistant", "index": 0}],
            }
        }
        if status == 2:
            asked = max(1, len(question) // 4)
            payload["usage"] = {
                "text": {
                    "question_tokens": asked,
                    "prompt_tokens": asked,
                    "completion_tokens": self._record.tokens_sent,
                    "total_tokens": asked + self._record.tokens_sent,
                }
            }
        header = {"code": 0, "message": "Success", "sid": "cht000sim@dx0", "status": status}
        return json.dumps({"header": header, "payload": payload}, ensure_ascii=False)


class _BadRequest(Exception):
    """Refused with this code in the header."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _asked(request: Any) -> tuple[str, str]:
    """The domain and the last question of a request frame, checked as the real server does."""
    try:
        chat, turns = request["parameter"]["chat"], request["payload"]["message"]["text"]
        model, roles, question = chat["domain"], [turn["role"] for turn in turns], turns[-1]["content"]
        if not request["header"]["app_id"] or len(request["header"].get("uid", "")) > MAX_UID:
            raise _BadRequest(10004)
    except (KeyError, TypeError, IndexError, AttributeError):
        raise _BadRequest(10004) from None
    if not isinstance(model, str) or not isinstance(question, str):
        raise _BadRequest(10004)
    spoken = roles[1:] if roles[0] == "system" else roles
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2) + ["user"]:
        raise _BadRequest(10005)
    return model, question


def _is_recent(date: str) -> bool:
    moment = email.utils.parsedate_tz(date)
    try:
        return moment is not None and abs(email.utils.mktime_tz(moment) - time.time()) <= MAX_SKEW
    except (ValueError, OverflowError):
        return False


def _error(code: int) -> str:
    return json.dumps({"header": {"code": code, "message": "a simulated error", "sid": "cht000sim@dx0", "status": 2}})


def _refusal(status: HTTPStatus, message: str) -> Response:
    body = json.dumps({"message": message}).encode()
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, body)
