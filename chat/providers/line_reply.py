"""A reply that comes as one JSON object a line (NDJSON)."""

from __future__ import annotations

from abc import abstractmethod

from chat.providers.base import Take
from chat.providers.json_frames import is_json
from chat.providers.reply import Reply
from chat.providers.sse_reply import MAX_LINE

_BLANK = b" \t\r"


class LineReply(Reply):
    def __init__(self, provider: str, take: Take) -> None:
        super().__init__(provider, take)
        self._rest = bytearray()

    @abstractmethod
    def read_line(self, line: bytes) -> None:
        """One line that is not blank. Raises UpstreamError."""

    def read(self, chunk: bytes) -> bool:
        """Gives away what this chunk completes; True at the end mark. Raises UpstreamError."""
        *lines, rest = chunk.split(b"\n")
        try:
            for line in lines:
                if self._rest:
                    line, self._rest = bytes(self._rest) + line, bytearray()
                if len(line) > MAX_LINE:
                    raise self.broken()
                if line := line.strip(_BLANK):
                    self.read_line(line)
                if self.done:
                    return True
            self._rest += rest
            if len(self._rest) > MAX_LINE:
                raise self.broken()
        finally:
            self.give_away()
        return False

    def read_rest(self) -> None:
        """The last line, where only its end is missing."""
        if (line := bytes(self._rest).strip(_BLANK)) and is_json(line):
            self.read_line(line)
