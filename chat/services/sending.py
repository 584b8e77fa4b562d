"""Starting replies: a message sent, edited, answered again, or an answer that goes on."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError
from django.utils.translation import gettext as _

from chat.engine.clock import StreamPace
from chat.engine.engine import Engine
from chat.engine.job import Job, Source
from chat.errors import Conflict
from chat.events import Tell
from chat.models import Conversation, Message
from chat.models.message import Role
from chat.observation import Run
from chat.providers.base import Model, Params, Provider, Turn
from chat.providers.registry import Registry
from chat.providers.resilience.cached_source import source_for
from chat.providers.resilience.reply_cache import ReplyCache
from chat.services import access, placing, prompts, recorded_params, replay
from chat.services.acceptance import (
    Accepted,
    Answerer,
    accept_continuation,
    accept_send,
    accept_sibling,
    digest,
)
from chat.services.author import Author
from chat.services.database import Database
from chat.services.failure_words import words
from chat.services.limits import Limits
from chat.services.nudges import Nudges
from chat.services.owned_tasks import OwnedTasks
from chat.services.starts import Started, Starts

__all__ = ["Author", "Send", "Sending", "Started"]


@dataclass(frozen=True, slots=True)
class Send:
    """A message to answer; its fields are checked. Ids may be anybody's; they are looked up scoped to the author.
    A new conversation begins with `history`, users' and assistants' turns, and may be one that is not `stored`.
    `recorded`: what else of the request its format wants to find beside the reply."""

    message: str
    conversation: str | None = None
    parent: str | None = None
    provider: str | None = None
    model: str | None = None
    params: Params = field(default_factory=Params)
    system: str | None = None
    key: str | None = None
    history: tuple[Turn, ...] = ()
    stored: bool = True
    recorded: Mapping[str, Any] = field(default_factory=dict)


class Sending:
    def __init__(
        self,
        *,
        engine: Engine,
        database: Database,
        registry: Registry,
        limits: Limits,
        tasks: OwnedTasks,
        nudges: Nudges,
        worker: str,
        context_chars: int | None,
        reply_cache: ReplyCache | None,
    ) -> None:
        self._engine = engine
        self._database = database
        self._registry = registry
        self._starts = Starts(engine=engine, database=database, limits=limits, tasks=tasks)
        self._nudges = nudges
        self._worker = worker
        self._context_chars = context_chars
        self._reply_cache = reply_cache

    async def send(self, author: Author, send: Send) -> Started:
        """Commits the message and starts its reply. Raises RequestError."""
        return await self._starts.once(
            author, send.key, lambda: digest(send.key, "send", send.message), lambda: self._send(author, send)
        )

    async def regenerate(
        self,
        author: Author,
        message: str,
        provider: str | None,
        model: str | None,
        key: str | None,
        params: Params | None = None,
        system: str | None = None,
        recorded: Mapping[str, Any] | None = None,
    ) -> Started:
        """Another answer to the same question: a sibling. `message` may be the answer or the question. `system`: in
        the place of the conversation's."""
        send = Send("", None, None, provider, model, params or Params(), system, key, recorded=recorded or {})

        def request() -> str:
            return digest(key, "regenerate", str(_question(access.message(author.user, message))))

        return await self._starts.once(author, key, request, lambda: self._regenerate(author, message, send))

    async def edit(self, author: Author, message: str, send: Send) -> Started:
        """The same question in other words: a sibling of the user's message, and its answer."""
        return await self._starts.once(
            author, send.key, lambda: digest(send.key, "send", send.message), lambda: self._edit(author, message, send)
        )

    async def proceed(self, author: Author, message: str, key: str | None) -> Started:
        """The same answer goes on where it ended."""
        return await self._starts.once(
            author,
            key,
            lambda: digest(key, "continue", str(access.message(author.user, message).id)),
            lambda: self._proceed(author, message, key),
        )

    async def _send(self, author: Author, send: Send) -> Started:
        if send.conversation is None and send.parent is None:
            provider, model = self._registry.choose(send.provider, send.model)
            branch = prompts.told(send.history, self._context_chars)
            conversation_id = None
            system = send.system or ""
        else:
            conversation, leaf = await self._database.read(placing.place, author.user, send.conversation, send.parent)
            provider, model = self._choose(send.provider, send.model, conversation)
            system = conversation.system if send.system is None else send.system
            branch = await self._database.read(prompts.branch, conversation, leaf, self._context_chars)
            conversation_id = conversation.id
        return await self._start(
            author,
            lambda answerer: self._database.write(
                accept_send,
                *(author.user, conversation_id, branch.leaf, send.message, answerer, send.key),
                *(send.history, send.stored),
            ),
            provider,
            model,
            branch.asked(send.message).under(system),
            send,
            system,
        )

    async def _edit(self, author: Author, message: str, send: Send) -> Started:
        original = await self._database.read(access.message, author.user, message)
        if original.role != Role.USER:
            raise Conflict(_("Only your own messages can be edited."))
        conversation, parent = original.conversation, original.parent_id
        provider, model = self._choose(send.provider, send.model, conversation)
        system = conversation.system if send.system is None else send.system
        branch = prompts.Branch()
        if parent is not None:
            branch = await self._database.read(prompts.branch, conversation, parent, self._context_chars)
        return await self._start(
            author,
            lambda answerer: self._database.write(
                accept_send, author.user, conversation.id, parent, send.message, answerer, send.key
            ),
            provider,
            model,
            branch.asked(send.message).under(system),
            send,
            system,
        )

    async def _regenerate(self, author: Author, message_id: str, send: Send) -> Started:
        message = await self._database.read(access.message, author.user, message_id)
        question = _question(message)
        if question is None:
            raise Conflict(_("This message answers nothing that could be answered again."))
        conversation = message.conversation
        provider, model = self._choose(send.provider, send.model, conversation)
        branch = await self._database.read(prompts.branch, conversation, question, self._context_chars)
        system = conversation.system if send.system is None else send.system
        return await self._start(
            author,
            lambda answerer: self._database.write(
                accept_sibling, author.user, conversation.id, question, answerer, send.key
            ),
            provider,
            model,
            branch.under(system),
            send,
            system,
        )

    async def _proceed(self, author: Author, message_id: str, key: str | None) -> Started:
        message = await self._database.read(access.message, author.user, message_id)
        if message.role != Role.ASSISTANT:
            raise Conflict(_("Only an answer can be continued."))
        latest = await self._database.read(placing.latest_generation, message.latest_generation)
        if latest is not None and not replay.is_ended(latest):
            raise Conflict(_("This answer is still being written."), {"generation": str(latest.id)})
        conversation = message.conversation
        provider, model = self._choose(
            latest.provider if latest else None, latest.model if latest else None, conversation
        )
        branch = await self._database.read(prompts.branch, conversation, message.id, self._context_chars)
        if not branch.turns:
            raise Conflict(_("This answer is too long to be continued."))
        return await self._start(
            author,
            lambda answerer: self._database.write(accept_continuation, author.user, message.id, answerer, key),
            provider,
            model,
            branch.under(conversation.system),
            Send(message="", key=key),
            conversation.system,
        )

    async def _start(
        self,
        author: Author,
        accept: Callable[[Answerer], Coroutine[Any, Any, Accepted]],
        provider: Provider,
        model: Model,
        prompt: prompts.Branch,
        send: Send,
        system: str,
    ) -> Started:
        params = recorded_params.to_row(send.params, system) | dict(send.recorded)
        answerer = Answerer(provider.id, model.id, provider.upstream, params, system, author.language, self._worker)
        try:
            accepted = (await accept(answerer)).noted()
        except IntegrityError:
            # Another worker has used the key at the same moment, and now it is known; or what it belongs to has gone.
            try:
                accepted = (await accept(answerer)).noted()
            except IntegrityError:
                raise Conflict(_("The conversation changed meanwhile. Please try again.")) from None
        if not accepted.known:
            self._run(author, accepted, provider, model, prompt, send.params)
            if send.stored:
                self._nudges.conversation_changed(
                    *(author.user, "message", accepted.start.conversation),
                    origin=author.origin,
                    generation=accepted.start.generation,
                )
        return Started(accepted.start, accepted.known)

    def _run(
        self,
        author: Author,
        accepted: Accepted,
        provider: Provider,
        model: Model,
        prompt: prompts.Branch,
        params: Params,
    ) -> None:
        def open_source(pace: StreamPace, run: Run, tell: Tell) -> Source:
            request = prompt.request(model.id, params, author.user, pace)
            return source_for(self._reply_cache, self._registry, provider, model, request, run, tell)

        job = Job(
            start=accepted.start,
            account=str(author.user),
            epoch=accepted.epoch,
            input_chars=prompt.chars,
            open_source=open_source,
            words=lambda failure: words(failure, author.language),
        )
        self._engine.start(job)

    def _choose(self, provider: str | None, model: str | None, conversation: Conversation) -> tuple[Provider, Model]:
        """What the request names, else what the conversation used last, else the default. One that has failed stays the
        conversation's: its fallbacks answer for it, and say so."""
        if provider is None and model is None and conversation.provider:
            known = self._registry.providers.get(conversation.provider)
            if known is not None:
                has_model = any(item.id == conversation.model for item in known.models)
                last = conversation.model if has_model else known.models[0].id
                if self._registry.state(known.id) != "off":
                    return self._registry.choose(known.id, last)
        return self._registry.choose(provider, model)


def _question(message: Message) -> uuid.UUID | None:
    """What it answers, or itself."""
    return message.id if message.role == Role.USER else message.parent_id
