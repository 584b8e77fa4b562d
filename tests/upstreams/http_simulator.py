"""What the simulated upstreams over HTTP share that only tests use: a server, a record, and one script a request."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

from chat.simulators.base import Simulator
from chat.simulators.http_server import Answer, HttpServer, Request
from chat.simulators.script import Fault, Script, script_for


class HttpSimulator(Simulator):
    def __init__(self) -> None:
        super().__init__()
        self._server = HttpServer(self.answer, self.connections)

    @property
    def url(self) -> str:
        host, port = self._server.address
        return f"http://{host}:{port}"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        await self._server.start(host, port)

    async def aclose(self) -> None:
        await self._server.aclose()

    @abstractmethod
    async def answer(self, request: Request, answer: Answer) -> None: ...

    def script(self, answer: Answer, model: str, question: str, asked: dict[str, Any], size: int) -> Script:
        """Remembers the request, and says what follows it. Raises ValueError for a model that is not there."""
        return script_for(model, question, self.remember(answer.record, model, asked, size))


def cut_to(script: Script, most: int | None) -> tuple[Script, bool]:
    """At most so many tokens of it, and whether any are missing."""
    if most is None or len(script.tokens) <= most:
        return script, False
    return replace(script, tokens=script.tokens[:most]), True


def refuses(script: Script, answer: Answer) -> bool:
    """Whether the connection was reset in place of an answer."""
    if script.fault is Fault.REFUSE:
        answer.reset()
    return script.fault is Fault.REFUSE
