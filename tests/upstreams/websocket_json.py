"""An AI of one's own on a WebSocket, which speaks the usual names of its kind."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from chat.simulators.base import ConnectionRecord
from chat.simulators.frame_voice import FrameVoice, speak
from chat.simulators.script import Fault, script_for
from chat.simulators.websocket_server import WebSocketSimulator, refusal, reset
from tests.upstreams.rig import UpstreamRig

KEY = "key-of-the-tests"
ROLES = ("system", "user", "assistant")
PARAMS = {"temperature": (int, float), "top_p": (int, float), "max_tokens": int, "user": str}

_CODE_FAULTS = {
    Fault.UNAUTHORIZED: "key",
    Fault.RATE_LIMITED: "rate_limited",
    Fault.SERVER_ERROR: "unavailable",
    Fault.REJECTED: "context",
    Fault.FILTERED: "filtered",
}


class WebSocketJSONSimulator(WebSocketSimulator):
    path = "/talk"

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path != self.path:
            return refusal(HTTPStatus.NOT_FOUND, {"detail": "Not Found"})
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return refusal(HTTPStatus.UNAUTHORIZED, {"detail": "Unauthorized"})
        return None

    async def answer(self, connection: ServerConnection, record: ConnectionRecord) -> None:
        received = await connection.recv()
        try:
            request = json.loads(received)
            model, question = _asked(request)
            script = script_for(model, question, self.remember(record, model, request, len(received)))
        except (ValueError, KeyError, TypeError, IndexError):
            await connection.send(_error("rejected"))
            return
        if script.fault is Fault.REFUSE:
            reset(connection)
        elif script.fault in _CODE_FAULTS:
            await connection.send(_error(_CODE_FAULTS[script.fault]))
        else:
            await speak(_Voice(question), script, connection, record)


class _Voice(FrameVoice):
    def __init__(self, question: str) -> None:
        self._asked = max(1, len(question) // 4)

    def token(self, text: str) -> str:
        return _message("delta", delta=text)

    def thought(self, text: str) -> str:
        return _message("reasoning", reasoning=text)

    def closing(self, tokens: int) -> str:
        return _message("done", finish_reason="stop", usage={"input_tokens": self._asked, "output_tokens": tokens})

    def try_later(self) -> str:
        return _error("unavailable")


def _asked(request: Any) -> tuple[str, str]:
    """Its model and last question. Raises ValueError, KeyError, TypeError or IndexError for what is none."""
    turns = request["messages"]
    known = request.keys() <= {"model", "messages", *PARAMS}
    typed = all(isinstance(request[name], of) for name, of in PARAMS.items() if name in request)
    shaped = all(turn.keys() == {"role", "content"} and turn["role"] in ROLES for turn in turns)
    if not (known and typed and shaped and turns[-1]["role"] == "user"):
        raise ValueError("not of this protocol")
    return request["model"], turns[-1]["content"]


def _message(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}, ensure_ascii=False)


def _error(code: str) -> str:
    return _message("error", error={"code": code, "message": "a simulated error", "retry_after": 0})


RIG = UpstreamRig(
    simulator=WebSocketJSONSimulator,
    table={"kind": "websocket_json", "api_key": "env:KEY"},
    environment={"KEY": KEY},
    wrong={"KEY": "another-secret"},
)
