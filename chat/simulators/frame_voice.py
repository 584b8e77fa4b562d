"""How a simulated upstream on a WebSocket says a script in its protocol's words, and how it misbehaves.

The faults are the same for all: a protocol only says what its messages look like.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from websockets.asyncio.server import ServerConnection

from chat.simulators.base import ConnectionRecord
from chat.simulators.script import Fault, Script
from chat.simulators.websocket_server import reset

HUGE_MESSAGE = 17 << 20
"""More than any client of ours takes."""

_TEXT_OF_16_BITS = b"\x81\x7e"
"""A final text frame whose length stands in the next two bytes (RFC 6455, 5.2)."""

_MARK = "界"


class FrameVoice(ABC):
    """The messages of one reply; they hold text as it is, not in escapes."""

    @abstractmethod
    def token(self, text: str) -> str: ...

    @abstractmethod
    def thought(self, text: str) -> str:
        """A piece of reasoning."""

    @abstractmethod
    def closing(self, tokens: int) -> str:
        """The proper end, after so many tokens."""

    @abstractmethod
    def try_later(self) -> str:
        """The protocol's own error in mid-reply, of an upstream that is overloaded."""


async def speak(voice: FrameVoice, script: Script, connection: ServerConnection, record: ConnectionRecord) -> None:
    """One reply, with the script's fault. Faults that come in place of a reply are the simulator's."""
    if script.fault is Fault.SILENCE:
        await asyncio.Event().wait()
    if script.fault is Fault.CUT_EARLY:
        reset(connection)
        return
    for thought in script.thoughts:
        await connection.send(voice.thought(thought))
    if script.fault is not Fault.EMPTY:
        async for token in script.pace():
            await connection.send(voice.token(token))
            record.tokens_sent += 1
    if script.fault in (None, Fault.SLOW, Fault.EMPTY):
        await connection.send(voice.closing(record.tokens_sent))
    else:
        await _misbehave(voice, script.fault, connection)


async def _misbehave(voice: FrameVoice, fault: Fault, connection: ServerConnection) -> None:
    match fault:
        case Fault.STALL:
            await asyncio.Event().wait()
        case Fault.CUT:
            await asyncio.sleep(0.05)
            reset(connection)
        case Fault.CUT_CHARACTER:
            frame = voice.token(_MARK + " " * 126).encode()  # long enough for a length of 16 bits
            cut = frame.index(_MARK.encode()) + 1
            connection.transport.write(_TEXT_OF_16_BITS + len(frame).to_bytes(2) + frame[:cut])
            await asyncio.sleep(0.05)
            reset(connection)
        case Fault.GARBAGE:
            await connection.send("{this is not JSON")
        case Fault.HUGE_LINE:
            await connection.send("x" * HUGE_MESSAGE)
        case Fault.NO_END_MARK:
            await connection.close(1000)
        case Fault.ERROR_FRAME:
            await connection.send(voice.try_later())
