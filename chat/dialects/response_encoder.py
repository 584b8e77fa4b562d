"""A reply as the event stream of OpenAI's Responses API.

The end is one of `response.completed`, `.incomplete` and `.failed`, then the end of the stream; or `error`, where the
stream has to end before the response, which can be followed again from there. A response that was stopped ends with
`response.incomplete` and the status `cancelled`: the format has no event for that.

A stream is always made from the reply's first event; what is at or before the client's cursor is left out, or
shortened. What a model thinks after it has begun to answer is in the finished response, and in no delta.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from chat.dialects import openai_errors
from chat.dialects.appended_reply import CUT
from chat.dialects.response_events import (
    ANSWER,
    ANSWER_ADDED,
    ANSWER_DONE,
    ANSWER_ITEM_DONE,
    ANSWER_PART_ADDED,
    ANSWER_PART_DONE,
    CREATED,
    IN_PROGRESS,
    NOTHING,
    QUEUED,
    REASONING,
    REASONING_ADDED,
    REASONING_DONE,
    REASONING_ITEM_DONE,
    REASONING_PART_ADDED,
    REASONING_PART_DONE,
    TERMINAL,
    Event,
    OfItem,
    OfPart,
    OfResponse,
    ReasoningDelta,
    ReasoningDone,
    StreamError,
    TextDelta,
    TextDone,
)
from chat.dialects.response_object import (
    ItemStatus,
    OutputText,
    ReasoningText,
    Response,
    ResponseStatus,
    beginning,
    item_status,
    message_id,
    message_item,
    reasoning_id,
    reasoning_item,
    response,
    status_of_finish,
)
from chat.engine.transcript import Transcript
from chat.errors import RequestError
from chat.events import Entry, ErrorData, FinalData, Note, SnapshotData
from chat.services.records import ErrorRecord, UsageRecord
from chat.services.responses import Asked
from chat.sse.encoder import Encoder
from chat.wire.sse import encode_event

_PING = b": ping\n\n"

_TERMINAL = {"completed": "response.completed", "failed": "response.failed"}
"""By the status; every other end is `response.incomplete`."""


class _Delta(msgspec.Struct, gc=False):
    """Of a `message` or `reasoning` event."""

    delta: str = ""
    isFinal: bool = False


_encode = msgspec.json.Encoder().encode
_delta = msgspec.json.Decoder(_Delta).decode
_final = msgspec.json.Decoder(FinalData).decode
_error = msgspec.json.Decoder(ErrorData).decode
_snapshot = msgspec.json.Decoder(SnapshotData).decode
_note = msgspec.json.Decoder(Note).decode


class _Stage(IntEnum):
    """What the stream has come to."""

    NEW = 0
    CREATED = 1
    IN_PROGRESS = 2
    REASONING = 3
    ANSWER = 4


class _Said:
    """One of the two texts: whole, and counted in characters."""

    def __init__(self) -> None:
        self._transcript = Transcript()
        self.chars = 0

    def append(self, piece: str) -> None:
        self._transcript.append(piece)
        self.chars += len(piece)

    def whole(self) -> str:
        return self._transcript.whole()


class ResponseEncoder(Encoder):
    """For one reader, who follows from the first event on, and has got those up to `after`. It holds the reply's
    texts, which the last events repeat: as long as `CHAT_REPLY_CHARS` lets them get."""

    def __init__(self, asked: Asked, model: str, after: int = NOTHING) -> None:
        """`model`: who was asked."""
        self._asked = asked
        self._model = model
        self._after = self._told = after
        self._stage = _Stage.NEW
        self._reasoning, self._answer = _Said(), _Said()
        self._message_id = message_id(asked.generation)
        self._reasoning_id = reasoning_id(asked.generation)
        self._answer_index = 0

    def entry(self, entry: Entry) -> bytes:
        written = b"" if self._stage else self._create()
        match entry.event:
            case "message":
                said = _delta(entry.data)
                return written + (self._finish(_final(entry.data)) if said.isFinal else self._say(said.delta))
            case "reasoning":
                return written + self._think(_delta(entry.data).delta)
            case "snapshot":
                return written + self._catch_up(_snapshot(entry.data))
            case "error":
                return written + self._fail(_error(entry.data))
            case "note":
                self._note(_note(entry.data))
        return written

    def ping(self) -> bytes:
        return _PING

    def cut(self) -> bytes:
        return self._tell(StreamError(_(CUT), max(self._told, CREATED)))

    def refusal(self, error: RequestError) -> bytes:
        return _encode(openai_errors.refusal(error)[1])

    # What comes in

    def _catch_up(self, snapshot: SnapshotData) -> bytes:
        """What it has more than was said before."""
        for note in snapshot.notes:
            self._note(note)
        written = self._think(snapshot.reasoning[self._reasoning.chars :])
        return written + self._say(snapshot.text[self._answer.chars :])

    def _note(self, note: Note) -> None:
        if note.note == "fallback":
            self._model = str(note.details.get("model", self._model))

    def _think(self, delta: str) -> bytes:
        if not delta:
            return b""
        if self._stage is _Stage.ANSWER:
            self._reasoning.append(delta)
            return b""
        written = self._begin_reasoning()
        before = REASONING + self._reasoning.chars
        self._reasoning.append(delta)
        if not (news := self._behind_cursor(delta, before)):
            return written
        number = REASONING + self._reasoning.chars
        return written + self._tell(ReasoningDelta(self._reasoning_id, 0, news, number))

    def _say(self, delta: str) -> bytes:
        if not delta:
            return b""
        written = self._begin_answer()
        before = ANSWER + self._answer.chars
        self._answer.append(delta)
        if not (news := self._behind_cursor(delta, before)):
            return written
        number = ANSWER + self._answer.chars
        return written + self._tell(TextDelta(self._message_id, self._answer_index, news, number))

    def _finish(self, final: FinalData) -> bytes:
        status = status_of_finish(final.finish_reason)
        written = self._say(final.text[self._answer.chars :]) + self._close(item_status(status))
        usage = UsageRecord(final.usage.input_tokens, final.usage.output_tokens, final.usage.estimated)
        ended = self._response(
            status, finish_reason=final.finish_reason, usage=usage, finished_at=final.timestamp, text=final.text
        )
        return written + self._of_response(_TERMINAL.get(status, "response.incomplete"), TERMINAL, ended)

    def _fail(self, error: ErrorData) -> bytes:
        written = self._begin() + self._close("incomplete")
        record = ErrorRecord(error.error, error.code, dict(error.details), error.retryable)
        failed = self._response("failed", error=record, text=self._answer.whole())
        return written + self._of_response("response.failed", TERMINAL, failed)

    # What goes out

    def _create(self) -> bytes:
        self._stage = _Stage.CREATED
        created = self._response(beginning(self._asked))
        written = self._of_response("response.created", CREATED, created)
        if self._asked.background:
            return written + self._of_response("response.queued", QUEUED, created)
        return written + self._begin()

    def _begin(self) -> bytes:
        """The model is at work."""
        if self._stage >= _Stage.IN_PROGRESS:
            return b""
        self._stage = _Stage.IN_PROGRESS
        return self._of_response("response.in_progress", IN_PROGRESS, self._response("in_progress"))

    def _begin_reasoning(self) -> bytes:
        if self._stage is _Stage.REASONING:
            return b""
        written = self._begin()
        self._stage = _Stage.REASONING
        self._answer_index = 1
        item = reasoning_item(self._asked.generation, "in_progress", None)
        return (
            written
            + self._news(OfItem("response.output_item.added", 0, item, REASONING_ADDED))
            + self._news(
                OfPart("response.content_part.added", self._reasoning_id, 0, ReasoningText(""), REASONING_PART_ADDED)
            )
        )

    def _close_reasoning(self, status: ItemStatus) -> bytes:
        if self._stage is not _Stage.REASONING:
            return b""
        whole = self._reasoning.whole()
        item = reasoning_item(self._asked.generation, status, whole)
        return (
            self._news(ReasoningDone(self._reasoning_id, 0, whole, REASONING_DONE))
            + self._news(
                OfPart("response.content_part.done", self._reasoning_id, 0, ReasoningText(whole), REASONING_PART_DONE)
            )
            + self._news(OfItem("response.output_item.done", 0, item, REASONING_ITEM_DONE))
        )

    def _begin_answer(self) -> bytes:
        if self._stage is _Stage.ANSWER:
            return b""
        written = self._begin() + self._close_reasoning("completed")
        self._stage = _Stage.ANSWER
        index, item = self._answer_index, message_item(self._asked.generation, "in_progress", None)
        return (
            written
            + self._news(OfItem("response.output_item.added", index, item, ANSWER_ADDED))
            + self._news(
                OfPart("response.content_part.added", self._message_id, index, OutputText(""), ANSWER_PART_ADDED)
            )
        )

    def _close(self, status: ItemStatus) -> bytes:
        """Whatever is being said is over."""
        if self._stage is not _Stage.ANSWER:
            return self._close_reasoning(status)
        index, whole = self._answer_index, self._answer.whole()
        item = message_item(self._asked.generation, status, whole)
        return (
            self._news(TextDone(self._message_id, index, whole, ANSWER_DONE))
            + self._news(
                OfPart("response.content_part.done", self._message_id, index, OutputText(whole), ANSWER_PART_DONE)
            )
            + self._news(OfItem("response.output_item.done", index, item, ANSWER_ITEM_DONE))
        )

    def _of_response(self, type: str, number: int, response: Response) -> bytes:
        return self._news(OfResponse(type, response, number))

    def _response(self, status: ResponseStatus, **ending: Any) -> Response:
        reasoning = self._reasoning.whole()
        # As the items were numbered: a thought that came only behind the first words stands behind the answer.
        thought_first = self._stage is not _Stage.ANSWER or self._answer_index == 1
        return response(self._asked, self._model, status, reasoning=reasoning, thought_first=thought_first, **ending)

    def _news(self, event: Event) -> bytes:
        """Nothing, where the client has it."""
        return self._tell(event) if event.sequence_number > self._after else b""

    def _tell(self, event: Event | StreamError) -> bytes:
        self._told = event.sequence_number
        return encode_event(None, event.type, _encode(event))

    def _behind_cursor(self, delta: str, before: int) -> str:
        """What of it the client has not got; `before`: the number up to which it begins."""
        return delta[self._after - before :] if self._after > before else delta
