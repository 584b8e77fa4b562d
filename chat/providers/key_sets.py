"""The keys of a provider, read from where its declaration says they are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from chat.providers.declaration import Declaration, MissingSecret

logger = logging.getLogger(__name__)

KeySet = Mapping[str, str | None]
"""The secrets of one key by their names; None for an upstream that wants no key."""


@dataclass(frozen=True, slots=True)
class KeySets:
    """At least one. `missing`: why the provider has no good key, else None; the one set is of empty texts then.
    `left_out`: of several, which are not there, by their numbers from 1 on, and why."""

    sets: tuple[KeySet, ...]
    missing: str | None = None
    left_out: Mapping[int, str] = field(default_factory=dict)


def read(declaration: Declaration, environment: Mapping[str, str]) -> KeySets:
    """A secret of one value belongs to every set. Sets that lack a secret are left out as long as there is another."""
    secrets = declaration.secrets
    sets: list[KeySet] = []
    missing: dict[int, str] = {}
    for number in range(1, declaration.keys + 1):
        try:
            sets.append(_read_one(declaration, number, environment))
        except MissingSecret as error:
            missing[number] = str(error)
    if not sets:
        return KeySets((dict.fromkeys(secrets, ""),), missing[1])
    for words in missing.values():
        # Behind the key's name, the log would take the words for the key itself.
        logger.warning("provider %s goes without one of its keys: %s", declaration.id, words.partition(": ")[2])
    return KeySets(tuple(sets), left_out=missing)


def _read_one(declaration: Declaration, number: int, environment: Mapping[str, str]) -> KeySet:
    found: dict[str, str | None] = {}
    for name, values in declaration.secrets.items():
        try:
            found[name] = values[number - 1 if len(values) > 1 else 0].read(environment)
        except MissingSecret as missing:
            raise MissingSecret(f"{name}: {missing}") from None
    return found
