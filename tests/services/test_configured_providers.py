"""What a server finds at its start, and what its log says of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pytest_django import Settings

from chat.services.configured_providers import configured, configured_for_a_while
from chat.simulators.demonstration import Demonstration

PROVIDERS = """
[providers.one]
kind = "openai_chat"
base_url = "https://api.example.com/v1"
api_key = "none"
models = ["m"]
fallback = ["two"]

[providers.two]
kind = "openai_chat"
base_url = "https://api.example.com/v1"
api_key = "env:KEY_THAT_IS_NOT_THERE"
models = ["m"]
"""


async def test_a_start_tells_once_who_cannot_answer_and_a_command_does_not(
    tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "providers.toml"
    file.write_text(PROVIDERS)
    settings.CHAT_PROVIDERS_FILE = str(file)
    with caplog.at_level(logging.WARNING):
        async with configured_for_a_while():
            pass
        assert not caplog.messages
        found = await configured(Demonstration())
        await found.registry.aclose()
    assert caplog.messages == [
        "provider one has no fallback: two cannot answer",
        "provider two is off: the environment variable KEY_THAT_IS_NOT_THERE is not set",
    ]
