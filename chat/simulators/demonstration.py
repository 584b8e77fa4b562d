"""The demonstration models: real adapters, real loopback sockets, simulated upstreams, and no key needed."""

from __future__ import annotations

import secrets

from chat.providers.base import Model, Profile
from chat.providers.declaration import Declaration, Secret
from chat.simulators.openai_chat import OpenAIChatSimulator
from chat.simulators.spark import SparkSimulator


class Demonstration:
    """Start it for its declarations; it serves until it is closed. Its credentials are made up at each start."""

    def __init__(self) -> None:
        self._api_key = secrets.token_urlsafe(16)
        self._api_secret = secrets.token_urlsafe(16)
        self._openai = OpenAIChatSimulator(self._api_key)
        self._spark = SparkSimulator(self._api_key, self._api_secret)

    async def start(self) -> list[Declaration]:
        await self._openai.start()
        await self._spark.start()
        model = Model("demo", "Demonstration")
        return [
            Declaration(
                "openai_chat",
                Profile("demo-sse", "Demonstration (SSE)", (model,)),
                self._openai.url,
                secrets={"api_key": (Secret("demonstration", self._api_key),)},
                options={"prefill": "prefix"},
            ),
            Declaration(
                "spark",
                Profile("demo-websocket", "Demonstration (WebSocket)", (model,)),
                self._spark.url,
                secrets={
                    "app_id": (Secret("demonstration", "demo"),),
                    "api_key": (Secret("demonstration", self._api_key),),
                    "api_secret": (Secret("demonstration", self._api_secret),),
                },
            ),
        ]

    async def aclose(self) -> None:
        await self._openai.aclose()
        await self._spark.aclose()
