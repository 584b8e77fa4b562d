"""`providers.toml`: read, checked, and turned into declarations. An error names the file, the provider and the key."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chat.providers.base import Model, Timeouts

COMMON_KEYS = frozenset({"kind", "label", "base_url", "models", "fallback", "timeout", "retries"})
SECRET_KEYS = frozenset({"api_key", "api_secret", "app_id"})
DEFAULT_RETRIES = 2
RETRIES_MOST = 10
PROVIDER_CHARS = 100
MODEL_CHARS = 200
"""Of an id: what the database keeps of it."""

SECRET_CHARS = 16 * 1024
"""Read of a secret's file: far more than any key has."""


class ProvidersFileError(ValueError):
    """What is wrong, where, and what to do; never a secret."""


class MissingSecret(Exception):
    """A key that is looked for elsewhere is not there; the words say where."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is, or the secret itself; it shows itself nowhere."""

    source: str
    value: str | None = field(default=None, repr=False)

    def read(self, environment: Mapping[str, str]) -> str | None:
        """None for an upstream that wants no key. Raises MissingSecret."""
        if self.value is not None:
            return self.value
        kind, _colon, name = self.source.partition(":")
        if kind == "none":
            return None
        if kind == "env":
            value, place = environment.get(name, "").strip(), f"the environment variable {name}"
            if not value:
                raise MissingSecret(f"{place} is not set")
        else:
            value, place = _content(name), f"the file {name}"
            if not value:
                raise MissingSecret(f"{place} is empty")
        # It goes into a header or an address, where a line break would be a hole.
        if not (value.isascii() and value.isprintable()):
            raise MissingSecret(f"{place} holds characters that no key has")
        return value


