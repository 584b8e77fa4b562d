"""What a request for a response may hold, for the schema: the fields are checked one by one, with errors that name
them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from ninja import Field, Schema
from pydantic import ConfigDict

from chat.api.texts import STORABLE, Name, Text, Words, told
from chat.dialects.openai_parameters import told_parameters
from chat.models.conversation import SYSTEM_CHARS
from chat.services.requests import MAX_TOKENS_MOST

METADATA_PAIRS, METADATA_NAME_CHARS, METADATA_VALUE_CHARS = 16, 64, 512
"""As OpenAI bounds them."""

Metadata = Annotated[
    dict[str, Annotated[Text, Field(max_length=METADATA_VALUE_CHARS)]],
    told(maxProperties=METADATA_PAIRS, propertyNames={"pattern": STORABLE, "maxLength": METADATA_NAME_CHARS}),
]

LEFT_OUT = frozenset(
    {
        *("access_programs", "user", "safety_identifier", "service_tier", "stream_options", "background_options"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "context_management", "truncation"),
        *("parallel_tool_calls", "max_tool_calls", "image"),
    }
)
"""What changes nothing in the answer, where there are neither tools nor pictures. `null` is always good."""

AS_IT_IS: Mapping[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("auto", "none"),
    "conversation": (),
    "prompt": (),
    "moderation": (),
    "top_logprobs": (0,),
}
"""What asks for nothing else than what is done anyway; every other value is refused. `null` is always good."""

NOT_INCLUDED = "message.output_text.logprobs"
"""What a response cannot include; nothing else that might be asked for is ever there."""


class ResponseTextPart(Schema):
    type: Literal["input_text", "output_text", "text"]
    text: Text


class ResponseRefusalPart(Schema):
    type: Literal["refusal"]
    refusal: Text


class ResponseMessage(Schema):
    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Text | list[ResponseTextPart | ResponseRefusalPart]


class ResponseReasoning(Schema):
    """What a model has thought; it is left out."""

    type: Literal["reasoning"]


class ResponseTextOptions(Schema):
    format: Any = Field(None, json_schema_extra={"enum": [{"type": "text"}, None]})
    verbosity: Literal["medium"] | None = None


class ResponseReasoningOptions(Schema):
    effort: None = None


def _tell_others(schema: dict[str, Any]) -> None:
    others = told_parameters(LEFT_OUT, AS_IT_IS)
    others["include"] = {"type": ["array", "null"], "items": {"not": {"const": NOT_INCLUDED}}}
    schema["properties"] |= others
    # One in the background must be stored.
    schema["not"] = {
        "properties": {"background": {"const": True}, "store": {"const": False}},
        "required": ["background", "store"],
    }


class ResponseRequestBody(Schema):
    """A request for a response."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_tell_others)

    model: Name = Field(description="A model's id, or `provider/model`.")
    input: Words | Annotated[list[ResponseMessage | ResponseReasoning], told(minItems=1)] = Field(
        description="A text, or messages; the last is the user's."
    )
    instructions: Annotated[Text, told(maxLength=SYSTEM_CHARS)] | None = Field(
        None, description="The system prompt of this response alone."
    )
    previous_response_id: Name | None = Field(None, description="The response that this one continues.")
    stream: bool | None = None
    background: bool | None = Field(None, description="Answered at once; it can be polled, followed and cancelled.")
    store: bool | None = Field(None, description="`false`: in no list, and deleted some time after the reply.")
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_output_tokens: int | None = Field(None, ge=1, le=MAX_TOKENS_MOST)
    text: ResponseTextOptions | None = None
    reasoning: ResponseReasoningOptions | None = None
    metadata: Metadata | None = Field(None, description="Texts, which the response repeats.")
