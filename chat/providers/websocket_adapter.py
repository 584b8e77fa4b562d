"""What the adapters share whose upstream is asked by one frame on a WebSocket of its own, and answers with frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.providers import http_errors
from chat.providers.base import ChatRequest, Provider, Take
from chat.providers.refused_handshake import HandshakeRefused
from chat.providers.reply import Reply
from chat.providers.transport import ConnectionDied
from chat.providers.websocket import ProtocolBroken, UpstreamSocket

ORDERLY = frozenset({1000, 1005})
"""Close codes (RFC 6455, 7.4) of a server that meant to say goodbye; with any other it has failed."""

TOO_BIG = 1009


class FrameReply(Reply):
    """A reply that comes as messages of JSON. `begun`: one has come."""

    def __init__(self, provider: str, take: Take) -> None:
        super().__init__(provider, take)
        self.begun = False

    @abstractmethod
    def read_frame(self, message: bytes) -> None:
        """Raises UpstreamError."""

    def read(self, messages: list[bytes]) -> bool:
        """Gives away what these say; True at the end mark. Raises UpstreamError."""
        try:
            for message in messages:
                self.begun = True
                self.read_frame(message)
                if self.done:
                    break
        finally:
            self.give_away()
        return self.done

    def read_rest(self) -> None:
        """A message comes whole or not at all."""


class WebSocketAdapter(Provider):
    """An adapter says where to connect (`address`, `headers`), what to send (`question`), and how to read the answer
    (`reply`)."""

    upstream = "websocket"

    @abstractmethod
    def address(self) -> str:
        """ws(s)://…; it may be signed for this very moment, and is never logged."""

    @abstractmethod
    def question(self, request: ChatRequest) -> str:
        """The message to send. Raises UpstreamError for what this upstream cannot be asked."""

    @abstractmethod
    def reply(self, take: Take) -> FrameReply: ...

    def headers(self) -> Mapping[str, str]:
        """Of the handshake, besides the protocol's own."""
        return {}

    def ends_by_closing(self) -> bool:
        """Whether an orderly close may end a reply; most have an end mark."""
        return False

    def refine(self, error: UpstreamError, refusal: HandshakeRefused) -> UpstreamError:
        """A refused handshake's status says less than its headers and its body."""
        return error

    async def stream(self, request: ChatRequest, take: Take) -> None:
        question = self.question(request)
        socket = await self._connect(request)
        reply = self.reply(take)
        try:
            socket.send(question)
            if not await socket.pour(reply.read) and not self._is_goodbye(socket.close_code):
                raise self._of_close(socket.close_code, reply.begun)
            reply.end()
        except ProtocolBroken:
            raise self.error(ErrorCode.UPSTREAM_PROTOCOL) from None
        except ConnectionDied:
            died = self.error(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=not reply.begun, connection="died")
            raise died from None
        finally:
            await socket.aclose()

    def error(self, code: ErrorCode, *, attempt_again: bool = False, **details: Any) -> UpstreamError:
        return UpstreamError(code, details={"provider": self.id, **details}, attempt_again=attempt_again)

    async def _connect(self, request: ChatRequest) -> UpstreamSocket:
        try:
            return await UpstreamSocket.connect(
                self.address(), pace=request.pace, seconds=self.timeouts.connect, headers=self.headers()
            )
        except TimeoutError:
            raise self.error(ErrorCode.UPSTREAM_TIMEOUT) from None
        except OSError as error:
            raise self.error(
                ErrorCode.UPSTREAM_UNAVAILABLE,
                attempt_again=True,
                cause=Cause.ADDRESS,
                connection=http_errors.of_connection(error),
            ) from None
        except HandshakeRefused as refusal:
            raise self.refine(self._of_handshake(refusal), refusal) from None

    def _is_goodbye(self, code: int | None) -> bool:
        return self.ends_by_closing() and code in ORDERLY

    def _of_close(self, code: int | None, begun: bool) -> UpstreamError:
        """The server has closed before the end mark."""
        if code in ORDERLY:
            return self.error(ErrorCode.UPSTREAM_PROTOCOL, close_code=code)
        if code == TOO_BIG:
            return self.error(ErrorCode.UPSTREAM_REJECTED, close_code=code)
        return self.error(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=not begun, close_code=code)

    def _of_handshake(self, refusal: HandshakeRefused) -> UpstreamError:
        if refusal.status < 400:
            return self.error(ErrorCode.UPSTREAM_PROTOCOL, cause=Cause.ADDRESS)
        error = http_errors.of_status(refusal.status, refusal.headers, provider=self.id)
        if error.error_code is ErrorCode.UPSTREAM_REJECTED:
            # Nothing has been asked yet: what is refused is the place.
            return self.error(ErrorCode.UPSTREAM_REJECTED, status=refusal.status, cause=Cause.ADDRESS)
        return error
