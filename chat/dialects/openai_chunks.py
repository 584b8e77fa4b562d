"""A reply as the chunks of a streamed chat completion.

The first chunk has the role; it waits for the first words, since only then is it known which model answers. A failure
is an `error` object, and no `[DONE]` follows; nor does it where the stream ends before the reply.

Sources: the OpenAI API reference, "The chat completion chunk object"; for `reasoning_content`, which OpenAI's own
models never show, DeepSeek's and vLLM's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from chat.dialects import openai_errors
from chat.dialects.appended_reply import AppendedReply, Final
from chat.dialects.openai_completion import completion_id, created, finish_reason, usage_of
from chat.errors import RequestError
from chat.events import ErrorData, StartData

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.encode


class ChunkEncoder(AppendedReply):
    """`usage`: whether the client has asked for the chunk that has it; all others then have none, and say so."""

    def __init__(self, start: StartData, *, usage: bool) -> None:
        super().__init__(start)
        self._model = start.model
        self._usage = usage
        self._broken_off = _("The connection to this answer broke off. What has been written is kept.")
        self._frame = b""
        self._tail = b'}],"usage":null}\n\n' if usage else b"}]}\n\n"

    # What is the same in all of them is encoded once, with the first.

    def _opening(self) -> bytes:
        if self._frame:
            return b""
        frame = {
            "id": completion_id(self.start.generation),
            "object": "chat.completion.chunk",
            "created": created(self.start.generation),
            "model": self._model,
        }
        self._frame = b"data: " + _encode(frame)[:-1] + b',"choices":['
        return self._chunk(b'{"role":"assistant","content":"","refusal":null}', b"null")

    def _chunk(self, delta: bytes, reason: bytes) -> bytes:
        choice = b'{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s' % (delta, reason)
        return self._frame + choice + self._tail

    def note(self, note: Mapping[str, Any]) -> bytes:
        if note["note"] == "fallback":
            self._model = note["details"]["model"]
        return b""

    def think(self, reasoning: str) -> bytes:
        return self._opening() + self._chunk(b'{"reasoning_content":%s}' % _encode(reasoning), b"null")

    def say(self, text: str) -> bytes:
        return self._opening() + self._chunk(b'{"content":%s}' % _encode(text), b"null")

    def finish(self, final: Final) -> bytes:
        end = self._opening() + self._chunk(b"{}", _encode(finish_reason(final.finish_reason)))
        if self._usage:
            usage = usage_of(final.usage.input_tokens, final.usage.output_tokens)
            end += self._frame + b'],"usage":%s}\n\n' % _encode(usage)
        return end + DONE

    def fail(self, error: ErrorData) -> bytes:
        _status, body = openai_errors.failure(error.error, error.code, error.details)
        return _block(body)

    def cut(self) -> bytes:
        return _block(openai_errors.error_body(self._broken_off, openai_errors.SERVER_ERROR, code="stream_cut"))

    def refusal(self, error: RequestError) -> bytes:
        _status, body, _headers = openai_errors.refusal(error)
        return _encode(body)


def _block(body: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % _encode(body)
