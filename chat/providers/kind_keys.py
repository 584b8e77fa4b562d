"""The keys of a provider's table that its kind has of its own: which there are, and their values as its adapter wants
them. What is wrong with a value is told by what would be right."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from chat.providers.base import Provider
from chat.providers.near_word import did_you_mean

_PLAIN: Mapping[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}
_STEP = re.compile(r"\.(\w+)|(\[)")
"""Of a place that msgspec names, such as `$.request.roles[...]`."""

_OF_A_KEY = "`key` in "
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_NO_SUCH_WORD = re.compile(r"Invalid enum value ('.*')")
_OF_THE_TYPE = ("Expected `", "Invalid enum value", "Object ")
"""Beginnings of what msgspec says by itself; other words are those of a check of ours."""


class UnusableValue(ValueError):
    """Which value it is and what is wrong with it; a sentence without its full stop."""


def own_keys(adapter: Callable[..., Provider]) -> dict[str, inspect.Parameter]:
    """The keys of a kind's table that not every kind has."""
    return {
        name: parameter
        for name, parameter in inspect.signature(adapter, eval_str=True).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in ("base_url", "http")
    }


def converted(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    """A value of the file as its adapter wants it. Raises UnusableValue."""
    try:
        return msgspec.convert(value, parameter.annotation)
    except msgspec.ValidationError as error:
        raise UnusableValue(_complaint(name, str(error), parameter.annotation)) from None


def _complaint(name: str, error: str, annotation: Any) -> str:
    what, _at, place = error.partition(" - at ")
    wanted = _at_place(annotation, place)
    steps = _STEP.findall(place)
    here = ".".join([name, *(field for field, _item in steps if field)])
    if (found := _UNKNOWN.match(what)) is not None:
        fields = [field.encode_name for field in msgspec.structs.fields(_struct_of(wanted))]
        meant = did_you_mean(found[1], fields)
        return f"{here} has an unknown key {found[1]!r}.{meant} There are {', '.join(fields)}"
    if (found := _MISSING.match(what)) is not None:
        return f"{here} lacks the key {found[1]!r}"
    if not what.startswith(_OF_THE_TYPE):
        return f"{here} cannot be used: {what}"
    if place.startswith(_OF_A_KEY):
        here = f"{here}: each of its keys"
    elif steps and not steps[-1][0]:
        here = f"{here}: each of its values"
    instead = f", not {found[1]}" if (found := _NO_SUCH_WORD.match(what)) is not None else ""
    return f"{here} must be {described(wanted)}{instead}"


def _at_place(annotation: Any, place: str) -> Any:
    """The type that is wanted at a place such as `$.roles[...]`, or `key in $`."""
    for name, _item in _STEP.findall(place):
        if name:
            fields = {field.encode_name: field.type for field in msgspec.structs.fields(_struct_of(annotation))}
            annotation = fields[name]
        else:
            annotation = _arguments_of_container(annotation)[-1]
    return _arguments_of_container(annotation)[0] if place.startswith(_OF_A_KEY) else annotation


def _alternatives(annotation: Any) -> list[Any]:
    """The types of a union but None; else the type alone."""
    if get_origin(annotation) in (Union, UnionType):
        return [one for one in get_args(annotation) if one is not NoneType]
    return [annotation]


def _struct_of(annotation: Any) -> type[msgspec.Struct]:
    return next(one for one in _alternatives(annotation) if inspect.isclass(one) and issubclass(one, msgspec.Struct))


def _arguments_of_container(annotation: Any) -> Sequence[Any]:
    return next(get_args(one) for one in _alternatives(annotation) if get_origin(one) not in (None, Annotated, Literal))


def described(annotation: Any) -> str:
    """What a value of this type is, in words."""
    words = [word for one in _alternatives(annotation) for word in _words(one)]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _words(annotation: Any) -> Collection[str]:
    if get_origin(annotation) is Literal:
        return [f'"{word}"' for word in get_args(annotation)]
    if get_origin(annotation) is Annotated:
        base, *notes = get_args(annotation)
        return [_limited(described(base), note) for note in notes if isinstance(note, msgspec.Meta)]
    if annotation in _PLAIN:
        return [_PLAIN[annotation]]
    origin = get_origin(annotation) or annotation
    if inspect.isclass(origin) and (issubclass(origin, Mapping | msgspec.Struct)):
        return ["a table"]
    return ["a list"] if inspect.isclass(origin) and issubclass(origin, Sequence) else ["a value"]


def _limited(words: str, meta: msgspec.Meta) -> str:
    if meta.description is not None:
        return meta.description
    if meta.min_length:
        return f"{words} that is not empty"
    if meta.ge is not None:
        return f"{words} from {meta.ge}" + (f" to {meta.le}" if meta.le is not None else " on")
    return words
