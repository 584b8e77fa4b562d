"""How a simulated HTTP upstream says a script in its protocol's words, and how it misbehaves.

The faults are the same for all: a protocol only says what its frames look like.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from chat.simulators.http_server import Answer
from chat.simulators.script import Fault, Script

HUGE_LINE = 17 << 20
"""More than any decoder of ours bears."""

_PIECE = b"x" * 65536
_MARK = "界"


class Voice(ABC):
    """The frames of one reply, as bytes; they hold text as UTF-8, not in escapes."""

    content_type = b"text/event-stream; charset=utf-8"

    def opening(self) -> bytes:
        """What comes before the first token."""
        return b""

    @abstractmethod
    def token(self, text: str) -> bytes: ...

    def thought(self, text: str) -> bytes:
        """A piece of reasoning; nothing where the protocol has none."""
        return b""

    @abstractmethod
    def closing(self, tokens: int) -> bytes:
        """The proper end, with its mark, after so many tokens."""

    @abstractmethod
    def try_later(self) -> bytes:
        """The protocol's own error in mid-reply, of an upstream that is overloaded."""

    def garbage(self) -> bytes:
        """What is not of the protocol."""
        return b"data: {this is not JSON\n\n"


async def speak(voice: Voice, script: Script, answer: Answer) -> None:
    """One reply, with the script's fault. Faults that come in place of a reply are the simulator's: `status_of`."""
    answer.begin_stream(voice.content_type)
    if script.fault is Fault.SILENCE:
        await asyncio.Event().wait()
    if opening := voice.opening():
        answer.chunk(opening)
    if script.fault is Fault.CUT_EARLY:
        await asyncio.sleep(0.05)
        answer.reset()
        return
    for thought in script.thoughts:
        if said := voice.thought(thought):
            answer.chunk(said)
    if script.fault is not Fault.EMPTY:
        async for token in script.pace():
            answer.chunk(voice.token(token))
            answer.record.tokens_sent += 1
            await answer.drain()
    if script.fault not in (None, Fault.SLOW, Fault.EMPTY):
        await _misbehave(voice, script.fault, answer)
        return
    answer.chunk(voice.closing(answer.record.tokens_sent))
    answer.end()


async def _misbehave(voice: Voice, fault: Fault | None, answer: Answer) -> None:
    match fault:
        case Fault.STALL:
            await asyncio.Event().wait()
        case Fault.CUT:
            await asyncio.sleep(0.05)
            answer.reset()
        case Fault.CUT_CHARACTER:
            frame, inside = voice.token(_MARK), 1
            answer.chunk(frame[: frame.index(_MARK.encode()) + inside])
            await asyncio.sleep(0.05)
            answer.reset()
        case Fault.GARBAGE:
            answer.chunk(voice.garbage())
            answer.end()
        case Fault.HUGE_LINE:
            frame = voice.token(_MARK)
            answer.chunk(frame[: frame.index(_MARK.encode())])
            for _ in range(HUGE_LINE // len(_PIECE)):
                answer.chunk(_PIECE)
                await answer.drain()
            answer.end()
        case Fault.NO_END_MARK:
            answer.end()
        case Fault.ERROR_FRAME:
            answer.chunk(voice.try_later())
            answer.end()
