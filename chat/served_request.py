"""The request that is being served: what those below tell about it, for its line in the log and its span in the trace.

`served` holds it in the context of whoever serves it. With traces on, it is of a subclass that knows of spans; nothing
here does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from chat.errors import RequestError


class ServedRequest:
    """One HTTP request, one WebSocket, or one command of a WebSocket. `user` and `generation`: whose it is and what it
    is about, once that is known; else empty."""

    __slots__ = ("generation", "user")

    def __init__(self) -> None:
        self.user = self.generation = ""

    @property
    def trace_ids(self) -> tuple[str, str] | None:
        """Of its span: (trace, span) in hexadecimal digits, as in a `traceparent`."""
        return None

    def accept_generation(self) -> str:
        """It may be about to start a generation: the `traceparent` for its row, or empty without a trace."""
        return ""

    @property
    def accepted(self) -> str:
        """The same again, for those who are told of the generation's start."""
        return ""

    def link(self, traceparent: str) -> None:
        """It follows or commands the generation whose row has this."""

    def command(self, name: str) -> ServedRequest:
        """Of a socket: one command."""
        return self

    def ended(self, status: int) -> None:
        """Decided: with a status as HTTP has them, also for a command. What comes later, such as the events of a
        stream, is not what it cost."""


served: ContextVar[ServedRequest | None] = ContextVar("served_request", default=None)


@contextmanager
def command(name: str) -> Iterator[None]:
    """While a command of the socket that is being served is obeyed."""
    socket = served.get()
    one = None if socket is None else socket.command(name)
    if one is socket or one is None:
        yield
        return
    token = served.set(one)
    status = 500
    try:
        yield
        status = 200
    except RequestError as error:
        status = error.status
        raise
    finally:
        served.reset(token)
        one.ended(status)


def of_user(user: object) -> None:
    """Who asks is known."""
    request = served.get()
    if request is not None:
        request.user = str(user)


def accept_generation() -> str:
    """See ServedRequest."""
    request = served.get()
    return "" if request is None else request.accept_generation()


def concerns(generation: str, traceparent: str) -> None:
    """What is being served is about this generation. `traceparent`: what its row has, if another request started it."""
    request = served.get()
    if request is not None:
        request.generation = generation
        if traceparent:
            request.link(traceparent)
