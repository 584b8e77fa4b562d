"""The events of OpenAI's Responses API, as values, and their numbers.

Source: the OpenAI API reference, "Responses", streaming events, and the types of the official SDKs.

`sequence_number` says how much of the reply was said up to this event, and nothing else, so that a client may go on
from it (`starting_after`) on any worker, after a restart, and when the log has let the events go:

    0, 1, 2                response.created; response.queued (in the background); response.in_progress
    3, 4                   the reasoning's item and its part begin
    10 + n                 a delta of the reasoning; n: characters of it so far, with this delta's
    999,999,995 to ...999  the reasoning's text, part and item are done; the answer's item and its part begin
    1,000,000,000 + n      a delta of the answer, counted alike
    2,000,000,000 to ...3  the answer's text, part and item are done; the terminal event

So the numbers of a stream rise, with gaps, within 32 bits, where some clients keep them. The answer's do not count the
reasoning: how far that was when the answer began is not known any more where one snapshot stands for both.
"""

from __future__ import annotations

import msgspec

from chat.dialects.response_object import MessageItem, OutputText, ReasoningItem, ReasoningText, Response

CREATED, QUEUED, IN_PROGRESS, REASONING_ADDED, REASONING_PART_ADDED = range(5)
REASONING = 10
ANSWER = 1_000_000_000
REASONING_DONE, REASONING_PART_DONE, REASONING_ITEM_DONE, ANSWER_ADDED, ANSWER_PART_ADDED = range(ANSWER - 5, ANSWER)
ANSWER_DONE, ANSWER_PART_DONE, ANSWER_ITEM_DONE, TERMINAL = range(2_000_000_000, 2_000_000_004)

NOTHING = -1
"""The cursor of who has seen no event."""


class OfResponse(msgspec.Struct, gc=False):
    type: str
    response: Response
    sequence_number: int


class OfItem(msgspec.Struct, gc=False):
    type: str
    output_index: int
    item: ReasoningItem | MessageItem
    sequence_number: int


class OfPart(msgspec.Struct, gc=False):
    type: str
    item_id: str
    output_index: int
    part: ReasoningText | OutputText
    sequence_number: int
    content_index: int = 0


class ReasoningDelta(msgspec.Struct, gc=False):
    item_id: str
    output_index: int
    delta: str
    sequence_number: int
    type: str = "response.reasoning_text.delta"
    content_index: int = 0


class ReasoningDone(msgspec.Struct, gc=False):
    item_id: str
    output_index: int
    text: str
    sequence_number: int
    type: str = "response.reasoning_text.done"
    content_index: int = 0


class TextDelta(msgspec.Struct, gc=False):
    item_id: str
    output_index: int
    delta: str
    sequence_number: int
    type: str = "response.output_text.delta"
    content_index: int = 0
    logprobs: tuple[()] = ()


class TextDone(msgspec.Struct, gc=False):
    item_id: str
    output_index: int
    text: str
    sequence_number: int
    type: str = "response.output_text.done"
    content_index: int = 0
    logprobs: tuple[()] = ()


class StreamError(msgspec.Struct, gc=False):
    """No event of the response: its stream has ended before it. `sequence_number`: that of the event before."""

    message: str
    sequence_number: int
    type: str = "error"
    code: str = "stream_cut"
    param: None = None


Event = OfResponse | OfItem | OfPart | ReasoningDelta | ReasoningDone | TextDelta | TextDone
