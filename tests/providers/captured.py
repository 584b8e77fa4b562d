"""A captured upstream that plays, and the provider that speaks to it: what the suites of captures share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from chat.errors import UpstreamError
from chat.events import Finish, ProviderEvent, Usage
from chat.providers.base import Picture, Provider
from tests.providers.conftest import Reply, read, until
from tests.upstreams.capture import CAPTURES, SECRETS, Capture
from tests.upstreams.played import End, Play, PlayedUpstream, upstream_of
from tests.upstreams.rig import main_of

each_capture = pytest.mark.parametrize("scene", CAPTURES.values(), ids=CAPTURES.keys(), indirect=True)

PATIENCE = 20.0
"""Seconds for what happens at once, unless something is wrong."""


@dataclass
class Scene:
    """`ask` has the capture's question answered by `upstream.play`."""

    capture: Capture
    upstream: PlayedUpstream
    provider: Provider

    async def ask(self, play: Play, *pictures: Picture, reply: Reply | None = None) -> Reply:
        self.upstream.play = play
        async with asyncio.timeout(PATIENCE):
            return await read(self.provider, self.capture.question(*pictures), reply)

    async def fail(self, play: Play) -> tuple[UpstreamError, Reply]:
        """The failure of what must fail, and what came before it: a beginning of the reply, and no end."""
        reply = Reply()
        with pytest.raises(UpstreamError) as failure:
            await self.ask(play, reply=reply)
        self.check_beginning(reply)
        check_secrecy(failure.value)
        return failure.value, reply

    def complete(self, wire: Sequence[bytes] | None = None, **options: object) -> Play:
        """The whole capture, or this in its place, ended as the upstream ends it."""
        end: End = "hold" if self.capture.leaves_closing_to_client else "orderly"
        return Play(self.capture.frames if wire is None else wire, end, **options)  # type: ignore[arg-type]

    def check_whole(self, reply: Reply, *, counted: bool = True) -> None:
        """It is what the fixture says, and of the shape that every provider owes. `counted`: its usage too."""
        wanted = self.capture.reply
        assert (reply.text, reply.reasoning) == (wanted.text, wanted.reasoning)
        assert [finish.reason for finish in reply.finishes] == [wanted.finish]
        end = next(index for index, event in enumerate(reply.events) if isinstance(event, Finish))
        assert all(isinstance(event, Usage) for event in reply.events[end + 1 :])
        assert all(delta_of(event) != "" for event in reply.events)
        if counted:
            usage = reply.usage
            tokens = (None, None) if usage is None else (usage.input_tokens, usage.output_tokens)
            assert tokens == (wanted.input_tokens, wanted.output_tokens)

    def check_beginning(self, reply: Reply) -> None:
        # Half a character that an upstream split over two deltas is told as U+FFFD where the stream ends.
        assert self.capture.reply.text.startswith(reply.text.removesuffix("\ufffd"))
        assert self.capture.reply.reasoning.startswith(reply.reasoning.removesuffix("\ufffd"))
        assert reply.finishes == []


def delta_of(event: ProviderEvent) -> str | None:
    return getattr(event, "delta", None)


def check_secrecy(error: UpstreamError) -> None:
    """Nothing of it, nor of what it came from, shows a key."""
    shown = []
    cause: BaseException | None = error
    while cause is not None:
        shown.append(f"{cause!r} {cause} {getattr(cause, 'details', '')}")
        cause = cause.__cause__
    assert not [secret for secret in SECRETS.values() if secret in " ".join(shown)]


@asynccontextmanager
async def scene_of(capture: Capture, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Scene]:
    """At its end no connection stands, and no log record, of whatever level, has shown a key."""
    with caplog.at_level(logging.DEBUG):
        async with upstream_of(capture) as upstream:
            registry = capture.registry(upstream.url)
            yield Scene(capture, upstream, main_of(registry))
            await until(lambda: upstream.open == 0)
            assert upstream.connections == upstream.requests, "a connection for nothing"
            await registry.aclose()
    assert not [secret for secret in SECRETS.values() if secret in caplog.text]
    assert "authorization=" not in caplog.text


@pytest.fixture
async def scene(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Scene]:
    """Takes the capture as its parameter."""
    async with scene_of(request.param, caplog) as scene:
        yield scene
