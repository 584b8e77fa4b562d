"""A simulated upstream that speaks iFlytek Spark's WebSocket protocol, signature and all, with faults on demand.

Source: iFlytek's "星火认知大模型 WebSocket 接口文档" and "图片理解 API 文档".
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from chat.providers.spark_products import Product, product_at
from chat.simulators.base import ConnectionRecord
from chat.simulators.frame_voice import FrameVoice, speak
from chat.simulators.script import THOUGHTS, Fault, script_for
from chat.simulators.spark_gateway import refused
from chat.simulators.websocket_server import WebSocketSimulator, reset

THINKING_PATH = "/v1/x1"
MAX_APP_ID = 8
MAX_UID = 32
TOP_K = range(1, 7)
PICTURE_BYTES = 4 << 20

FORMAT, SCHEMA, PARAMETER, ENGINE_SCHEMA = 10003, 10004, 10005, 10163
"""Numbers that refuse a question."""

_CODE_FAULTS = {
    Fault.UNAUTHORIZED: 10016,
    Fault.RATE_LIMITED: 11202,
    Fault.SERVER_ERROR: 10012,
    Fault.REJECTED: 10907,
    Fault.FILTERED: 10013,
}


class SparkSimulator(WebSocketSimulator):
    """Serves every path of the product family; refuses other credentials than its own."""

    path = "/v3.5/chat"

    def __init__(self, api_key: str = "key", api_secret: str = "secret") -> None:  # noqa: S107 (a simulator's)
        super().__init__()
        self._api_key = api_key
        self._api_secret = api_secret

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        return refused(request.path, self._api_key, self._api_secret)

    async def answer(self, connection: ServerConnection, record: ConnectionRecord) -> None:
        address = connection.request.path if connection.request else ""
        received = await connection.recv()
        try:
            request = json.loads(received)
            asked = _asked(request, product_at(address))
            number = self.remember(record, asked.model, request, len(received))
            script = script_for(asked.model, asked.question, number)
        except _BadRequest as bad:
            await connection.send(_error(bad.code))
        except ValueError:  # no JSON, or an unknown fault's name
            await connection.send(_error(FORMAT if not record.model else PARAMETER))
        else:
            if script.fault is Fault.REFUSE:
                reset(connection)
            elif script.fault in _CODE_FAULTS:
                await connection.send(_error(_CODE_FAULTS[script.fault]))
            else:
                if urlsplit(address).path == THINKING_PATH:
                    script = replace(script, thoughts=THOUGHTS)
                await speak(_Voice(asked.question), script, connection, record)


class _Voice(FrameVoice):
    def __init__(self, question: str) -> None:
        self._asked = max(1, len(question) // 4)
        self._seq = 0

    def token(self, text: str) -> str:
        return self._frame({"content": text}, 1 if self._seq else 0)

    def thought(self, text: str) -> str:
        return self._frame({"reasoning_content": text}, 1 if self._seq else 0)

    def closing(self, tokens: int) -> str:
        usage = {
            "question_tokens": self._asked,
            "prompt_tokens": self._asked,
            "completion_tokens": tokens,
            "total_tokens": self._asked + tokens,
        }
        return self._frame({"content": ""}, 2, usage={"text": usage})

    def try_later(self) -> str:
        return _error(10110)

    def _frame(self, said: dict[str, str], status: int, **more: Any) -> str:
        choices = {"status": status, "seq": self._seq, "text": [{**said, "role": "assistant", "index": 0}]}
        self._seq += 1
        header = {"code": 0, "message": "Success", "sid": "cht000sim@dx0", "status": status}
        return json.dumps({"header": header, "payload": {"choices": choices, **more}}, ensure_ascii=False)


class _BadRequest(Exception):
    """Refused with this code in the header."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Asked(NamedTuple):
    model: str
    question: str


def _asked(request: Any, product: Product) -> _Asked:
    """The domain and the last question of a request frame, checked as the real server does."""
    try:
        header, chat, turns = request["header"], request["parameter"]["chat"], request["payload"]["message"]["text"]
        if not 0 < len(header["app_id"]) <= MAX_APP_ID or len(header.get("uid", "")) > MAX_UID:
            raise _BadRequest(SCHEMA)
        if not all(isinstance(patch, str) for patch in header.get("patch_id", [])):
            raise _BadRequest(SCHEMA)
        model, question = chat["domain"], turns[-1]["content"]
        spoken = _without_picture(turns) if product.pictures else turns
        _check_roles([turn["role"] for turn in spoken], product)
        _check_parameters(chat, product)
    except (KeyError, TypeError, IndexError, AttributeError):
        raise _BadRequest(SCHEMA) from None
    if not isinstance(model, str) or not all(isinstance(turn["content"], str) for turn in turns):
        raise _BadRequest(SCHEMA)
    return _Asked(model, question)


def _without_picture(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The picture comes first, alone, and bare: no address stands before its Base64."""
    picture, *spoken = turns
    if picture["role"] != "user" or [turn.get("content_type", "text") for turn in turns].count("image") != 1:
        raise _BadRequest(SCHEMA)
    try:
        data = base64.b64decode(picture["content"], validate=True)
    except ValueError:
        raise _BadRequest(SCHEMA) from None
    if picture.get("content_type") != "image" or not 0 < len(data) <= PICTURE_BYTES:
        raise _BadRequest(SCHEMA)
    return spoken


def _check_roles(roles: list[str], product: Product) -> None:
    spoken = roles[1:] if product.system and roles[0] == "system" else roles
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2) + ["user"]:
        raise _BadRequest(PARAMETER)


def _check_parameters(chat: dict[str, Any], product: Product) -> None:
    if not 0 < chat.get("temperature", 0.5) <= product.temperature or not 0 < chat.get("top_p", 0.5) <= 1:
        raise _BadRequest(PARAMETER)
    if not 1 <= chat.get("max_tokens", 1) <= product.max_tokens or chat.get("top_k", 1) not in TOP_K:
        raise _BadRequest(ENGINE_SCHEMA)


def _error(code: int) -> str:
    return json.dumps({"header": {"code": code, "message": "a simulated error", "sid": "cht000sim@dx0", "status": 2}})
