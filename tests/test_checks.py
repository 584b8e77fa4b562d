"""The checks of the settings: each finds its dangerous combination, names a way out, and leaves the safe ones alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, run_checks
from pytest_django import Settings

from chat import checks

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = ["chat.example.com"]
LOCAL = ["localhost", "127.0.0.1", "[::1]", "me.localhost", "127.0.0.7"]
STRONG = "0123456789abcdefghijklmnopqrstuvwxyz-strong"
SQLITE = "django.db.backends.sqlite3"
POSTGRES = "django.db.backends.postgresql"
REDIS = "redis://127.0.0.1:6379/0"

SAFE: dict[str, Any] = {
    "WORKERS": 1, "REDIS_URL": "", "DEBUG": False, "ALLOWED_HOSTS": LOCAL, "SECRET_KEY": STRONG,
    "SECRET_KEY_GENERATED": False, "CHAT_PROVIDERS_FILE": "", "CHAT_ON_DISCONNECT": "continue",
    "SESSION_COOKIE_SECURE": True, "LOG_FORMAT": "json",
}  # fmt: skip


def found() -> Sequence[CheckMessage]:
    return [message for message in run_checks() if (message.id or "").startswith("chat.")]


@pytest.fixture(autouse=True)
def postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that no check minds; nothing here connects to it."""
    monkeypatch.setitem(django_settings.DATABASES["default"], "ENGINE", POSTGRES)


def apply(settings: Settings, **values: Any) -> None:
    for name, value in {**SAFE, **values}.items():
        setattr(settings, name, value)


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        ("chat.E001", {"WORKERS": 2}),
        ("chat.E003", {"DEBUG": True, "ALLOWED_HOSTS": PUBLIC}),
        ("chat.E003", {"DEBUG": True, "ALLOWED_HOSTS": ["*"]}),
        ("chat.E003", {"DEBUG": True, "ALLOWED_HOSTS": ["192.168.1.5"]}),
        ("chat.E012", {"CHAT_WEBHOOK_HOSTS": ["hooks.example.com", "*"]}),
        ("chat.E008", {"SECRET_KEY": "short", "ALLOWED_HOSTS": PUBLIC}),
        ("chat.E008", {"SECRET_KEY": "x" * 60, "ALLOWED_HOSTS": PUBLIC}),
        ("chat.E008", {"SECRET_KEY": "django-insecure-" + STRONG, "ALLOWED_HOSTS": PUBLIC}),
        ("chat.E004", {"CHAT_PROVIDERS_FILE": "/nowhere/providers.toml"}),
        ("chat.E005", {"CHAT_ON_DISCONNECT": "perhaps"}),
        ("chat.E005", {"LOG_FORMAT": "colourful"}),
        ("chat.E006", {"REDIS_URL": "localhost:6379"}),
        ("chat.E007", {"CHAT_TICK_SECONDS": 0.0}),
        ("chat.E010", {"DATABASE_CONNECTIONS": 5, "CHAT_READ_THREADS": 4}),
        ("chat.W001", {"SECRET_KEY_GENERATED": True, "ALLOWED_HOSTS": PUBLIC}),
        ("chat.W003", {"SESSION_COOKIE_SECURE": False, "ALLOWED_HOSTS": PUBLIC}),
    ],
)
def test_a_dangerous_combination_is_found_alone_and_with_a_hint(
    expected: str, values: dict[str, Any], settings: Settings
) -> None:
    apply(settings, **values)
    messages = found()
    assert [message.id for message in messages] == [expected]
    assert messages[0].hint


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"DEBUG": True, "SECRET_KEY": "short"},
        {"ALLOWED_HOSTS": PUBLIC},
        {"SECRET_KEY_GENERATED": True},
        {"REDIS_URL": REDIS},
        {"REDIS_URL": REDIS, "WORKERS": 2},
        {"REDIS_URL": "redis+sentinel://127.0.0.1:26379/chat/0"},
        {"REDIS_URL": "redis+cluster://10.0.0.1:6379,10.0.0.2:6379"},
        {"CHAT_ON_DISCONNECT": "stop"},
    ],
)
def test_a_safe_combination_is_left_alone(values: dict[str, Any], settings: Settings) -> None:
    apply(settings, **values)
    assert not found()


