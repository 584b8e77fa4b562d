"""What an upstream AI looks like to the engine.

A provider has one request answered, and gives the events away as they come. It owns nothing that outlives the call:
cancelling it closes the upstream connection, and it returns only once that is closed.

Events are pushed and not pulled: an asynchronous iterator would wake a task, and step through every layer above it, for
each token. What paces the upstream is the connection's `Pace`, not its reader.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from chat.events import ProviderEvent

DEFAULT_RETRIES = 2
DEFAULT_QUEUE = 100

Upstream = Literal["sse", "websocket", "ndjson", "local"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the menu shows it."""

    id: str
    label: str
    vision: bool = False
    reasoning: bool = False
    context: int | None = None
    """Tokens that it takes, question and answer together; None where nobody has said."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as it is sent upstream: its bytes, and `image/png`, `image/jpeg`, `image/webp` or `image/gif`."""

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation. The first may be `system`; then user and assistant; the last is the user's,
    or the assistant's unfinished one where the reply is to be continued. Pictures are the user's; an adapter whose
    upstream takes none raises UPSTREAM_REJECTED for them."""

    role: Literal["system", "user", "assistant"]
    text: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class Params:
    """Sampling parameters; None leaves the upstream's default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `connect`: until the upstream has accepted the connection; `first_token`: from the attempt's start to
    its first token; `idle`: between two tokens; `total`: the whole generation with all its attempts."""

    connect: float = 5.0
    first_token: float = 30.0
    idle: float = 30.0
    total: float = 120.0


class Source(Protocol):
    """A reading side that can be told to read again; it stops by itself after each read."""

    def resume(self) -> None: ...


class Pace(Protocol):
    """Says when one upstream connection may be read. `hold` returns False while bytes should be read as they come
    (before the first token); else it keeps the source, which then must stop reading until its `resume` is called."""

    def hold(self, source: Source) -> bool: ...


class Unpaced:
    """Read everything as it comes: for tests and for tools."""

    def hold(self, source: Source) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of a request as this model of this provider has counted them: of the system prompt and so many turns
    behind it."""

    provider: str
    model: str
    turns: int
    tokens: int


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to an upstream. `user` is an opaque stable id of ours, for the upstream's abuse checks. `counted`:
    what is known of the size of its beginning, the newest first; `left_out`: the oldest messages that `turns` don't
    have any more."""

    model: str
    turns: tuple[Turn, ...]
    params: Params = field(default_factory=Params)
    user: str = ""
    pace: Pace = field(default_factory=Unpaced)
    counted: tuple[Counted, ...] = ()
    left_out: int = 0


Take = Callable[[Sequence[ProviderEvent]], None]
"""Is called within the read of the socket, with what one read brought, never with nothing. It must not block."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What every provider is declared with, whatever its kind. `retries`: further attempts before the first token.
    `fallback`: names of the providers that are asked next. `concurrency`: runs at a time, of this process; None for
    any number; `queue`: how many may wait for their turn. `cache_seconds`: how long a reply to a deterministic question
    answers the same question again; 0 for never."""

    id: str
    label: str
    models: tuple[Model, ...]
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: int = DEFAULT_RETRIES
    fallback: tuple[str, ...] = ()
    concurrency: int | None = None
    queue: int = DEFAULT_QUEUE
    cache_seconds: float = 0.0


class Provider(ABC):
    """A configured upstream: one adapter, one address, one key. An adapter's constructor takes the profile, and by
    keyword what its kind has of its own."""

    kind: str
    upstream: Upstream

    prefills: bool = False
    """It goes on where an unfinished turn of the assistant's at the end breaks off: not from its beginning, and not
    with other words of its own."""

    personal: bool = False
    """What answers is told who asks, and may answer each person something else."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.id = profile.id
        self.label = profile.label
        self.models = profile.models
        self.timeouts = profile.timeouts
        self.retries = profile.retries
        self.fallback = profile.fallback

    @abstractmethod
    async def stream(self, request: ChatRequest, take: Take) -> None:
        """Gives `take` the reply as it comes: any number of Text, Reasoning and Usage, then one Finish as the last
        event but Usage; and returns when the upstream connection is closed.

        Deltas are never empty. Raises UpstreamError for everything that can go wrong, also for an end without the
        upstream's proper end mark, once what came before it has been given. What `take` raises ends the stream.
        Applies `timeouts.connect` itself; the other three are the caller's.
        """

    @property
    def adapters(self) -> Sequence[Provider]:
        """Who asks the upstream: one for each key."""
        return (self,)

    def resting(self, now: float) -> int:
        """How many of its keys rest, since they were refused. `now`: the loop's time, in seconds."""
        return 0

    async def aclose(self) -> None:
        """Frees what the provider keeps between requests: of most, nothing, since the HTTP transport is shared."""
