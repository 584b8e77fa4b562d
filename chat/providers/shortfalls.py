"""What of the declared providers cannot answer from the start on."""

from __future__ import annotations

from collections.abc import Iterator

from chat.providers.registry import Registry


def shortfalls(registry: Registry) -> Iterator[str]:
    """In English and for the operator, without a full stop: who is off for want of a key, and whose fallbacks are all
    off."""
    for id, provider in registry.providers.items():
        if (missing := registry.missing_key(id)) is not None:
            # Behind the key's name, the log would take the words for the key itself.
            yield f"provider {id} is off: {missing.partition(': ')[2]}"
        if provider.fallback and not any(registry.fallbacks(provider)):
            yield f"provider {id} has no fallback: {', '.join(provider.fallback)} cannot answer"
