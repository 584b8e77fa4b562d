"""How a reply's events look on one event stream: one encoder a reader, so that it may remember what it has sent."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from chat.engine.terminal import timestamp
from chat.errors import RequestError
from chat.events import Entry
from chat.wire.sse import encode_event


class Encoder:
    """The native format. A dialect overrides what looks otherwise; each method gives the bytes to write, or none.

    `entry` gets every event from the first on, or from a reader's cursor; in the place of what is gone, a `snapshot`.
    """

    def entry(self, entry: Entry) -> bytes:
        return encode_event(entry.seq, entry.event, entry.data)

    def ping(self) -> bytes:
        """In silence."""
        return encode_event(None, "ping", b'{"timestamp":"%s"}' % timestamp(datetime.now(UTC)).encode())

    def cut(self) -> bytes:
        """Where the stream ends and the reply does not: its client is to come back with its cursor."""
        return b""

    def refusal(self, error: RequestError) -> bytes:
        """The JSON body of an answer that does not become a stream."""
        return msgspec.json.encode({"error": error.message, "code": error.code, "details": error.details})


NATIVE = Encoder()
"""It remembers nothing: one for all readers."""
