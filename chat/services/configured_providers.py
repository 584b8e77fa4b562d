"""Which upstreams this installation has: what the server asks, and what the commands for the operator look at."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from chat.providers.registry import Registry
from chat.providers.shortfalls import shortfalls
from chat.providers.usual import usual_declarations
from chat.simulators.demonstration import Demonstration

logger = logging.getLogger(__name__)

Origin = Literal["file", "environment", "demonstration"]


@dataclass(frozen=True, slots=True)
class Configured:
    """`file`: the providers file, "" where there is none."""

    registry: Registry
    origin: Origin
    file: str = ""


async def configured(demonstration: Demonstration) -> Configured:
    """For a server, whose log says what cannot answer. From the providers file; without one, from the keys in the
    environment; without those, for demonstration, which is started then. The registry is the caller's to close. Raises
    ProvidersFileError."""
    found = await _configured(demonstration)
    for shortfall in shortfalls(found.registry):
        logger.warning("%s", shortfall)
    return found


async def _configured(demonstration: Demonstration) -> Configured:
    if settings.CHAT_PROVIDERS_FILE:
        return Configured(Registry.from_file(settings.CHAT_PROVIDERS_FILE), "file", settings.CHAT_PROVIDERS_FILE)
    if usual := usual_declarations(os.environ):
        return Configured(Registry(usual, os.environ), "environment")
    return Configured(Registry(await demonstration.start(), os.environ), "demonstration")


@asynccontextmanager
async def configured_for_a_while() -> AsyncIterator[Configured]:
    """For a command: with the demonstration upstreams of its own where nothing is configured."""
    demonstration = Demonstration()
    try:
        found = await _configured(demonstration)
        try:
            yield found
        finally:
            await found.registry.aclose()
    finally:
        await demonstration.aclose()
