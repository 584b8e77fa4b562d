"""The models by one name each, for clients that know no providers.

A model is called by its own id; where two providers have the same, the second one's is "provider/model". Under this
longer name every model can be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chat.providers.registry import Registry


@dataclass(frozen=True, slots=True)
class NamedModel:
    name: str
    provider: str


def names(registry: Registry) -> Iterator[NamedModel]:
    """Of all that can be chosen, in the order of their declaration."""
    taken = set()
    for provider in registry.providers.values():
        if registry.state(provider.id) == "off":
            continue
        for model in provider.models:
            yield NamedModel(f"{provider.id}/{model.id}" if model.id in taken else model.id, provider.id)
            taken.add(model.id)


def named(registry: Registry, name: str) -> tuple[str, str]:
    """Provider and model, by their ids. Raises UnknownModel."""
    for provider in registry.providers.values():
        own = name.removeprefix(f"{provider.id}/")
        if own != name and not _is_id(registry, name):
            chosen, model = registry.choose(provider.id, own)
            return chosen.id, model.id
    chosen, model = registry.choose(None, name)
    return chosen.id, model.id


def _is_id(registry: Registry, name: str) -> bool:
    return any(model.id == name for provider in registry.providers.values() for model in provider.models)
