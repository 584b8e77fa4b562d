"""Server-sent events: bytes in, events out, and back. No I/O.

The rules are those of the WHATWG HTML standard, "Server-sent events": UTF-8 always, one leading BOM dropped, lines end
with CRLF, LF or CR and with nothing else, one blank behind the colon is dropped, a block without data is no event.
"""

from __future__ import annotations

import re

import msgspec

MAX_LINE = 16 << 20
"""Bytes of one line (16 MiB): a picture in Base64 passes, an endless line does not eat the memory."""

MAX_EVENT = 16 << 20
"""Bytes of one block's data, over all its lines."""

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = re.compile("\r\n|\r|\n")


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """`id` is the last event id, which persists over blocks; `retry` (ms) is this block's own."""

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None


RawEvent = tuple[str, bytes, str, int | None]
"""The name ("" where the block gave none), the data, the id and `retry` of one block."""


class SSELimitExceeded(ValueError):
    """A line or a block is larger than the decoder was told to bear."""


class SSEDecoder:
    """Feed it what was read, in pieces of any size; it hands out each event when its block ends."""

    def __init__(self, *, max_line: int = MAX_LINE, max_event: int = MAX_EVENT) -> None:
        self._max_line = max_line
        self._max_event = max_event
        # One buffer, not a list of pieces: a line that comes byte by byte must not cost an object a byte.
        self._unended = bytearray()
        self._at_start = True
        self._skip_lf = False
        self._event = ""
        self._data: list[bytes] = []
        self._data_size = 0
        self._id = ""
        self._retry: int | None = None

    def decode(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events whose blocks end in this chunk. Raises SSELimitExceeded."""
        return [_event(raw) for raw in self.decode_raw(chunk)]

    def flush(self) -> list[ServerSentEvent]:
        """The stream has ended: the block that it left without its empty line, if there is one. The standard discards
        it; many upstreams end that way, so the caller decides."""
        return [_event(raw) for raw in self.flush_raw()]

    def decode_raw(self, chunk: bytes) -> list[RawEvent]:
        """The same with data as the bytes that came: for what is parsed from bytes anyway."""
        if not chunk:
            return []
        if self._at_start:
            chunk = self._drop_bom(chunk)
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == 10:
                chunk = chunk[1:]
        has_cr = b"\r" in chunk
        if not has_cr and b"\n" not in chunk:
            self._keep(chunk)
            return []
        if self._unended:
            chunk = self._take() + chunk
        if has_cr:
            self._skip_lf = chunk[-1] == 13
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if rest:
            self._keep(rest)
        return self._read(lines)

    def flush_raw(self) -> list[RawEvent]:
        return self._read([self._take(), b""] if self._unended else [b""])

    def _read(self, lines: list[bytes]) -> list[RawEvent]:
        events: list[RawEvent] = []
        max_line, max_event, data = self._max_line, self._max_event, self._data
        for line in lines:
            if line.startswith(b"data: ") and len(line) <= max_line:
                self._data_size += len(line) - 5
                if self._data_size > max_event:
                    raise SSELimitExceeded(f"an event of more than {max_event} bytes")
                data.append(line[6:])
            elif not line:
                if data:
                    whole = data[0] if len(data) == 1 else b"\n".join(data)
                    events.append((self._event, whole, self._id, self._retry))
                    data.clear()
                    self._data_size = 0
                self._event = ""
                self._retry = None
            elif len(line) > max_line:
                raise SSELimitExceeded(f"a line of {len(line)} bytes")
            else:
                self._read_field(line)
        return events

    def _add_data(self, value: bytes) -> None:
        self._data_size += len(value) + 1
        if self._data_size > self._max_event:
            raise SSELimitExceeded(f"an event of more than {self._max_event} bytes")
        self._data.append(value)

    def _read_field(self, line: bytes) -> None:
        name, _colon, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"data":
            self._add_data(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 16:
            self._retry = int(value)

    def _keep(self, piece: bytes) -> None:
        self._unended += piece
        if len(self._unended) > self._max_line:
            raise SSELimitExceeded(f"a line of more than {self._max_line} bytes")

    def _take(self) -> bytes:
        unended = bytes(self._unended)
        self._unended.clear()
        return unended

    def _drop_bom(self, chunk: bytes) -> bytes:
        start = self._take() + chunk
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._keep(start)
            return b""
        self._at_start = False
        return start.removeprefix(_BOM)


def _event(raw: RawEvent) -> ServerSentEvent:
    name, data, last_id, retry = raw
    return ServerSentEvent(name or "message", data.decode("utf-8", "replace"), last_id, retry)


def encode_event(seq: int | None, event: str | None, data: bytes | bytearray) -> bytes:
    """One block. `data` is a single line, as JSON is; `event` is a plain name."""
    if seq is None:
        return b"event: %s\ndata: %s\n\n" % (event.encode(), data) if event else b"data: %s\n\n" % data
    if event is None:
        return b"id: %d\ndata: %s\n\n" % (seq, data)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (seq, event.encode(), data)


def encode_text(text: str, *, event: str | None = None, event_id: str | None = None) -> bytes:
    """One block for any text: a line of data for each of its lines. Raises ValueError for an `event` or `event_id`
    that a line cannot hold."""
    lines = []
    for name, value in (("id", event_id), ("event", event)):
        if value is None:
            continue
        if any(character in value for character in "\r\n\0"):
            raise ValueError(f"{name} holds a line end or NUL")
        lines.append(f"{name}: {value}")
    lines += [f"data: {line}" for line in _LINE_ENDS.split(text)]
    return ("\n".join(lines) + "\n\n").encode()
