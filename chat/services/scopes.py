"""What an API key may do. A person's own sign-in, by a session or by tokens, has no scopes: it may do everything."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    READ = "read"
    """To look: whatever changes nothing, and to follow replies."""

    CHAT = "chat"
    """To send, and to change conversations, messages and replies."""


ALL = frozenset(Scope)
