"""A server of a module's own, with a simulated upstream behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.chat_server import ChatServer
from tests.server_database import ServerDatabase

KEY = "key-of-the-upstream"

PROVIDERS = """
[providers.simulated]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:UPSTREAM_KEY"
models = {models}
retries = 0
"""


class SimulatedServer(ChatServer):
    def __init__(self, directory: Path, upstream: OpenAIChatSimulator, environment: dict[str, str]) -> None:
        super().__init__(directory, environment | {"UPSTREAM_KEY": KEY})
        self.upstream = upstream

    def asked(self) -> list[dict[str, str]]:
        """The messages that the upstream was sent last."""
        messages: list[dict[str, str]] = self.upstream.connections[-1].request["messages"]
        return messages


@asynccontextmanager
async def simulated_server(
    directory: Path, prepared: ServerDatabase, models: Iterable[str], providers: str = PROVIDERS, **environment: str
) -> AsyncIterator[SimulatedServer]:
    """Not started yet. `providers` is TOML with `{url}` and `{models}`."""
    upstream = OpenAIChatSimulator(KEY)
    await upstream.start()
    server = SimulatedServer(directory, upstream, environment)
    try:
        server.declare(providers.format(url=upstream.url, models=json.dumps(list(models))))
        server.prepare(prepared)
        yield server
    finally:
        server.close()
        await upstream.aclose()
