"""Going on with a reply whose worker has gone: where the model can be told what it has said so far."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from chat.engine.clock import StreamPace
from chat.engine.engine import Engine
from chat.engine.job import Job, Resumed, Source
from chat.engine.log import Sealed
from chat.errors import Unavailable
from chat.events import StartData, Status, Tell
from chat.models import Generation
from chat.observation import Run
from chat.providers.base import Model, Params, Provider
from chat.providers.registry import Registry
from chat.providers.resilience.recovering_source import RecoveringSource
from chat.services import prompts
from chat.services.acceptance import start_of
from chat.services.database import Database
from chat.services.failure_words import words
from chat.services.reaping import Taken
from chat.services.recorded_params import sampling_of
from chat.services.store import after_prefix

TAKEOVERS_MOST = 3
"""A reply that has taken so many workers with it is not given to another."""


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """What the database knows of the reply, once all that was said is in it. `prompt` ends with the unfinished turn."""

    start: StartData
    account: uuid.UUID
    language: str
    params: Params
    prompt: prompts.Branch
    created_at: datetime


class Takeover:
    def __init__(self, *, engine: Engine, database: Database, registry: Registry, context_chars: int | None) -> None:
        self._engine = engine
        self._database = database
        self._registry = registry
        self._context_chars = context_chars

    async def go_on(self, taken: Taken, sealed: Sealed) -> bool:
        """False where that cannot be done honestly: it is to be ended then."""
        provider = self._registry.get(taken.lost.provider)
        model = next((one for one in provider.models if one.id == taken.lost.model), None) if provider else None
        if provider is None or model is None or not self._is_possible(provider, model, taken, sealed):
            return False
        unfinished = await self._database.write(_store, taken, sealed, self._context_chars)
        if unfinished is None:
            return True  # yet another worker has it
        turns = unfinished.prompt.turns
        if not turns or turns[-1].role != "assistant":
            return False  # too long to be handed back with its question
        self._engine.start(self._job(unfinished, provider, model, taken, sealed))
        return True

    def _is_possible(self, provider: Provider, model: Model, taken: Taken, sealed: Sealed) -> bool:
        try:
            self._engine.check_open()
        except Unavailable:
            return False
        return (
            provider.prefills
            and self._registry.is_ready(provider.id, model.id)
            and not taken.stopped
            and taken.epoch <= TAKEOVERS_MOST + 1
            # A thought that broke off cannot be handed back: only an answer can.
            and bool(sealed.text.strip())
        )

    def _job(self, unfinished: _Unfinished, provider: Provider, model: Model, taken: Taken, sealed: Sealed) -> Job:
        prompt = unfinished.prompt

        def open_source(pace: StreamPace, run: Run, tell: Tell) -> Source:
            request = prompt.request(model.id, unfinished.params, unfinished.account, pace)
            return RecoveringSource(self._registry, provider, model, request, run, resumed=True, tell=tell)

        seconds = max(0.0, (datetime.now(UTC) - unfinished.created_at).total_seconds())
        return Job(
            start=unfinished.start,
            account=str(unfinished.account),
            epoch=taken.epoch,
            input_chars=prompt.chars,
            open_source=open_source,
            words=lambda failure: words(failure, unfinished.language),
            resumed=Resumed(sealed.text, sealed.reasoning, sealed.last, seconds, taken.first_token_ms, taken.notes),
        )


def _store(taken: Taken, sealed: Sealed, context_chars: int | None) -> _Unfinished | None:
    """In the writing thread; None when yet another worker has taken it."""
    live = Generation.objects.live().filter(id=taken.generation, epoch=taken.epoch)
    generation = live.select_related("message", "conversation").first()
    if generation is None:
        return None
    message = generation.message
    live.update(status=Status.STREAMING.value, seq=sealed.last, heartbeat=datetime.now(UTC))
    type(message).objects.filter(id=message.id).update(
        text=after_prefix("text", generation.text_offset, sealed.text),
        reasoning=after_prefix("reasoning", generation.reasoning_offset, sealed.reasoning),
        status=Status.STREAMING.value,
    )
    branch = prompts.branch(generation.conversation, message.id, context_chars)
    return _Unfinished(
        start_of(generation),
        generation.user_id,
        generation.language,
        sampling_of(generation.params),
        branch.under(generation.conversation.system),
        generation.created_at,
    )