def test_sqlite_with_redis_is_pointed_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(settings, REDIS_URL=REDIS)
    assert not found()
    monkeypatch.setitem(django_settings.DATABASES["default"], "ENGINE", SQLITE)
    assert [message.id for message in found()] == ["chat.W002"]


def test_sqlite_with_a_redis_elsewhere_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(settings, REDIS_URL="redis://:hush-hush@cache.example.com/0")
    assert not found()
    monkeypatch.setitem(django_settings.DATABASES["default"], "ENGINE", SQLITE)
    [message] = found()
    assert message.id == "chat.E002"
    assert message.hint
    assert "hush-hush" not in str(message)


def test_uvicorns_own_variable_counts_as_workers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(settings)
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert [message.id for message in found()] == ["chat.E001"]


def test_a_providers_file_that_is_wrong_is_named_with_its_fault(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "providers.toml"
    path.write_text("[providers.mine]\nkind = 5\n")
    apply(settings, CHAT_PROVIDERS_FILE=str(path))
    [message] = found()
    assert message.id == "chat.E004"
    assert str(path) in message.msg
    assert "mine" in message.msg


def test_the_password_in_an_address_is_not_shown(settings: Settings) -> None:
    apply(settings, REDIS_URL="http://:hush-hush@cache.example.com")
    [message] = found()
    assert message.id == "chat.E006"
    assert "hush-hush" not in str(message)


def test_a_kind_that_does_not_exist_is_found_before_the_start(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "providers.toml"
    path.write_text('[providers.mine]\nkind = "telepathy"\nbase_url = "https://ai.example.com"\nmodels = ["one"]\n')
    apply(settings, CHAT_PROVIDERS_FILE=str(path))
    [message] = found()
    assert message.id == "chat.E004"
    assert "telepathy" in message.msg


def test_a_provider_that_cannot_answer_is_pointed_out_and_one_whose_fallbacks_cannot(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (
        '[providers.{}]\nkind = "openai_chat"\nbase_url = "https://ai.example.com"\nmodels = ["m"]\napi_key = "{}"\n'
    )
    path = tmp_path / "providers.toml"
    path.write_text(table.format("one", "none") + 'fallback = ["two"]\n' + table.format("two", "env:KEY_OF_TWO"))
    apply(settings, CHAT_PROVIDERS_FILE=str(path))
    monkeypatch.setenv("KEY_OF_TWO", "a-secret")
    assert not found()
    monkeypatch.delenv("KEY_OF_TWO")
    assert [(message.id, message.msg) for message in found()] == [
        ("chat.W004", "Provider one has no fallback: two cannot answer."),
        ("chat.W004", "Provider two is off: the environment variable KEY_OF_TWO is not set."),
    ]


def test_the_documented_ids_are_those_that_exist() -> None:
    documented = re.findall(r"\b[EW]\d{3}\b", checks.__doc__ or "")
    source = Path(checks.__file__).read_text()
    assert set(documented) == set(re.findall(r'id="chat\.([EW]\d{3})"', source))


def test_the_defaults_are_clean() -> None:
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    ran = subprocess.run([sys.executable, "manage.py", "check"], cwd=ROOT, env=keep, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "no issues" in ran.stdout


def test_a_command_refuses_a_dangerous_combination(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "chatsite.settings",
        "SECRET_KEY": django_settings.SECRET_KEY,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'chat.sqlite3'}",
        "WORKERS": "2",
        "REDIS_URL": "",
    }
    ran = subprocess.run([sys.executable, "manage.py", "migrate"], cwd=ROOT, env=environment, capture_output=True)
    assert ran.returncode == 1
    assert b"chat.E001" in ran.stderr
    assert b"Applying" not in ran.stdout
