"""Who asks for a reply."""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Author:
    """The account, the language for the words of a failure, and the socket, if it is one. `key`: the API key that was
    shown, if one was; `address`: where the request comes from, as rates count it."""

    user: uuid.UUID
    language: str
    origin: str = ""
    key: uuid.UUID | None = None
    address: str = ""
