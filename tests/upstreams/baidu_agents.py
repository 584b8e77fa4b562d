"""A simulated agents platform of Baidu's; which agent is asked decides what it says.

Source: public clients of `agentapi.baidu.com/assistant/conversation` and a published transcript of its stream.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec

from chat.simulators.http_server import Answer, Request
from chat.simulators.script import Fault
from chat.simulators.voice import Voice, speak
from tests.upstreams.http_simulator import HttpSimulator, refuses
from tests.upstreams.rig import UpstreamRig

SECRET = "secret-of-the-tests"
_encode = msgspec.json.encode
_STATUSES: dict[Fault, int] = {
    Fault.UNAUTHORIZED: 13,
    Fault.RATE_LIMITED: 18,
    Fault.SERVER_ERROR: 2,
    Fault.REJECTED: 1000,
}


class BaiduAgentsSimulator(HttpSimulator):
    async def answer(self, request: Request, answer: Answer) -> None:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        if (request.method, request.path) != ("POST", "/assistant/conversation"):
            answer.body(404, b"not found")
        elif not (agent := query.get("appId")):
            _refuse(answer, 11)
        elif query.get("secretKey") != SECRET:
            _refuse(answer, 13)
        else:
            await self._converse(request, agent, answer)

    async def _converse(self, request: Request, agent: str, answer: Answer) -> None:
        try:
            body: dict[str, Any] = msgspec.json.decode(request.body)
            content = body["message"]["content"]
            question = content["value"]["showText"]
        except (msgspec.DecodeError, KeyError, TypeError):
            _refuse(answer, 1000)
            return
        sender = (body.get("from"), body.get("source"), content.get("type"))
        if sender != ("openapi", agent, "text") or not body.get("openId") or not question:
            _refuse(answer, 1000)
            return
        try:
            script = self.script(answer, agent, question, body, len(request.body))
        except ValueError:
            _refuse(answer, 1001)
            return
        if script.fault in _STATUSES:
            _refuse(answer, _STATUSES[script.fault])
        elif script.fault is Fault.FILTERED:
            # No status for this is known: it is how a gateway in front says it.
            error = {"message": "refused", "type": "invalid_request_error", "code": "content_filter"}
            answer.json(400, {"error": error})
        elif not refuses(script, answer):
            await speak(_Voice(), script, answer)


def _refuse(answer: Answer, status: int) -> None:
    """With status 200, also where a stream was asked for."""
    answer.json(200, {"status": status, "message": "a simulated refusal", "logid": "3141592653"})


def _message(content: list[dict[str, Any]] | None, *, end_turn: bool = False) -> bytes:
    message = {"content": content, "threadId": "t-1", "msgId": "m-1", "endTurn": end_turn}
    frame = {"status": 0, "message": "succ", "logid": "3141592653", "data": {"message": message}}
    return b"event:message\ndata:" + _encode(frame) + b"\n\n"


def _text(text: str, *, finished: bool = False) -> dict[str, Any]:
    data = {"showType": "append", "text": text, "type": "txt"}
    return {"sectionId": "1", "dataType": "markdown", "isFinished": finished, "data": data}


class _Voice(Voice):
    content_type = b"text/event-stream;charset=UTF-8"

    def opening(self) -> bytes:
        progress = {"progress": {"stepId": "1", "status": "doing", "name": "思考", "content": "", "toolsStatus": []}}
        return _message(None) + _message([progress]) + b"event:ping\n\n"

    def token(self, text: str) -> bytes:
        return _message([_text(text)])

    def closing(self, tokens: int) -> bytes:
        suggestion = {"dataType": "null", "suggestion": {"suggestionList": [{"text": "And then?"}]}}
        after = _message(None) + _message(None)
        return _message([_text("", finished=True)]) + _message([suggestion]) + _message(None, end_turn=True) + after

    def try_later(self) -> bytes:
        return b'event:message\ndata:{"status":2,"message":"busy","logid":"3141592653"}\n\n'

    def garbage(self) -> bytes:
        return b"event:message\ndata:{this is not JSON\n\n"


RIG = UpstreamRig(
    simulator=BaiduAgentsSimulator,
    table={"kind": "baidu_agents", "api_secret": "env:SECRET"},
    environment={"SECRET": SECRET},
    wrong={"SECRET": "another-secret"},
    reasons=False,
    counts=False,
)
