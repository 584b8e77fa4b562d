"""`providers.toml`: read, checked, and turned into declarations. An error names the file, the provider and the key."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chat.providers.base import DEFAULT_QUEUE, DEFAULT_RETRIES, Model, Profile, Timeouts
from chat.providers.declaration import Declaration, Secret
from chat.providers.near_word import did_you_mean

COMMON_KEYS = frozenset(
    {"kind", "label", "base_url", "models", "fallback", "timeout", "retries", "concurrency", "queue", "cache"}
)
SECRET_KEYS = frozenset({"api_key", "api_secret", "app_id"})
MODEL_KEYS = ("id", "label", "vision", "reasoning", "context")
RETRIES_MOST = 10
CONCURRENCY_MOST = 100_000
QUEUE_MOST = 10_000
KEYS_MOST = 100
"""Of one provider, used by turns."""

CACHE_DAYS_MOST = 30
CONTEXT_LEAST = 16
FIRST_TOKEN_PART = 0.75
"""Of a `total` that leaves the default of `first_token` no room."""

PROVIDER_CHARS = 100
MODEL_CHARS = 200
"""Of an id: what the database keeps of it."""


class ProvidersFileError(ValueError):
    """What is wrong, where, and what to do; never a secret."""


def read(path: str | os.PathLike[str]) -> list[Declaration]:
    """Raises ProvidersFileError."""
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ProvidersFileError(f"{path}: cannot be read ({error.strerror}). Set CHAT_PROVIDERS_FILE.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProvidersFileError(f"{path}: is not TOML: {error}") from None
    return declarations_of(document, path)


def declarations_of(document: Mapping[str, Any], path: str | os.PathLike[str]) -> list[Declaration]:
    """Of a document that has been read from `path`. Raises ProvidersFileError."""
    unknown = document.keys() - {"providers"}
    if unknown:
        raise ProvidersFileError(f"{path}: {min(unknown)!r} is unknown. Everything stands under [providers.NAME].")
    tables = document.get("providers")
    if not isinstance(tables, dict) or not tables:
        raise ProvidersFileError(f"{path}: declares no provider. Add a table such as [providers.openai].")
    declarations = [_declaration(_Table(str(path), name, table)) for name, table in tables.items()]
    names = {declaration.id for declaration in declarations}
    for declaration in declarations:
        for name in declaration.profile.fallback:
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
            raise self.error(key, self.missing(key) or "must be a text that is not empty.")
        return value

    def missing(self, key: str) -> str:
        """That it is, with the unknown one that may be it; "" where it is there."""
        if key in self.table:
            return ""
        near = next((name for name in self.table.keys() - COMMON_KEYS if did_you_mean(name, [key])), None)
        return "is missing." if near is None else f"is missing: did you mean it by {near!r}?"

    def whole(self, key: str, least: int, most: int, default: int | None = None) -> int:
        value = self.table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.error(key, f"must be a whole number from {least} to {most}.")
        return value


def _declaration(table: _Table) -> Declaration:
    fallback = table.table.get("fallback", [])
    if not isinstance(fallback, list) or not all(isinstance(name, str) for name in fallback):
        raise table.error("fallback", 'must be a list of provider names, such as ["qwen"].')
    if (name := _twice(fallback)) is not None:
        raise table.error("fallback", f"names {name!r} twice. Remove one.")
    if "queue" in table.table and "concurrency" not in table.table:
        raise table.error("queue", "needs concurrency beside it: without a limit nobody waits.")
    profile = Profile(
        id=table.name,
        label=table.text("label", table.name),
        models=_models(table),
        timeouts=_timeouts(table),
        retries=table.whole("retries", 0, RETRIES_MOST, DEFAULT_RETRIES),
        fallback=tuple(fallback),
        concurrency=table.whole("concurrency", 1, CONCURRENCY_MOST) if "concurrency" in table.table else None,
        queue=table.whole("queue", 0, QUEUE_MOST, DEFAULT_QUEUE),
        cache_seconds=_cache_seconds(table),
    )
    return Declaration(
        kind=table.text("kind"),
        profile=profile,
        base_url=_base_url(table),
        secrets=_secrets(table),
        options={key: value for key, value in table.table.items() if key not in COMMON_KEYS and key not in SECRET_KEYS},
    )


def _cache_seconds(table: _Table) -> float:
    """From "90s", "10m", "2h" or "1d"; "off", the default, is 0."""
    value = table.table.get("cache", "off")
    if value == "off":
        return 0.0
    match = re.fullmatch(r"([1-9]\d{0,8})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise table.error("cache", 'must be a time such as "90s", "10m", "2h" or "1d", or "off".')
    seconds = int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
    if seconds > CACHE_DAYS_MOST * 86400:
        raise table.error("cache", f"must not be longer than {CACHE_DAYS_MOST} days.")
    return float(seconds)


def _models(table: _Table) -> tuple[Model, ...]:
    models = table.table.get("models")
    if not isinstance(models, list) or not models:
        raise table.error(
            "models", table.missing("models") or 'must be a list with at least one model, such as ["gpt-x"].'
        )
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
    unknown = model.keys() - set(MODEL_KEYS)
    if unknown:
        meant = did_you_mean(min(unknown), MODEL_KEYS)
        there_are = f"There are {', '.join(MODEL_KEYS)}."
        raise table.error("models", f"{model['id']!r} has an unknown key {min(unknown)!r}.{meant} {there_are}")
    label = model.get("label", model["id"])
    vision, reasoning = model.get("vision", False), model.get("reasoning", False)
    if not isinstance(label, str) or not label:
        raise table.error("models", f"{model['id']!r}: label must be a text that is not empty.")
    if not isinstance(vision, bool) or not isinstance(reasoning, bool):
        raise table.error("models", f"{model['id']!r}: vision and reasoning must be true or false.")
    context = model.get("context")
    if context is not None and (not isinstance(context, int) or isinstance(context, bool) or context < CONTEXT_LEAST):
        raise table.error("models", f"{model['id']!r}: context must be a whole number of tokens from {CONTEXT_LEAST}.")
    return Model(model["id"], label, vision, reasoning, context)


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
    if "#" in value:
        raise table.error("base_url", "must hold no fragment. Remove what begins with #.")
    return value


def _secrets(table: _Table) -> dict[str, tuple[Secret, ...]]:
    secrets = {key: _secret(table, key) for key in sorted(SECRET_KEYS & table.table.keys())}
    several = {len(values) for values in secrets.values() if len(values) > 1}
    if len(several) > 1:
        raise table.error(" and ".join(secrets), "must be lists of the same length: each set of them is one key.")
    return secrets


def _secret(table: _Table, key: str) -> tuple[Secret, ...]:
    value = table.table[key]
    sources = value if isinstance(value, list) else [value]
    if not 0 < len(sources) <= KEYS_MOST:
        raise table.error(key, f"must name 1 to {KEYS_MOST} keys.")
    secrets = tuple(_one_secret(table, key, source) for source in sources)
    given = [secret.source for secret in secrets]
    if len(given) > 1 and "none" in given:
        raise table.error(key, 'must not hold "none" beside others: either there are keys, or none is wanted.')
    if (source := _twice(given)) is not None:
        raise table.error(key, f'names "{source}" twice. Remove one.')
    return secrets


def _twice(names: Sequence[str]) -> str | None:
    """The first that is there more than once."""
    return next((name for at, name in enumerate(names) if name in names[:at]), None)


def _one_secret(table: _Table, key: str, source: Any) -> Secret:
    if isinstance(source, str):
        kind, _colon, name = source.partition(":")
        if kind == "file" and name:
            return Secret(f"file:{Path(table.path).parent / name}")
        if source == "none" or (kind == "env" and name):
            return Secret(source)
    raise table.error(
        key, 'must be "env:NAME", "file:PATH" or "none", or a list of them: a secret does not stand in this file.'
    )


def _timeouts(table: _Table) -> Timeouts:
    given = table.table.get("timeout", {})
    known = ("connect", "first_token", "idle", "total")
    if not isinstance(given, dict):
        raise table.error("timeout", f"must be a table of seconds with the keys {', '.join(known)}.")
    if unknown := given.keys() - set(known):
        meant = did_you_mean(min(unknown), known)
        raise table.error("timeout", f"has an unknown key {min(unknown)!r}.{meant} There are {', '.join(known)}.")
    for name, value in given.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            raise table.error(f"timeout.{name}", "must be a number of seconds above 0.")
    timeouts = Timeouts(**{name: float(value) for name, value in given.items()})
    if "first_token" not in given and timeouts.first_token >= timeouts.total:
        # Else the time would be over before a fallback is asked.
        return replace(timeouts, first_token=timeouts.total * FIRST_TOKEN_PART)
    return timeouts
