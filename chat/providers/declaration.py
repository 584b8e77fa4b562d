"""A provider as it was declared, in a providers file or by the keys in the environment, before it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chat.providers.base import Profile

SECRET_CHARS = 16 * 1024
"""Read of a secret's file: far more than any key has."""


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
    """One provider as it was declared. `options` are its kind's own keys. A secret of several values stands for as
    many keys, which are used by turns."""

    kind: str
    profile: Profile
    base_url: str
    secrets: Mapping[str, tuple[Secret, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.profile.id

    @property
    def keys(self) -> int:
        """How many are used by turns; 1 also where none is wanted."""
        return max((len(values) for values in self.secrets.values()), default=1)