def _content(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(SECRET_CHARS).strip()
    except (OSError, UnicodeDecodeError):
        raise MissingSecret(f"the file {path} cannot be read") from None


@dataclass(frozen=True, slots=True)
class Declaration:
    """One provider as it was declared. `options` are its kind's own keys."""

    id: str
    kind: str
    label: str
    base_url: str
    models: tuple[Model, ...]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    fallback: tuple[str, ...] = ()
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: int = DEFAULT_RETRIES


def read(path: str | os.PathLike[str]) -> list[Declaration]:
    """Raises ProvidersFileError."""
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ProvidersFileError(f"{path}: cannot be read ({error.strerror}). Set CHAT_PROVIDERS_FILE.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProvidersFileError(f"{path}: is not TOML: {error}") from None
    unknown = document.keys() - {"providers"}
    if unknown:
        raise ProvidersFileError(f"{path}: {min(unknown)!r} is unknown. Everything stands under [providers.NAME].")
    tables = document.get("providers")
    if not isinstance(tables, dict) or not tables:
        raise ProvidersFileError(f"{path}: declares no provider. Add a table such as [providers.openai].")
    declarations = [_declaration(_Table(str(path), name, table)) for name, table in tables.items()]
    names = {declaration.id for declaration in declarations}
    for declaration in declarations:
        for name in declaration.fallback:
            if name not in names:
                raise ProvidersFileError(
                    f"{path}: [providers.{declaration.id}] fallback names {name!r}, which is not declared. "
                    f"Declared are {', '.join(names)}."
                )
            if name == declaration.id:
                raise ProvidersFileError(f"{path}: [providers.{name}] fallback names itself. Name another provider.")
    return declarations


class _Table:
    """One provider's table, with errors that name it."""

    def __init__(self, path: str, name: str, table: Any) -> None:
        self.path = path
        self.name = name
        if not 0 < len(name) <= PROVIDER_CHARS:
            raise self.error("", f"must have a name of 1 to {PROVIDER_CHARS} characters.")
        if not isinstance(table, dict):
            raise self.error("", "is not a table.")
        self.table: dict[str, Any] = table

    def error(self, key: str, what: str) -> ProvidersFileError:
        return ProvidersFileError(f"{self.path}: [providers.{self.name}] {key} {what}".replace("]  ", "] "))

    def text(self, key: str, default: str | None = None) -> str:
        value = self.table.get(key, default)
        if not isinstance(value, str) or not value:
            raise self.error(key, "is missing." if key not in self.table else "must be a text that is not empty.")
        return value


def _declaration(table: _Table) -> Declaration:
    retries = table.table.get("retries", DEFAULT_RETRIES)
    if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries <= RETRIES_MOST:
        raise table.error("retries", f"must be a whole number from 0 to {RETRIES_MOST}.")
    fallback = table.table.get("fallback", [])
    if not isinstance(fallback, list) or not all(isinstance(name, str) for name in fallback):
        raise table.error("fallback", 'must be a list of provider names, such as ["qwen"].')
    return Declaration(
        id=table.name,
        kind=table.text("kind"),
        label=table.text("label", table.name),
        base_url=_base_url(table),
        models=_models(table),
        secrets={key: _secret(table, key) for key in sorted(SECRET_KEYS & table.table.keys())},
        options={key: value for key, value in table.table.items() if key not in COMMON_KEYS and key not in SECRET_KEYS},
        fallback=tuple(fallback),
        timeouts=_timeouts(table),
        retries=retries,
    )


def _models(table: _Table) -> tuple[Model, ...]:
    models = table.table.get("models")
    if not isinstance(models, list) or not models:
        raise table.error("models", 'must be a list with at least one model, such as ["gpt-x"].')
    known = tuple(_model(table, model) for model in models)
    ids = [model.id for model in known]
    for model_id in ids:
        if ids.count(model_id) > 1:
            raise table.error("models", f"holds {model_id!r} twice. Remove one.")
        if len(model_id) > MODEL_CHARS:
            raise table.error("models", f"holds an id of more than {MODEL_CHARS} characters.")
    return known


def _model(table: _Table, model: Any) -> Model:
    if isinstance(model, str) and model:
        return Model(model, model)
    if not isinstance(model, dict) or not isinstance(model.get("id"), str) or not model["id"]:
        raise table.error("models", "holds what is neither a name nor a table with an `id`.")
    unknown = model.keys() - {"id", "label", "vision", "reasoning"}
    if unknown:
        raise table.error("models", f"{model['id']!r} has an unknown key {min(unknown)!r}.")
    label = model.get("label", model["id"])
    vision, reasoning = model.get("vision", False), model.get("reasoning", False)
    if not isinstance(label, str) or not label:
        raise table.error("models", f"{model['id']!r}: label must be a text that is not empty.")
    if not isinstance(vision, bool) or not isinstance(reasoning, bool):
        raise table.error("models", f"{model['id']!r}: vision and reasoning must be true or false.")
    return Model(model["id"], label, vision, reasoning)


def _base_url(table: _Table) -> str:
    value = table.text("base_url")
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 (it is read to be checked)
    except ValueError:
        raise table.error("base_url", "is no address.") from None
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        raise table.error("base_url", 'must be an address such as "https://api.example.com/v1".')
    if parts.username is not None or parts.query:
        raise table.error("base_url", "must hold no credentials and no query. Keys have keys of their own.")
    return value


def _secret(table: _Table, key: str) -> Secret:
    value = table.text(key)
    kind, _colon, name = value.partition(":")
    if kind == "file" and name:
        return Secret(f"file:{Path(table.path).parent / name}")
    if value == "none" or (kind == "env" and name):
        return Secret(value)
    raise table.error(key, 'must be "env:NAME", "file:PATH" or "none": a secret does not stand in this file.')


def _timeouts(table: _Table) -> Timeouts:
    given = table.table.get("timeout", {})
    known = ("connect", "first_token", "idle", "total")
    if not isinstance(given, dict) or not given.keys() <= set(known):
        raise table.error("timeout", f"must be a table of seconds with the keys {', '.join(known)}.")
    for name, value in given.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            raise table.error(f"timeout.{name}", "must be a number of seconds above 0.")
    return Timeouts(**{name: float(value) for name, value in given.items()})
