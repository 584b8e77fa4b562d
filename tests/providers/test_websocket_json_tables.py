"""Tables of `websocket_json` that cannot be meant: each is refused when it is read, and told which key is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chat.providers.providers_file import ProvidersFileError
from tests.providers.json_upstream import registry_of

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"auth": "basic"}, "auth"),
    ({"auth": "header:X Key"}, "auth"),
    ({"auth": "header:Host"}, "auth"),
    ({"auth": "header:content-length"}, "auth"),
    ({"auth": "header:UPGRADE"}, "auth"),
    ({"auth": "header:Sec-WebSocket-Key"}, "auth"),
    ({"auth": "field:messages"}, "'messages' would be set twice"),
    ({"auth": "field:model.key"}, "leads through 'model'"),
    ({"request": {"message": "m"}}, "request has an unknown key 'message'"),
    ({"request": {"messages": ""}}, r"request\.messages must be"),
    ({"request": {"system": "last"}}, r"request\.system must be"),
    ({"request": {"roles": {"tool": "x"}}}, "tool"),
    ({"request": {"model": "messages"}}, "'messages' would be set twice"),
    ({"request": {"extra": {"model": "x"}}}, "'model' would be set twice"),
    ({"request": {"top_p": "temperature.top_p"}}, "leads through 'temperature'"),
    ({"reply": {"delta": "a..b"}}, r"reply\.delta must be"),
    ({"reply": {"delta": "a", "full": "b"}}, "either `delta` or `full`"),
    ({"reply": {"end": ""}}, "nothing ends a reply"),
    ({"reply": {"end": {"value": "done"}}}, "field"),
    ({"reply": {"errors": {"7": "odd"}}}, "odd"),
    ({"reply": {"finishes": {"cap": "cancelled"}}}, "cancelled"),
]


@pytest.mark.parametrize(("table", "words"), WRONG, ids=[json.dumps(case[0]) for case in WRONG])
def test_a_table_that_cannot_be_meant_is_refused_when_it_is_read(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ProvidersFileError, match=words) as refused:
        registry_of(table)
    assert f"[providers.main] {next(iter(table))}" in str(refused.value)
