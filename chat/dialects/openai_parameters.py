"""Which parameters of a chat completion this server heeds, which it may leave out, and which it must refuse.

Left out is what changes nothing in the answer. What would change it and cannot be had is refused with its name, unless
it asks for what is done anyway; so is what OpenAI's API does not know either, as that API does.

Source: the OpenAI API reference, "Create chat completion".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from chat.dialects.openai_errors import Refused
from chat.errors import InvalidRequest
from chat.providers.base import Params
from chat.services.requests import parse_params

NAME_CHARS = 100
"""Of an unknown parameter's name, in its refusal."""

HEEDED = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "store"),
        *("temperature", "top_p", "max_tokens", "max_completion_tokens"),
    }
)

LEFT_OUT = frozenset(
    {
        *("metadata", "user", "safety_identifier"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "prediction", "service_tier"),
        "parallel_tool_calls",
        "seed",  # it promises nothing
    }
)

AS_IT_IS: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "stop": ([], ""),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "modalities": (["text"],),
    "reasoning_effort": (),
    "verbosity": ("medium",),
    "audio": (),
    "web_search_options": (),
    "moderation": (),
}
"""What asks for nothing else than what is done anyway; every other value is refused. `null` is always good."""


def check_parameters(body: Mapping[str, Any]) -> None:
    """Raises Refused."""
    for name, value in body.items():
        if value is None or name in HEEDED or name in LEFT_OUT:
            continue
        if name not in AS_IT_IS:
            raise unknown(name)
        if not is_one_of(value, AS_IT_IS[name]):
            raise Refused(
                _("This server does not support this parameter. Please leave it out."), name, "unsupported_parameter"
            )


def is_one_of(value: Any, good: Sequence[Any]) -> bool:
    """As JSON tells values apart: to Python, `true` is 1."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in good)


def told_parameters(left_out: Iterable[str], as_it_is: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """For the schema: what else may stand in a request."""
    told: dict[str, Any] = {name: {"description": "Changes nothing here."} for name in sorted(left_out)}
    return told | {name: {"enum": [*good, None]} for name, good in as_it_is.items()}


def unknown(name: str) -> Refused:
    return Refused(_("There is no such parameter."), name[:NAME_CHARS], "unknown_parameter")


def flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Raises Refused."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refused(_("This must be true or false."), name, "invalid_type")
    return value


def wants_usage(body: Mapping[str, Any]) -> bool:
    """By `stream_options`. Raises Refused."""
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, Mapping):
        raise Refused(_("This must be an object."), "stream_options")
    return flag(options, "include_usage", default=False)


def sampling(body: Mapping[str, Any]) -> Params:
    """Raises InvalidRequest."""
    params = parse_params({"temperature": body.get("temperature"), "top_p": body.get("top_p")})
    bounds = [_max_tokens(body, name) for name in ("max_completion_tokens", "max_tokens")]
    return replace(params, max_tokens=next((bound for bound in bounds if bound is not None), None))


def _max_tokens(body: Mapping[str, Any], name: str) -> int | None:
    try:
        return parse_params({"max_tokens": body.get(name)}).max_tokens
    except InvalidRequest as error:
        raise Refused(error.message, name) from None
