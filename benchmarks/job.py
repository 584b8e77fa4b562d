"""What a load generator is told, and what it reports."""

from __future__ import annotations

from typing import Any

import msgspec


class Elsewhere(msgspec.Struct):
    """A reply is asked for at one address, and its events are read below another, that of all generations; with none,
    in the answer itself."""

    send: str
    follow: str = ""


class Job(msgspec.Struct):
    """`url`: http:// for an event stream, ws:// for a WebSocket. `bearers` are the users' tokens, taken in turn; none
    for a server without accounts. `repeats`: the last event repeats the whole text; else it is `[DONE]`.
    `elsewhere`: in the place of `url`, taken in turn."""

    url: str
    body: dict[str, Any]
    streams: int
    tokens: int
    ramp_seconds: float
    bearers: list[str] = []
    repeats: bool = True
    timeout_seconds: float = 120.0
    elsewhere: list[Elsewhere] = []


class Report(msgspec.Struct):
    """`tokens` and `events`: of all streams. The delay is a token's, from the upstream's send to the client's read.
    `problems`: how many streams had which; a percentile of nothing is -1."""

    streams: int
    good: int
    tokens: int
    events: int
    first_token_ms_p50: float
    first_token_ms_p99: float
    delay_ms_p50: float
    delay_ms_p99: float
    seconds: float
    problems: dict[str, int]
