"""The engine's store on Django's models: partial texts, the terminal transition, and the reaper."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import Value
from django.db.models.functions import Concat, Length, Substr
from django.utils.translation import gettext, override

from chat.engine.generation import Outcome
from chat.engine.store import Ending, Partial, Store
from chat.errors import WORDS, ErrorCode
from chat.events import Status
from chat.models import Conversation, Generation, Message
from chat.observation import Lost
from chat.services.database import Database
from chat.services.statements import update_returning

INTERRUPTED_SEQ_MARGIN = 1000
"""How far an interrupted generation's last `seq` is put beyond the last saved one: more than a worker can have sent
since its last save, so that no reader's cursor is ahead of the ending."""

REAPED_AT_ONCE = 500
"""Generations that one reaping ends: keeps its transaction short; the next one takes the rest."""

_SAVE_GENERATION = """
    UPDATE chat_generation SET seq = %s, status = %s, first_token_ms = %s, heartbeat = %s
    WHERE id = %s AND epoch = %s AND status IN ('queued', 'streaming', 'paused')
"""
_SAVE_MESSAGE = """
    UPDATE chat_message SET text = text || %s, reasoning = reasoning || %s, status = %s
    WHERE id = (
        SELECT message_id FROM chat_generation
        WHERE id = %s AND epoch = %s AND status IN ('queued', 'streaming', 'paused')
    )
"""

_STILL_OURS = "id = %s AND epoch = %s AND status IN ('queued', 'streaming', 'paused')"
_WHERE_THE_TEXT_GOES = ("message", "conversation", "text_offset", "reasoning_offset")


class DatabaseStore(Store):
    """`owner` names this worker in the generations that it runs."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self.owner = owner

    async def save(self, partials: Sequence[Partial]) -> None:
        await self._database.write(self._save, partials)

    async def finish(self, ending: Ending) -> bool:
        return await self._database.write_patiently(self._finish, ending)

    async def reap(self, silent_for: timedelta | None, running: Sequence[str] = ()) -> list[Lost]:
        """Ends what no worker runs any more as `interrupted`: generations without a heartbeat for so long, or, with
        None, all of other owners. `running`: those that this worker runs, whatever has kept their heartbeats away."""
        reaped: list[Lost] = []
        while batch := await self._database.write(self._reap, silent_for, running):
            reaped += batch
        return reaped

    # In the writing thread

    def _save(self, partials: Sequence[Partial]) -> None:
        connection = connections[self._database.alias]
        key = Generation._meta.pk.get_db_prep_value
        now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
        ids = [key(uuid.UUID(partial.generation), connection) for partial in partials]
        with connection.cursor() as cursor:
            # The messages first: their guard reads the generations.
            cursor.executemany(
                _SAVE_MESSAGE,
                [
                    (partial.text, partial.reasoning, partial.status.value, row, partial.epoch)
                    for partial, row in zip(partials, ids, strict=True)
                ],
            )
            cursor.executemany(
                _SAVE_GENERATION,
                [
                    (partial.seq, partial.status.value, partial.first_token_ms, now, row, partial.epoch)
                    for partial, row in zip(partials, ids, strict=True)
                ],
            )

    def _finish(self, ending: Ending) -> bool:
        outcome, error = ending.outcome, ending.outcome.error
        using = self._database.alias
        generation_key = Generation._meta.pk.get_db_prep_value(uuid.UUID(ending.generation), connections[using])
        changes = {
            "status": outcome.status.value,
            "seq": ending.seq,
            "heartbeat": ending.finished_at,
            "finished_at": ending.finished_at,
            "provider": ending.provider,
            "model": ending.model,
            "text_length": len(outcome.text),
            "reasoning_length": len(outcome.reasoning),
            "finish_reason": outcome.finish_reason.value if outcome.finish_reason is not None else "",
            "error_code": error.code if error is not None else "",
            "error_message": ending.error_words,
            "error_details": dict(error.details) if error is not None else {},
            "input_tokens": outcome.usage.input_tokens,
            "output_tokens": outcome.usage.output_tokens,
            "usage_estimated": outcome.usage.estimated,
            "first_token_ms": outcome.first_token_ms,
            "duration_ms": outcome.duration_ms,
        }
        row = update_returning(
            Generation, using, changes, _STILL_OURS, (generation_key, ending.epoch), _WHERE_THE_TEXT_GOES
        )
        if row is None:
            return False
        message, conversation, text_offset, reasoning_offset = row
        self._write_reply(message, outcome, text_offset, reasoning_offset)
        update_returning(Conversation, using, {"updated_at": ending.finished_at}, "id = %s", (conversation,), ("id",))
        return True

    def _write_reply(self, message: Any, outcome: Outcome, text_offset: int, reasoning_offset: int) -> None:
        status = outcome.status.value
        if text_offset or reasoning_offset:
            Message.objects.using(self._database.alias).filter(id=message).update(
                text=_after_prefix("text", text_offset, outcome.text),
                reasoning=_after_prefix("reasoning", reasoning_offset, outcome.reasoning),
                status=status,
            )
        else:
            whole = {"text": outcome.text, "reasoning": outcome.reasoning, "status": status}
            update_returning(Message, self._database.alias, whole, "id = %s", (message,), ("id",))

    def _reap(self, silent_for: timedelta | None, running: Sequence[str]) -> list[Lost]:
        now = datetime.now(UTC)
        dead = Generation.objects.using(self._database.alias).live()
        dead = dead.exclude(owner=self.owner) if silent_for is None else dead.filter(heartbeat__lt=now - silent_for)
        if running:
            dead = dead.exclude(id__in=running)
        lengths = {"message_chars": Length("message__text"), "reasoning_chars": Length("message__reasoning")}
        batch = dead.annotate(**lengths)[:REAPED_AT_ONCE]
        return [_lost(generation) for generation in batch if self._interrupt(generation, now)]

    def _interrupt(self, generation: Generation, now: datetime) -> bool:
        with override(generation.language or "en"):
            words = gettext(WORDS[ErrorCode.INTERRUPTED])
        changed = (
            Generation.objects.using(self._database.alias)
            .live()
            .filter(id=generation.id, epoch=generation.epoch, heartbeat=generation.heartbeat)
            .update(
                status=Status.INTERRUPTED.value,
                epoch=generation.epoch + 1,
                seq=generation.seq + INTERRUPTED_SEQ_MARGIN,
                text_length=generation.message_chars - generation.text_offset,  # type: ignore[attr-defined]
                reasoning_length=generation.reasoning_chars - generation.reasoning_offset,  # type: ignore[attr-defined]
                error_code=ErrorCode.INTERRUPTED.value,
                error_message=words,
                finished_at=now,
                duration_ms=_duration_ms(generation),
            )
        )
        if changed != 1:
            return False
        Message.objects.using(self._database.alias).filter(id=generation.message_id).update(
            status=Status.INTERRUPTED.value
        )
        return True


def _lost(generation: Generation) -> Lost:
    return Lost(
        str(generation.id),
        str(generation.conversation_id),
        str(generation.user_id),
        generation.provider,
        generation.model,
        generation.upstream,
        _duration_ms(generation),
    )


def _duration_ms(generation: Generation) -> int:
    """Until the last sign of life."""
    return round((generation.heartbeat - generation.created_at).total_seconds() * 1000)


def _after_prefix(field: str, offset: int, text: str) -> str | Concat:
    """The whole text of a message whose first `offset` characters are earlier generations'."""
    return text if offset == 0 else Concat(Substr(field, 1, offset), Value(text))
