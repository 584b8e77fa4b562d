"""A reply as the AI SDK's UI message stream: its chunks are those of `uiMessageChunkSchema` in the npm package `ai`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from django.utils.translation import gettext as _

from chat.dialects.appended_reply import CUT, AppendedReply, Final, block
from chat.events import ErrorData, StartData, Status
from chat.wire.sse import encode_event

DONE = encode_event(None, None, b"[DONE]")

FINISH_REASONS: Mapping[str, str] = {"stop": "stop", "length": "length", "content_filter": "content-filter"}
"""Ours to theirs; what they have no word for is `other`."""

Kind = Literal["text", "reasoning"]


class UIMessageEncoder(AppendedReply):
    """Text and thinking are parts, one open at a time. Notes and steps are data parts that the client need not keep."""

    def __init__(self, start: StartData, text: str = "", reasoning: str = "") -> None:
        super().__init__(start, text, reasoning)
        self._open: Kind | None = None
        self._parts = 0

    def begin(self) -> bytes:
        metadata = {
            "conversation": self.start.conversation,
            "generation": self.start.generation,
            "user_message": self.start.user_message,
            "provider": self.start.provider,
            "model": self.start.model,
        }
        start = block({"type": "start", "messageId": self.start.message, "messageMetadata": metadata})
        return start + block({"type": "start-step"})

    def think(self, reasoning: str) -> bytes:
        return self._append("reasoning", reasoning)

    def say(self, text: str) -> bytes:
        return self._append("text", text)

    def show(self, image: Mapping[str, Any]) -> bytes:
        return self._close() + block({"type": "file", "url": image["url"], "mediaType": "image/*"})

    def note(self, note: Mapping[str, Any]) -> bytes:
        return block({"type": "data-note", "data": note, "transient": True})

    def step(self, event: str, data: Mapping[str, Any]) -> bytes:
        return block({"type": "data-step", "data": {**data, "type": event}, "transient": True})

    def finish(self, final: Final) -> bytes:
        status = Status.CANCELLED if final.finish_reason == "cancelled" else Status.COMPLETED
        finish = {
            "type": "finish",
            "finishReason": FINISH_REASONS.get(final.finish_reason, "other"),
            "messageMetadata": {"status": status, "usage": final.usage},
        }
        return self._close() + block({"type": "finish-step"}) + block(finish) + DONE

    def fail(self, error: ErrorData) -> bytes:
        """The client stops reading at the error itself, so what a program may ask about it comes before."""
        told = {"error": error.error, "code": error.code, "details": error.details, "retryable": error.retryable}
        metadata = {"status": Status.FAILED, "error": told}
        said = self._close() + block({"type": "message-metadata", "messageMetadata": metadata})
        return said + block({"type": "error", "errorText": error.error}) + DONE

    def cut(self) -> bytes:
        """To this client a stream that only ends is a reply that is whole."""
        return self._close() + block({"type": "error", "errorText": _(CUT)})

    def _append(self, kind: Kind, delta: str) -> bytes:
        opened = b"" if self._open == kind else self._close() + self._begin_part(kind)
        return opened + block({"type": f"{kind}-delta", "id": self._part, "delta": delta})

    def _begin_part(self, kind: Kind) -> bytes:
        self._open = kind
        self._parts += 1
        return block({"type": f"{kind}-start", "id": self._part})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        ended = block({"type": f"{self._open}-end", "id": self._part})
        self._open = None
        return ended

    @property
    def _part(self) -> str:
        return f"part-{self._parts}"
