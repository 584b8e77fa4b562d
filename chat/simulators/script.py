"""What a simulated upstream says, and how it misbehaves: chosen by the model's name, the same for every protocol.

demo                a friendly answer about the question, at reading speed
echo                the last user message, a few characters a token
tokens-N-R          N tokens `t000001 `, `t000002 ` … at R a second; R 0: at full speed
bytes-N             N bytes of text at full speed, in tokens of 1 KiB
reasons             a few thoughts, then the words of `FAULT_TEXT`
fault-NAME          one of `Fault`, with the words of `FAULT_TEXT` before it where text comes first
fault-NAME-xK       the fault for the first K requests to this simulator, then `demo`
trouble-P           one of all faults in P of a hundred requests, by chance, but the same for the same number of a
                    request; every text begins with this number, as `#17 `
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import StrEnum

FAULT_TEXT = ("Some ", "words ", "came ", "through ")
"""The tokens that precede a fault in mid-stream."""

THOUGHTS = ("Let me ", "think. ")
"""What a model that reasons says to itself."""


class Fault(StrEnum):
    REFUSE = "refuse"  # the connection is reset before any answer
    UNAUTHORIZED = "401"
    RATE_LIMITED = "429"  # with Retry-After: 0
    SERVER_ERROR = "500"
    REJECTED = "400"
    FILTERED = "filtered"  # the protocol's own way to refuse content, before any text
    CUT_EARLY = "cut-early"  # the answer begins, then the connection is reset before any text
    SILENCE = "silence"  # accepts the request and never answers
    STALL = "stall"  # text, then silence
    SLOW = "slow"  # one token in 300 ms: not a failure
    CUT = "cut"  # text, then the connection is reset
    CUT_CHARACTER = "cut-character"  # the same, inside the bytes of a character
    GARBAGE = "garbage"  # text, then what is not of the protocol
    HUGE_LINE = "huge-line"  # text, then a line or frame over every limit
    NO_END_MARK = "no-end-mark"  # text, then an orderly close without the end mark
    ERROR_FRAME = "error-frame"  # text, then the protocol's own error ("try later")
    EMPTY = "empty"  # a proper end without any text


@dataclass(frozen=True, slots=True)
class Script:
    """One parsed model name: the tokens to say, seconds between them, the fault, if any, and the thoughts before."""

    tokens: tuple[str, ...]
    interval: float
    fault: Fault | None = None
    thoughts: tuple[str, ...] = ()

    def behind(self, said: str) -> Script:
        """What is left of it, where it begins so; else all."""
        whole = "".join(self.tokens)
        if not whole.startswith(said):
            return self
        left, at = list(self.tokens), 0
        while left and at + len(left[0]) <= len(said):
            at += len(left.pop(0))
        if left:
            left[0] = left[0][len(said) - at :]
        return replace(self, tokens=tuple(left))

    async def pace(self) -> AsyncIterator[str]:
        """Yields each token at its time."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, token in enumerate(self.tokens):
            if self.interval:
                await asyncio.sleep(start + number * self.interval - loop.time())
            elif number % 64 == 0:
                await asyncio.sleep(0)
            yield token


_TOKENS = re.compile(r"tokens-(\d+)-(\d+)")
_BYTES = re.compile(r"bytes-(\d+)")
_FAULT = re.compile(r"fault-(.+?)(?:-x(\d+))?")
_TROUBLE = re.compile(r"trouble-(\d+)")
_TROUBLED_TOKENS = (1, 60)
_SLOW_SECONDS = 0.3
_FAULT_SECONDS = 0.02


def script_for(model: str, question: str, request_number: int) -> Script:
    """The script for a model's name; `request_number` counts this simulator's requests for that model, from 1."""
    if match := _TOKENS.fullmatch(model):
        count, rate = int(match[1]), int(match[2])
        return Script(tuple(f"t{n:06d} " for n in range(1, count + 1)), 1 / rate if rate else 0.0)
    if match := _BYTES.fullmatch(model):
        size = int(match[1])
        line = ("0123456789abcdef" * 64)[:1023] + "\n"
        return Script((*[line] * (size // 1024), line[: size % 1024]) if size % 1024 else (line,) * (size // 1024), 0.0)
    if match := _FAULT.fullmatch(model):
        fault = Fault(match[1])
        if match[2] is None or request_number <= int(match[2]):
            return Script(FAULT_TEXT, _seconds(fault), fault)
    if match := _TROUBLE.fullmatch(model):
        return _troubled(model, int(match[1]), request_number)
    if model == "reasons":
        return Script(FAULT_TEXT, 0.0, thoughts=THOUGHTS)
    if model == "echo":
        return Script(tuple(_pieces(question, 4)) or ("…",), 0.01)
    return Script(tuple(_pieces(_demonstration(question), 3)), 0.03)


def _seconds(fault: Fault) -> float:
    return _SLOW_SECONDS if fault is Fault.SLOW else _FAULT_SECONDS


def _troubled(model: str, percent: int, number: int) -> Script:
    chance = random.Random(f"{model}-{number}")  # noqa: S311 (nobody's secret)
    if chance.random() * 100 < percent:
        fault = chance.choice(list(Fault))
        return Script((f"#{number} ", *FAULT_TEXT), _seconds(fault), fault)
    words = (f"{chance.choice('abc天地人')}{word} " for word in range(chance.randint(*_TROUBLED_TOKENS)))
    return Script((f"#{number} ", *words), 0.0)


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _demonstration(question: str) -> str:
    quoted = " ".join(question.split())[:200]
    if re.search(r"[\u4e00-\u9fff]", question):
        return (
            f"您好!您刚才说:\n\n> {quoted}\n\n"
            "我是**演示模型**,不需要任何密钥。这段回答经过真实的网络连接、真实的协议和真实的适配器,"
            "一个字一个字地到达您的屏幕:\n\n"
            "1. 您的消息先写入数据库;\n2. 服务器向上游发起请求;\n3. 每一小段文字编号、保存,再送到每一个打开的窗口。\n\n"
            "现在可以试试:**刷新页面**、打开第二个窗口,或者按下**停止**。什么都不会丢失。\n\n"
            "```python\nfor word in answer:\n    print(word, end='')\n```\n\n"
            "要连接真正的模型,请在 `providers.toml` 里写上几行。"
        )
    return (
        f"Hello! You said:\n\n> {quoted}\n\n"
        "I am a **demonstration model** and need no key. Yet this answer travels over a real connection, a real "
        "protocol and the real adapter, and reaches your screen piece by piece:\n\n"
        "1. your message is committed to the database;\n2. the server asks the upstream;\n"
        "3. each piece is numbered, kept, and sent to every window that is open.\n\n"
        "Try it now: **reload the page**, open a second window, or press **stop**. Nothing gets lost.\n\n"
        "```python\nfor word in answer:\n    print(word, end='')\n```\n\n"
        "To talk to a real model, add a few lines to `providers.toml`."
    )
