"""An event stream through the public address: whether its parts arrive when they are sent, or held back by a proxy."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import httpx
from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress
from chat.wire.sse import SSEDecoder

PATH = "/healthz/stream"
HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, deflate"}
"""With compression offered, as browsers do."""

TRIES = 3
TRY_AGAIN_SECONDS = 1.0
"""The server has few of these streams at once."""

HELD_SECONDS = 0.4
"""Half of what the whole stream takes: no network is so uneven, and a buffer holds the first part till the end."""


@dataclass(frozen=True, slots=True)
class _Received:
    """`delays`: seconds of each part's way, by two clocks: only their differences mean something."""

    status: int
    headers: httpx.Headers
    delays: list[float]
    complete: bool


def look(address: PublicAddress | None) -> list[Finding]:
    if address is None:
        return []
    try:
        received = _receive(address)
    except httpx.HTTPError as error:
        sentence = _("An event stream through %(address)s breaks off: %(error)s.")
        words = sentence % {"address": address, "error": type(error).__name__}
        return [Finding("stream.broken", Level.PROBLEM, words, _unbuffered())]
    if received.status == 503:
        sentence = _("The event stream was not measured: the server was busy with other measurements.")
        return [Finding("stream.busy", Level.WARNING, sentence, _("Try again in a minute."))]
    if not received.complete:
        sentence = _("%(address)s does not pass event streams on (status %(status)d).")
        words = sentence % {"address": address, "status": received.status}
        return [Finding("stream.broken", Level.PROBLEM, words, _("Have the proxy pass every path on unchanged."))]
    return _judge(received)


def _receive(address: PublicAddress) -> _Received:
    """Raises httpx.HTTPError."""
    with address.client() as client:
        received = _receive_once(client)
        for _again in range(TRIES - 1):
            if received.status != 503:
                break
            time.sleep(TRY_AGAIN_SECONDS)
            received = _receive_once(client)
        return received


def _receive_once(client: httpx.Client) -> _Received:
    decoder, delays, expected = SSEDecoder(), [], 0
    with client.stream("GET", PATH, headers=HEADERS) as answer:
        is_stream = answer.headers.get("Content-Type", "").startswith("text/event-stream")
        if answer.status_code != 200 or not is_stream:
            return _Received(answer.status_code, answer.headers, [], complete=False)
        for chunk in answer.iter_bytes():
            now = time.monotonic()
            for event in decoder.decode(chunk):
                part = json.loads(event.data)
                delays.append(now - part["sent_ms"] / 1000)
                expected = part["of"]
        return _Received(answer.status_code, answer.headers, delays, complete=0 < expected == len(delays))


def _judge(received: _Received) -> list[Finding]:
    found = []
    held = max(received.delays) - min(received.delays)
    if held > HELD_SECONDS:
        sentence = _("A proxy holds event streams back: replies come in lumps, %(seconds).1f s late.")
        found.append(Finding("stream.buffered", Level.PROBLEM, sentence % {"seconds": held}, _unbuffered()))
    encoding = received.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        sentence = _("A proxy compresses event streams (%(encoding)s), which can hold their parts back.")
        remedy = _("Leave text/event-stream out of what the proxy compresses: in nginx, out of gzip_types.")
        found.append(Finding("stream.compressed", Level.WARNING, sentence % {"encoding": encoding}, remedy))
    if found:
        return found
    found = [Finding("stream", Level.OK, _("The parts of an event stream arrive when they are sent."))]
    if received.headers.get("X-Accel-Buffering") != "no":
        sentence = _(
            "A proxy keeps the header X-Accel-Buffering to itself, as nginx does: one before it does not see it."
        )
        remedy = _("Turn buffering off by its own settings in any proxy before that one.")
        found.append(Finding("stream.header", Level.OK, sentence, remedy))
    return found


def _unbuffered() -> str:
    return _("Turn buffering off for event streams: in nginx, proxy_buffering off and no proxy_ignore_headers.")
