"""A reply that comes as server-sent events, or, where something went wrong, as JSON in their place."""

from __future__ import annotations

from abc import abstractmethod

from chat.errors import UpstreamError
from chat.providers.base import Take
from chat.providers.json_frames import is_json
from chat.providers.reply import Reply
from chat.wire.sse import RawEvent, SSEDecoder, SSELimitExceeded

MAX_LINE = 4 << 20
"""Bytes of one line of the stream (4 MiB): far more than any piece of text is."""

MAX_OBJECT = 64 * 1024
"""Bytes of JSON in place of a stream: an error."""

DONE = b"[DONE]"
_BEFORE = b"\xef\xbb\xbf \t\r\n"
"""What may stand before it: a byte order mark, blanks and line ends."""


class SSEReply(Reply):
    def __init__(self, provider: str, take: Take) -> None:
        super().__init__(provider, take)
        self.begin()

    def begin(self) -> None:
        """Another connection brings what follows; what was half read of the one before is dropped."""
        self._decoder = SSEDecoder(max_line=MAX_LINE, max_event=MAX_LINE)
        self._begun = False
        # Whatever the content type says of it.
        self._object: bytearray | None = None

    @abstractmethod
    def read_block(self, name: str, data: bytes) -> None:
        """One event with data; `name` is "" where it has none of its own. Raises UpstreamError."""

    @abstractmethod
    def refused(self, body: bytes) -> UpstreamError:
        """What JSON means that stands where the stream should be; it may be cut, or no JSON after all."""

    def read(self, chunk: bytes) -> bool:
        """Gives away what this chunk completes; True at the end mark. Raises UpstreamError."""
        if not self._begun and (start := chunk.lstrip(_BEFORE)):
            self._begun = True
            if start.startswith((b"{", b"[")):
                chunk, self._object = start, bytearray()
        if self._object is not None:
            self._read_object(self._object, chunk)
            return False
        try:
            self._read_blocks(self._decoder.decode_raw(chunk))
        except SSELimitExceeded:
            self.let_go()
            raise self.broken() from None
        except UpstreamError:
            self.let_go()
            raise
        finally:
            if self._events:
                self.give_away()
        return self.done

    def read_rest(self) -> None:
        """The last block, where only its empty line is missing."""
        if self._object is not None:
            raise self.refused(bytes(self._object))
        if self.done:
            return
        try:
            blocks = self._decoder.flush_raw()
        except SSELimitExceeded:
            raise self.broken() from None
        self._read_blocks([block for block in blocks if block[1].startswith(DONE) or is_json(block[1])])

    def _read_object(self, so_far: bytearray, chunk: bytes) -> None:
        """Raises UpstreamError as soon as it is whole: the connection may stay."""
        so_far += chunk
        if len(so_far) > MAX_OBJECT:
            raise self.broken()
        if chunk.rstrip().endswith((b"}", b"]")) and is_json(so_far):
            raise self.refused(bytes(so_far))

    def _read_blocks(self, blocks: list[RawEvent]) -> None:
        for name, data, _id, _retry in blocks:
            self.read_block(name, data)
            if self.done:
                return
