"""What one stream has said so far: gathered within a read, and given away once for each.

An adapter's reply reads its protocol's frames, and says what they mean with `say`, `think`, `count` and `finish`; how
a stream may end is decided here, the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from chat.errors import ErrorCode, UpstreamError
from chat.events import Finish, FinishReason, ProviderEvent, Reasoning, Text, Usage
from chat.providers.base import Take
from chat.providers.text import TextJoiner
from chat.providers.token_counts import tokens, tokens_at


class Reply(ABC):
    """`done` is set by the end mark: what follows it is not read."""

    def __init__(self, provider: str, take: Take) -> None:
        self.provider = provider
        self.done = False
        self.finish_reason: FinishReason | None = None
        self._take = take
        self._events: list[ProviderEvent] = []
        self._text = TextJoiner()
        self._reasoning = TextJoiner()
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None

    # For who reads the connection

    def end(self) -> None:
        """The connection has ended, or the end mark has come. Raises UpstreamError where that is no proper end, once
        what came before it has been given away."""
        try:
            try:
                self.read_rest()
            finally:
                self.let_go()
            if lone := self._reasoning.flush():
                self._events.append(Reasoning(lone))
            if lone := self._text.flush():
                self._events.append(Text(lone))
            if not self.is_complete():
                raise self.broken()
            if self._input_tokens is not None or self._output_tokens is not None:
                self._events.append(Usage(self._input_tokens or 0, self._output_tokens or 0))
            self._events.append(Finish(self.finish_reason or FinishReason.STOP))
        finally:
            self.give_away()

    def cut(self) -> None:
        """The connection has died: gives away what was held back."""
        self.let_go()
        self.give_away()

    def give_away(self) -> None:
        if self._events:
            events, self._events = self._events, []
            self._take(events)

    # For the protocol

    def say(self, delta: str | None) -> None:
        """A piece of the answer; nothing for an empty one."""
        if delta and (delta := self._text.join(delta)):
            self._events.append(Text(delta))

    def think(self, delta: str | None) -> None:
        """A piece of the model's thinking."""
        if delta and (delta := self._reasoning.join(delta)):
            self._events.append(Reasoning(delta))

    def count(self, input_tokens: Any, output_tokens: Any) -> None:
        """Tokens so far, as they were reported: the last report of each counts; what is no count says nothing."""
        if (known := tokens(input_tokens)) is not None:
            self._input_tokens = known
        if (known := tokens(output_tokens)) is not None:
            self._output_tokens = known

    def count_in(self, usage: Any, input_name: str, output_name: str) -> None:
        """The same, by the names that they have in a usage object; what is no object says nothing."""
        self.count(tokens_at(usage, input_name), tokens_at(usage, output_name))

    def finish(self, reason: FinishReason) -> None:
        """The upstream has said why it stops: from now on, an end is a proper one."""
        self.finish_reason = reason

    def is_complete(self) -> bool:
        """Whether the reply may end here."""
        return self.finish_reason is not None

    def let_go(self) -> None:
        """Says what has been held back, where something is: what would decide about it comes no more. It may be called
        again."""

    @abstractmethod
    def read_rest(self) -> None:
        """What has come, but was not complete; at the connection's end it may be whole all the same."""

    def fail(self, code: ErrorCode, *, attempt_again: bool = False, **details: Any) -> UpstreamError:
        return UpstreamError(code, details={"provider": self.provider, **details}, attempt_again=attempt_again)

    def broken(self) -> UpstreamError:
        """For what is not of the protocol, and for an end without its mark."""
        return self.fail(ErrorCode.UPSTREAM_PROTOCOL)
