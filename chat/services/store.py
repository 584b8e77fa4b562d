"""The engine's store on Django's models: partial texts and the terminal transition."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connections
from django.db.models import Value
from django.db.models.functions import Concat, Substr

from chat.engine.generation import Outcome
from chat.engine.store import Ending, Partial, Store
from chat.models import Conversation, Generation, Message
from chat.services import notes, webhook_events
from chat.services.database import Database
from chat.services.statements import update_returning

_SAVE_GENERATION = """
    UPDATE chat_generation SET seq = %s, status = %s, first_token_ms = %s, heartbeat = %s, provider = %s, model = %s,
        upstream = %s
    WHERE id = %s AND epoch = %s AND status IN ('queued', 'streaming', 'paused')
"""
_SAVE_MESSAGE = """
    UPDATE chat_message SET text = text || %s, reasoning = reasoning || %s, status = %s
    WHERE id = (
        SELECT message_id FROM chat_generation
        WHERE id = %s AND epoch = %s AND status IN ('queued', 'streaming', 'paused')
    )
"""

# PostgreSQL takes all as arrays, in one statement: a fifth of what it costs singly. The generations first: whose
# row has been taken by another worker, or has ended, lets nothing through to its message.
_SAVE_ALL = """
    WITH ours AS (
        UPDATE chat_generation SET seq = new.seq, status = new.status, first_token_ms = new.first_token_ms,
            heartbeat = %s, provider = new.provider, model = new.model, upstream = new.upstream
        FROM unnest(
            %s::uuid[], %s::integer[], %s::integer[], %s::text[], %s::integer[], %s::text[], %s::text[], %s::text[]
        ) AS new(id, epoch, seq, status, first_token_ms, provider, model, upstream)
        WHERE chat_generation.id = new.id AND chat_generation.epoch = new.epoch
            AND chat_generation.status IN ('queued', 'streaming', 'paused')
        RETURNING chat_generation.id, chat_generation.message_id, new.status
    )
    UPDATE chat_message SET text = chat_message.text || new.text, reasoning = chat_message.reasoning || new.reasoning,
        status = ours.status
    FROM ours JOIN unnest(%s::uuid[], %s::text[], %s::text[]) AS new(id, text, reasoning) ON new.id = ours.id
    WHERE chat_message.id = ours.message_id
"""

_STILL_OURS = "id = %s AND epoch = %s AND status IN ('queued', 'streaming', 'paused')"
_WHERE_THE_TEXT_GOES = ("message", "conversation", "text_offset", "reasoning_offset", "user")


class DatabaseStore(Store):
    """`webhooks`: whether there are any here."""

    def __init__(self, database: Database, *, webhooks: bool = False) -> None:
        self._database = database
        self._webhooks = webhooks

    async def save(self, partials: Sequence[Partial]) -> None:
        await self._database.write(self._save, partials)

    async def finish(self, ending: Ending) -> bool:
        return await self._database.write_patiently(self._finish, ending)

    # In the writing thread

    def _save(self, partials: Sequence[Partial]) -> None:
        connection = connections[self._database.alias]
        now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                ids = [uuid.UUID(one.generation) for one in partials]
                generations = (
                    [one.epoch for one in partials],
                    [one.seq for one in partials],
                    [one.status.value for one in partials],
                    [one.first_token_ms for one in partials],
                    [one.provider for one in partials],
                    [one.model for one in partials],
                    [one.upstream for one in partials],
                )
                messages = ([one.text for one in partials], [one.reasoning for one in partials])
                cursor.execute(_SAVE_ALL, (now, ids, *generations, ids, *messages))
                self._save_notes(partials)
                return
            # The messages first: their guard reads the generations.
            keys = [uuid.UUID(one.generation).hex for one in partials]
            cursor.executemany(
                _SAVE_MESSAGE,
                [
                    (one.text, one.reasoning, one.status.value, key, one.epoch)
                    for one, key in zip(partials, keys, strict=True)
                ],
            )
            cursor.executemany(
                _SAVE_GENERATION,
                [(*_columns_of(one, now), key, one.epoch) for one, key in zip(partials, keys, strict=True)],
            )
            self._save_notes(partials)

    def _save_notes(self, partials: Sequence[Partial]) -> None:
        """Most replies have none, and cost no statement."""
        for one in partials:
            if one.notes is not None:
                key = (self._key(one.generation), one.epoch)
                update_returning(
                    Generation, self._database.alias, {"notes": notes.to_row(one.notes)}, _STILL_OURS, key, ("id",)
                )

    def _key(self, generation: str) -> Any:
        return Generation._meta.pk.get_db_prep_value(uuid.UUID(generation), connections[self._database.alias])

    def _finish(self, ending: Ending) -> bool:
        outcome, error = ending.outcome, ending.outcome.error
        using = self._database.alias
        changes: dict[str, Any] = {
            "status": outcome.status.value,
            "seq": ending.seq,
            "heartbeat": ending.finished_at,
            "finished_at": ending.finished_at,
            "provider": ending.provider,
            "model": ending.model,
            "upstream": ending.upstream,
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
        if outcome.notes:
            changes["notes"] = notes.to_row(outcome.notes)
        key = (self._key(ending.generation), ending.epoch)
        row = update_returning(Generation, using, changes, _STILL_OURS, key, _WHERE_THE_TEXT_GOES)
        if row is None:
            # An attempt whose answer was lost may have made it.
            made = Generation.objects.using(using).filter(
                id=ending.generation, epoch=ending.epoch, seq=ending.seq, status=outcome.status.value
            )
            return made.exists()
        message, conversation, text_offset, reasoning_offset, user = row
        self._write_reply(message, outcome, text_offset, reasoning_offset)
        update_returning(Conversation, using, {"updated_at": ending.finished_at}, "id = %s", (conversation,), ("id",))
        if self._webhooks:
            webhook_events.tell(using, user, ending.generation, outcome.status, ending.finished_at)
        return True

    def _write_reply(self, message: Any, outcome: Outcome, text_offset: int, reasoning_offset: int) -> None:
        status = outcome.status.value
        if text_offset or reasoning_offset:
            Message.objects.using(self._database.alias).filter(id=message).update(
                text=after_prefix("text", text_offset, outcome.text),
                reasoning=after_prefix("reasoning", reasoning_offset, outcome.reasoning),
                status=status,
            )
        else:
            whole = {"text": outcome.text, "reasoning": outcome.reasoning, "status": status}
            update_returning(Message, self._database.alias, whole, "id = %s", (message,), ("id",))


def _columns_of(partial: Partial, now: Any) -> tuple[Any, ...]:
    """In the order of `_SAVE_GENERATION`."""
    who = (partial.provider, partial.model, partial.upstream)
    return partial.seq, partial.status.value, partial.first_token_ms, now, *who


def after_prefix(field: str, offset: int, text: str) -> str | Concat:
    """The whole text of a message whose first `offset` characters are earlier generations'."""
    return text if offset == 0 else Concat(Substr(field, 1, offset), Value(text))
