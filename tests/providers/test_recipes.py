"""What the documents tell people to write into a providers file can be written there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from chat.providers.providers_file import declarations_of
from chat.providers.registry import KINDS, Registry

ROOT = Path(__file__).parents[2]
RECIPES = {
    f"{name}-{number}": block
    for name in ("README.md", "docs/providers.md")
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", (ROOT / name).read_text(), re.DOTALL), 1)
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
async def test_a_recipe_makes_a_provider_that_is_ready(recipe: str) -> None:
    registry = Registry(declarations_of(tomllib.loads(recipe), "the recipe"), EverythingSet())
    try:
        assert {registry.state(name) for name in registry.providers} == {"ready"}
    finally:
        await registry.aclose()


def test_every_kind_has_a_recipe() -> None:
    told = {provider["kind"] for recipe in RECIPES.values() for provider in tomllib.loads(recipe)["providers"].values()}
    assert told == set(KINDS)


class EverythingSet(dict[str, str]):
    """An environment in which each variable is set."""

    def get(self, name: str, default: object = None) -> str:
        return "a-key"
