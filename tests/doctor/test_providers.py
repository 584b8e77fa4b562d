"""What the doctor says of the providers: which are off, and whether one is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from chat.models import ProviderSwitch
from chat.services.diagnosis.base import Level
from tests.doctor.examined import SECRET, examined
from tests.operator_command import USUAL_KEYS

pytestmark = pytest.mark.django_db(transaction=True)

PROVIDERS = """
[providers.one]
kind = "openai_chat"
base_url = "https://api.example.com/v1"
api_key = "env:KEY_OF_ONE"
models = ["m"]

[providers.two]
kind = "openai_chat"
base_url = "https://api.example.com/v1"
api_key = "env:KEY_OF_TWO"
models = ["m"]
"""


@pytest.fixture
def declared(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "providers.toml"
    file.write_text(PROVIDERS)
    settings.CHAT_PROVIDERS_FILE = str(file)
    monkeypatch.setenv("KEY_OF_ONE", SECRET)
    monkeypatch.setenv("KEY_OF_TWO", SECRET)


@pytest.mark.usefixtures("declared")
def test_ready_ones_are_counted() -> None:
    found = examined("providers")
    assert found["providers"].sentence == "2 providers are ready."
    assert {finding.level for finding in found.values()} == {Level.OK}


@pytest.mark.usefixtures("declared")
def test_a_missing_key_and_a_switch_are_told_and_a_last_one_that_is_off_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KEY_OF_TWO")
    found = examined("providers")
    assert found["providers.key"].level is Level.WARNING
    assert "two is off: the environment variable KEY_OF_TWO is not set." in found["providers.key"].sentence
    assert found["providers"].sentence == "1 provider is ready."
    ProviderSwitch.objects.create(provider="one", by=None)
    found = examined("providers")
    assert found["providers.switched_off"].sentence == "The provider one is switched off."
    assert found["providers.none"].level is Level.PROBLEM
    assert SECRET not in repr(found)


@pytest.mark.usefixtures("declared")
def test_a_key_of_several_that_is_not_there_is_a_warning(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(settings.CHAT_PROVIDERS_FILE)
    file.write_text(PROVIDERS.replace('"env:KEY_OF_TWO"', '["env:KEY_OF_ONE", "env:KEY_OF_TWO"]'))
    assert "providers.keys" not in examined("providers")
    monkeypatch.delenv("KEY_OF_TWO")
    finding = examined("providers")["providers.keys"]
    assert finding.level is Level.WARNING
    assert "two goes without its key 2: the environment variable KEY_OF_TWO is not set." in finding.sentence


def test_with_nothing_configured_there_are_demonstrations(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CHAT_PROVIDERS_FILE = ""
    for name in USUAL_KEYS:
        monkeypatch.delenv(name, raising=False)
    found = examined("providers")
    assert "demonstration models answer" in found["providers"].sentence
