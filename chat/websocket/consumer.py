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
from chat.engine.reader import Delivery, Reader, ReaderDropped
from chat.errors import ChatError, InvalidRequest, RequestError, Unavailable
from chat.served_request import command, of_user
from chat.services.identity import Identity
from chat.services.requests import parse_send
from chat.services.sending import Author
from chat.websocket import frames, handshake

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
    _closed = _dropped = False

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
        if not handshake.origin_allowed(headers):
            await self._close(handshake.WRONG_ORIGIN)
            return
        identity = await handshake.identify(self._runtime.identities, headers, subprotocols)
        if identity is None:
            await self._close(handshake.SIGN_IN)
            return
        self.identity = identity
        of_user(identity.user)
        self._author = Author(identity.user, identity.language or self._language, secrets.token_hex(8))
        self._untold: deque[dict[str, Any]] = deque(maxlen=NUDGES_WAITING)
        self._runtime.nudges.join(identity.user, self._told)
        self._reader = self._runtime.readers.open(self._drop, "websocket")
        self._pump = asyncio.create_task(self._pump_forever(self._reader), name="websocket-pump")

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        await self._leave()
        raise StopConsumer

    # Commands

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        if self._reader is None:
            return
        ref: Any = None
        with translation.override(self._author.language), suppress(ClientGone):
            try:
                if message.get("text") is None:
                    raise InvalidRequest(_("Only text frames are taken here."))
                frame = frames.decode(message["text"])
                ref = frame.get("ref")
                kind = frame.get("type", "send" if "text" in frame else None)
                with command(kind if isinstance(kind, str) else ""):
                    await self._obey(kind, frame, ref)
            except ChatError as error:
                await self._write(frames.refused(ref, error))
            except ClientGone:
                raise
            except Exception:
                logger.exception("a command failed")
                trouble = Unavailable(_("Something went wrong on our side. Please try again."))
                await self._write(frames.refused(ref, trouble))

    async def _obey(self, kind: Any, frame: dict[str, Any], ref: Any) -> None:
        generations, user = self._runtime.generations, self._author.user
        match kind:
            case "send":
                await self._send_message(frame, ref)
            case "follow":
                await self._follow(frame)
            case "unfollow":
                self._followed().unfollow(_generation(frame))
            case "stop":
                await generations.stop(user, _generation(frame))
            case "pause":
                await generations.pause(user, _generation(frame))
            case "resume":
                await generations.resume(user, _generation(frame))
            case "ping":
                await self._write(frames.pong())
            case "image":
                raise InvalidRequest(_("This server does not take images."), status=422)
            case _:
                raise InvalidRequest(_("There is no such command."), {"field": "type"})

    async def _send_message(self, frame: dict[str, Any], ref: Any) -> None:
        send = parse_send(frame, message_chars=settings.CHAT_MESSAGE_CHARS)
        self._check_room()
        started = await self._runtime.sending.send(self._author, send)
        start = started.start
        await self._write(
            frames.encode(
                {
                    "type": "accepted",
                    "ref": ref,
                    "generation": start.generation,
                    "conversation": start.conversation,
                    "user_message": start.user_message,
                    "message": start.message,
                    "provider": start.provider,
                    "model": start.model,
                    "upstream": start.upstream,
                }
            )
        )
        following = await self._runtime.generations.follow_started(self._followed(), started, self._author.user)
        if following.empty:
            await self._write(frames.end(start.generation, following.seq))

    async def _follow(self, frame: dict[str, Any]) -> None:
        generation, after = _generation(frame), frame.get("after", 0)
        if not isinstance(after, int) or isinstance(after, bool) or after < 0:
            raise InvalidRequest(_("The cursor is a whole number, 0 or more."), {"field": "after"}, status=422)
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
                fields = {name: value for name, value in nudge.items() if name != "origin"}
                await self._write(frames.encode({"type": "conversation", **fields}))

    # Writing

    async def _pump_forever(self, reader: Reader) -> None:
        code = TOO_SLOW
        checked = asyncio.get_running_loop().time()

        async def write(deliveries: list[Delivery]) -> None:
            for delivery in deliveries:
                await self._deliver(reader, delivery)

        reader.write = write
        try:
            while True:
                deliveries = await reader.read()
                if deliveries:
                    await write(deliveries)
                    continue
                if reader.ending:
                    code = GOING_AWAY
                    break
                await self._write(frames.ping())
                now = asyncio.get_running_loop().time()
                if now - checked > settings.CHAT_PING_SECONDS:
                    checked = now
                    if not await self._still_valid():
                        code = handshake.SIGN_IN
                        break
        except (ReaderDropped, ClientGone, OSError):  # the last is what `base_send` raises where the client has gone
            pass
        except Exception:
            logger.exception("a socket's events cannot be written")
            code = TROUBLE
        except asyncio.CancelledError:
            if not self._dropped:
                raise
        with suppress(ClientGone):
            await self._close(code)

    async def _still_valid(self) -> bool:
        try:
            return await self._runtime.identities.still_valid(self.identity)
        except Exception as error:
            # Nobody is signed out by a database that is away: the next ping asks again.
            logger.warning("a sign-in cannot be looked up: %s", type(error).__name__)
            return True

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
        self._runtime.readers.close(reader)
        self._runtime.nudges.leave(self.identity.user, self._told)
        tasks = [task for task in (self._pump, self._telling) if task is not None]
        self._pump = self._telling = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _generation(frame: dict[str, Any]) -> str:
    generation = frame.get("generation")
    if not isinstance(generation, str):
        raise InvalidRequest(_("Name the generation."), {"field": "generation"}, status=422)
    return generation
