"""The chat's WebSocket: commands in, the events of any number of generations out.

Two tasks serve a socket: Channels' own takes the commands one by one, and one pump writes what the reader finds.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from contextlib import suppress
from typing import Any

from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import StopConsumer
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from chat import runtime
from chat.api.client_address import socket_address
from chat.engine.reader import Delivery, Reader, ReaderDropped
from chat.errors import ChatError, InvalidRequest, RequestError, Unavailable
from chat.served_request import command, of_user
from chat.services.identity import Identity
from chat.services.requests import parse_send
from chat.services.scopes import Scope
from chat.services.sending import Author
from chat.services.sign_outs import Watch
from chat.websocket import commands, frames, handshake

logger = logging.getLogger(__name__)

GOING_AWAY = 1012
"""Close code "service restart": the client is to come back with its cursors."""

TOO_SLOW = 1008
TROUBLE = 1011

NUDGES_WAITING = 64
"""For a client that takes nothing: the oldest go first, and the client looks again when it comes back."""

STREAMS_PER_SOCKET = 200
"""Generations that one socket may follow at once: far more than a page shows."""


class ClientGone(Exception):
    """What was to be written has nobody to read it any more; the disconnect is on its way."""


class ChatConsumer(AsyncConsumer):  # type: ignore[misc]
    channel_layer_alias = "none"  # nudges come through the process's one channel
    identity: Identity
    _reader: Reader | None = None
    _pump: asyncio.Task[None] | None = None
    _telling: asyncio.Task[None] | None = None
    _watch: Watch | None = None
    _closed = _dropped = _signed_out = False

    async def __call__(self, *connection: Any) -> None:
        try:
            with suppress(ClientGone):
                await super().__call__(*connection)
        finally:
            await self._leave()  # also where no disconnect could be delivered

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels' own would hop through a thread for each message, to look after connections that nothing here uses.
        await getattr(self, get_handler_name(message))(message)

    # Lifecycle

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        self._runtime = runtime.current()
        headers = handshake.headers_of(self.scope)
        self._language = handshake.language_of(headers)
        subprotocols = self.scope.get("subprotocols", [])
        subprotocol = handshake.SUBPROTOCOL if handshake.SUBPROTOCOL in subprotocols else None
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol})
        if not handshake.origin_allowed(headers, subprotocols):
            await self._close(handshake.WRONG_ORIGIN)
            return
        identity = await handshake.identify(self._runtime.identities, headers, subprotocols)
        if identity is None:
            await self._close(handshake.SIGN_IN)
            return
        self.identity = identity
        of_user(identity.user)
        self._author = Author(
            identity.user,
            identity.language or self._language,
            secrets.token_hex(8),
            identity.api_key,
            socket_address(self.scope),
        )
        self._untold: deque[dict[str, Any]] = deque(maxlen=NUDGES_WAITING)
        if identity.may(Scope.READ):
            self._runtime.nudges.join(identity.user, self._told)
        self._reader = self._runtime.readers.open(self._drop, "websocket")
        self._pump = asyncio.create_task(self._pump_forever(self._reader), name="websocket-pump")
        self._watch = self._runtime.sign_outs.watch(identity, self._sign_out)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        await self._leave()
        raise StopConsumer

    # Commands

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        if self._reader is None or self._signed_out:
            return
        ref: Any = None
        with translation.override(self._author.language), suppress(ClientGone):
            try:
                if message.get("text") is None:
                    raise InvalidRequest(_("Only text frames are taken here."))
                frame = frames.decode(message["text"])
                ref = frame.get("ref")
                kind = commands.kind_of(frame)
                with command(kind if isinstance(kind, str) else ""):
                    await self._obey(commands.parse(frame))
            except ChatError as error:
                await self._write(frames.refused(ref, error))
            except ClientGone:
                raise
            except Exception:
                logger.exception("a command failed")
                trouble = Unavailable(_("Something went wrong on our side. Please try again."))
                await self._write(frames.refused(ref, trouble))

    async def _obey(self, asked: commands.Command) -> None:
        if asked.scope is not None:
            self.identity.require(asked.scope)
        generations, user = self._runtime.generations, self._author.user
        match asked:
            case commands.Send():
                await self._send_message(asked)
            case commands.Follow():
                await self._follow(asked.generation, asked.after)
            case commands.Unfollow():
                self._followed().unfollow(asked.generation)
            case commands.Stop():
                await generations.stop(user, asked.generation)
            case commands.Pause():
                await generations.pause(user, asked.generation)
            case commands.Resume():
                await generations.resume(user, asked.generation)
            case commands.Ping():
                await self._write(frames.pong())

    async def _send_message(self, asked: commands.Send) -> None:
        send = parse_send(asked.fields(), message_chars=settings.CHAT_MESSAGE_CHARS)
        self._check_room()
        started = await self._runtime.sending.send(self._author, send)
        await self._write(frames.accepted(asked.ref, started.start))
        following = await self._runtime.generations.follow_started(self._followed(), started, self._author.user)
        if following.empty:
            await self._write(frames.end(started.start.generation, following.seq))

    async def _follow(self, generation: str, after: int) -> None:
        self._check_room()
        following = await self._runtime.generations.follow(self._followed(), self._author.user, generation, after)
        if following.empty:
            await self._write(frames.end(generation, following.seq))

    def _check_room(self) -> None:
        if len(self._followed()) >= STREAMS_PER_SOCKET:
            raise RequestError(_("This connection follows too many replies at once."), status=429)

    def _followed(self) -> Reader:
        assert self._reader is not None
        return self._reader

    # Nudges

    def _told(self, nudges: list[dict[str, Any]]) -> None:
        """Something has changed, on this worker or another."""
        self._untold.extend(nudge for nudge in nudges if nudge["origin"] != self._author.origin)
        if self._untold and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell(), name="websocket-nudges")

    async def _tell(self) -> None:
        with suppress(ClientGone):
            while self._untold:
                nudge = self._untold.popleft()
                await self._write(frames.conversation_changed(nudge))

    # Writing

    async def _pump_forever(self, reader: Reader) -> None:
        code = TOO_SLOW

        async def write(deliveries: list[Delivery]) -> None:
            for delivery in deliveries:
                await self._deliver(reader, delivery)

        reader.write = write
        try:
            while True:
                deliveries = await reader.read()
                if self._signed_out:
                    break
                if deliveries:
                    await write(deliveries)
                    continue
                if reader.ending:
                    code = GOING_AWAY
                    break
                await self._write(frames.ping())
        except (ReaderDropped, ClientGone, OSError):  # the last is what `base_send` raises where the client has gone
            pass
        except Exception:
            logger.exception("a socket's events cannot be written")
            code = TROUBLE
        except asyncio.CancelledError:
            if not self._dropped:
                raise
        with suppress(ClientGone):
            await self._close(handshake.SIGN_IN if self._signed_out else code)

    async def _deliver(self, reader: Reader, delivery: Delivery) -> None:
        seq = 0
        for entry in delivery.entries:
            # Not by `_write`: the path of every token has no call to spare.
            await self.base_send({"type": "websocket.send", "text": frames.event(delivery.generation, entry)})
            reader.progress()
            seq = entry.seq
        if delivery.last and delivery.replay:
            await self._write(frames.end(delivery.generation, seq))

    async def send(self, message: dict[str, Any]) -> None:
        try:
            await self.base_send(message)
        except OSError as error:  # as servers say it
            raise ClientGone from error

    async def _write(self, text: str) -> None:
        if not self._closed:
            await self.send({"type": "websocket.send", "text": text})

    def _drop(self) -> None:
        """Called by the readers' sweep: this client takes nothing, so the socket is cut."""
        self._dropped = True
        if self._pump is not None:
            self._pump.cancel()

    def _sign_out(self) -> None:
        """What the socket was opened with is no sign-in any more: nothing more is said or taken."""
        self._signed_out = True
        if self._reader is not None:
            self._reader.end()

    # Internal

    async def _close(self, code: int) -> None:
        if not self._closed:
            self._closed = True
            await self.send({"type": "websocket.close", "code": code})

    async def _leave(self) -> None:
        self._closed = True
        if self._reader is None:
            return
        reader, self._reader = self._reader, None
        if self._watch is not None:
            self._runtime.sign_outs.unwatch(self._watch)
            self._watch = None  # which holds the socket in turn
        self._runtime.readers.close(reader)
        self._runtime.nudges.leave(self.identity.user, self._told)
        tasks = [task for task in (self._pump, self._telling) if task is not None]
        self._pump = self._telling = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
