"""The deadlines of a providers file: those that are given, and what the others are beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.providers import providers_file
from chat.providers.base import Timeouts

TABLE = """
[providers.one]
kind = "openai_chat"
base_url = "http://127.0.0.1:1/v1"
api_key = "none"
models = ["m"]
timeout = {timeout}
"""


def timeouts(path: Path, timeout: str) -> Timeouts:
    file = path / "providers.toml"
    file.write_text(TABLE.replace("{timeout}", timeout))
    (declaration,) = providers_file.read(file)
    return declaration.profile.timeouts


@pytest.mark.parametrize(
    ("timeout", "first_token"),
    [
        ("{}", 30.0),
        ("{ total = 31 }", 30.0),
        ("{ total = 30 }", 22.5),
        ("{ total = 8, idle = 2 }", 6.0),
        ("{ total = 8, first_token = 8 }", 8.0),
        ("{ total = 8, first_token = 100 }", 100.0),
    ],
)
def test_a_total_leaves_fallbacks_a_part_of_it_unless_it_is_said_otherwise(
    tmp_path: Path, timeout: str, first_token: float
) -> None:
    assert timeouts(tmp_path, timeout).first_token == first_token
