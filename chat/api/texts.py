"""The texts of requests, as the schema tells clients of them. That they are so is looked after where they are used:
`check_text` says more of what is wrong than a pattern can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from ninja import Field
from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from chat.models.generation import KEY_CHARS

STORABLE = r"^[^\x00]*$"
"""No database takes NUL. Lone surrogates, which none takes either, are no text in UTF-8."""

_BLANKS = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What `str.strip` takes away, which is not the same as a pattern's own class of spaces."""

SAYING = rf"^[^\x00]*[^\x00{_BLANKS}][^\x00]*$"
"""The same with something to read in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """More of a field, for its schema alone: keywords and their values."""

    keywords: Mapping[str, Any]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), **self.keywords}


def told(**keywords: Any) -> Told:
    return Told(keywords)


Text = Annotated[str, told(pattern=STORABLE)]
Words = Annotated[str, told(pattern=SAYING)]
Name = Annotated[Text, Field(max_length=KEY_CHARS)]
"""Of a conversation, a provider, a model …: empty is as good as none."""

Key = Annotated[Text, Field(min_length=1, max_length=KEY_CHARS)]
"""What a client calls a request by."""
