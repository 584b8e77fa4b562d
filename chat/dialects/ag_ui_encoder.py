"""A reply as the events of an AG-UI run: those of `EventType` in the npm package `@ag-ui/core` 1.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from chat.dialects.appended_reply import CUT, AppendedReply, Final, block
from chat.events import ErrorData, StartData

PROTOCOL_VERSION = "1.0"


class AGUIEncoder(AppendedReply):
    """The text is one message, open to the end; thinking between it comes in messages of its own. What the protocol has
    no event for is CUSTOM. `thread`, `run`: the client's own ids."""

    def __init__(self, start: StartData, thread: str, run: str) -> None:
        super().__init__(start)
        self._run = {"threadId": thread, "runId": run}
        self._answered_by = (start.provider, start.model)
        self._is_saying = False
        self._thinking: str | None = None
        self._thoughts = 0
        self._steps: set[str] = set()

    def begin(self) -> bytes:
        start = self.start
        metadata = {
            "conversation": start.conversation,
            "generation": start.generation,
            "user_message": start.user_message,
            "message": start.message,
            "provider": start.provider,
            "model": start.model,
        }
        return block({"type": "RUN_STARTED", **self._run, "protocolVersion": PROTOCOL_VERSION, "metadata": metadata})

    def think(self, reasoning: str) -> bytes:
        begun = b""
        if self._thinking is None:
            self._thoughts += 1
            self._thinking = f"{self.start.message}-thinking-{self._thoughts}"
            begun = block({"type": "REASONING_START", "messageId": self._thinking})
            begun += block({"type": "REASONING_MESSAGE_START", "messageId": self._thinking, "role": "reasoning"})
        return begun + block({"type": "REASONING_MESSAGE_CONTENT", "messageId": self._thinking, "delta": reasoning})

    def say(self, text: str) -> bytes:
        begun = self._end_thinking()
        if not self._is_saying:
            self._is_saying = True
            begun += block({"type": "TEXT_MESSAGE_START", "messageId": self.start.message, "role": "assistant"})
        return begun + block({"type": "TEXT_MESSAGE_CONTENT", "messageId": self.start.message, "delta": text})

    def show(self, image: Mapping[str, Any]) -> bytes:
        return _custom("image", image)

    def note(self, note: Mapping[str, Any]) -> bytes:
        if note["note"] == "fallback":
            self._answered_by = (note["details"]["provider"], note["details"]["model"])
        return _custom("note", note)

    def step(self, event: str, data: Mapping[str, Any]) -> bytes:
        """The protocol knows a step by its name alone."""
        name = str(data["name"])
        if event == "step_start" and name not in self._steps:
            self._steps.add(name)
            return block({"type": "STEP_STARTED", "stepName": name})
        if event == "step_end" and name in self._steps:
            self._steps.discard(name)
            return block({"type": "STEP_FINISHED", "stepName": name})
        return b""

    def finish(self, final: Final) -> bytes:
        usage = final.usage
        provider, model = self._answered_by
        finished: dict[str, Any] = {
            "type": "RUN_FINISHED",
            **self._run,
            "usage": [
                {
                    "provider": provider,
                    "model": model,
                    "inputTokens": usage.input_tokens,
                    "outputTokens": usage.output_tokens,
                    "totalTokens": usage.input_tokens + usage.output_tokens,
                }
            ],
            "metadata": {"finish_reason": final.finish_reason, "usage_estimated": usage.estimated},
        }
        if final.finish_reason == "cancelled":
            finished["outcome"] = {"type": "cancelled"}
        return self._end() + block(finished)

    def fail(self, error: ErrorData) -> bytes:
        metadata = {"details": error.details, "retryable": error.retryable}
        failed = {"type": "RUN_ERROR", "message": error.error, "code": error.code, "metadata": metadata}
        return self._end() + block(failed)

    def cut(self) -> bytes:
        """To this client a stream that only ends is a run that broke some rule. The same run again attaches to it."""
        return self._end() + block({"type": "RUN_ERROR", "message": _(CUT), "code": "UNAVAILABLE"})

    def _end(self) -> bytes:
        """Nothing may be open when a run ends."""
        ended = self._end_thinking()
        if self._is_saying:
            self._is_saying = False
            ended += block({"type": "TEXT_MESSAGE_END", "messageId": self.start.message})
        for name in sorted(self._steps):
            ended += block({"type": "STEP_FINISHED", "stepName": name})
        self._steps.clear()
        return ended

    def _end_thinking(self) -> bytes:
        if self._thinking is None:
            return b""
        ended = block({"type": "REASONING_MESSAGE_END", "messageId": self._thinking})
        ended += block({"type": "REASONING_END", "messageId": self._thinking})
        self._thinking = None
        return ended


def _custom(name: str, value: Mapping[str, Any]) -> bytes:
    return block({"type": "CUSTOM", "name": name, "value": value})
