"""Replies as responses: what a response remembers beside its reply, what it is continued by, and how it is deleted.

A response is a generation, whichever way it was asked for. What only the format knows is recorded with the sampling
(`Generation.params`), where workers and formats that don't know it pass over it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import F
from django.utils.translation import gettext as _

from chat.errors import Conflict, InvalidRequest, NotFound
from chat.models import Conversation, Generation, Message
from chat.models.conversation import SYSTEM_CHARS
from chat.providers.registry import Registry
from chat.services import access, prompts, replay
from chat.services.acceptance import start_of
from chat.services.database import Database
from chat.services.generations import Generations
from chat.services.histories import Histories
from chat.services.model_names import named
from chat.services.nudges import Action, Nudges
from chat.services.recorded_params import sampling_of
from chat.services.records import GenerationRecord, generation_record
from chat.services.requests import check_text
from chat.services.sending import Author, Send, Sending, Started

RECORDED = "response"
"""Under which name, in the parameters of a generation."""

INSTRUCTIONS, SYSTEM = "instructions", "system"
"""Of what is recorded: the system prompt that is for this response alone; and the one that those after it have too."""

PREFIX = "resp_"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a response repeats of its request."""

    generation: str
    background: bool = False
    store: bool = True
    instructions: str | None = None
    previous_response_id: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """`model`: who was asked; the generation has who answers."""

    generation: GenerationRecord
    asked: Asked
    model: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a response is continued. `system`: what those after it are under too, which its instructions are not."""

    conversation: Conversation
    message: uuid.UUID
    system: str


def response_id(generation: str) -> str:
    return PREFIX + uuid.UUID(generation).hex


def generation_id(response: str) -> str:
    """Raises NotFound for what is no response's id."""
    if not response.startswith(PREFIX):
        raise NotFound(_("This response does not exist."))
    return str(access.parse_id(response.removeprefix(PREFIX)))


def recorded(asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For the generation's parameters: what else of the request is to be remembered; only what was given."""
    return {RECORDED: {name: value for name, value in asked.items() if value}}


def _joined(*prompts: str | None) -> str:
    return "\n\n".join(prompt for prompt in prompts if prompt)


class NoPreviousResponse(NotFound):
    """The response that a request is to continue is not there."""


class Responses:
    def __init__(
        self,
        database: Database,
        registry: Registry,
        sending: Sending,
        histories: Histories,
        generations: Generations,
        nudges: Nudges,
        context_chars: int | None,
    ) -> None:
        self._database = database
        self._registry = registry
        self._sending = sending
        self._histories = histories
        self._generations = generations
        self._nudges = nudges
        self._context_chars = context_chars

    async def start(self, author: Author, send: Send, previous: str | None) -> Started:
        """Commits the message and starts its reply. `send.model` is a name that clients know models by; what is
        `recorded` of it tells the two parts of `send.system` apart. `previous`: the response that it continues; without
        one, a history finds its own place, and a message alone begins a conversation. Raises RequestError."""
        provider, model = named(self._registry, send.model or "")
        send = replace(send, provider=provider, model=model)
        if previous is not None:
            return await self._sending.send(author, await self._behind(author.user, send, previous))
        sending = self._histories if send.history else self._sending
        return await sending.send(author, send)

    async def get(self, user: uuid.UUID, response: str) -> Recorded:
        return await self._database.read(_get, user, generation_id(response))

    async def cancel(self, user: uuid.UUID, response: str) -> Recorded:
        """Idempotent; of one that has ended, it changes nothing. Raises InvalidRequest for one that is not in the
        background: who asked for that is waiting for it."""
        recorded = await self.get(user, response)
        if not recorded.asked.background:
            raise InvalidRequest(_("Only a response in the background can be cancelled."))
        await self._generations.stop(user, recorded.generation.id)
        return await self.get(user, response)

    async def delete(self, user: uuid.UUID, response: str) -> None:
        """Stops it, and deletes the answer, the question where nothing else answers it, and the conversation where
        nothing else is in it. Raises NotFound, or Conflict for one that was continued."""
        recorded = await self.get(user, response)
        await self._database.read(_check_deletable, user, recorded.generation.id)
        await self._generations.stop(user, recorded.generation.id)
        gone = await self._database.write(_delete, user, recorded.generation.id)
        if recorded.asked.store:
            action: Action = "deleted" if gone else "message"
            self._nudges.conversation_changed(user, action, recorded.generation.conversation)

    async def _behind(self, user: uuid.UUID, send: Send, previous: str) -> Send:
        """What is not to be stored takes along what was said before, and leaves the conversation as it is."""
        place = await self._database.read(_place, user, previous)
        own = send.recorded[RECORDED]
        lasting = _joined(place.system, own.get(SYSTEM))
        system = check_text(_joined(own.get(INSTRUCTIONS), lasting), "input", SYSTEM_CHARS)
        send = replace(send, system=system, recorded=recorded(own | {SYSTEM: lasting}))
        if send.stored:
            return replace(send, conversation=str(place.conversation.id), parent=str(place.message))
        branch = await self._database.read(prompts.branch, place.conversation, place.message, self._context_chars)
        return replace(send, history=branch.turns)


def _generation(user: uuid.UUID, generation: str) -> Generation:
    try:
        return Generation.objects.select_related("message", "conversation").get(id=generation, user_id=user)
    except Generation.DoesNotExist:
        raise NotFound(_("This response does not exist.")) from None


def _get(user: uuid.UUID, generation: str) -> Recorded:
    row = _generation(user, generation)
    sampling = sampling_of(row.params)
    own = row.params.get(RECORDED, {})
    asked = Asked(
        str(row.id),
        background=own.get("background", False),
        store=row.conversation.stored,
        instructions=own.get(INSTRUCTIONS),
        previous_response_id=own.get("previous_response_id"),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_output_tokens=sampling.max_tokens,
        metadata=own.get("metadata", {}),
    )
    return Recorded(generation_record(row), asked, start_of(row).model)


def _place(user: uuid.UUID, previous: str) -> Place:
    try:
        row = _generation(user, generation_id(previous))
    except NotFound:
        row = None
    if row is None or not row.conversation.stored:
        raise NoPreviousResponse(_("The previous response does not exist."), {"field": "previous_response_id"})
    if not replay.is_ended(row):
        raise Conflict(_("The previous response is still being written."), {"field": "previous_response_id"})
    own = row.params.get(RECORDED)
    return Place(row.conversation, row.message_id, row.conversation.system if own is None else own.get(SYSTEM, ""))


def _check_deletable(user: uuid.UUID, generation: str) -> Generation:
    row = _generation(user, generation)
    continued = Message.objects.filter(parent_id=row.message_id).exists()
    if continued or row.message.latest_generation != row.id:
        raise Conflict(_("This response was continued. Delete first what continues it, or the whole conversation."))
    return row


def _delete(user: uuid.UUID, generation: str) -> bool:
    """Whether the conversation has gone too."""
    row = _check_deletable(user, generation)
    question, conversation = row.message.parent_id, row.conversation
    deleted = 1
    row.message.delete()
    if question is not None and not Message.objects.filter(parent_id=question).exists():
        Message.objects.filter(id=question).delete()
        deleted += 1
    if not Message.objects.filter(conversation=conversation).exists():
        conversation.delete()
        return True
    Conversation.objects.filter(id=conversation.id).update(message_count=F("message_count") - deleted)
    return False
