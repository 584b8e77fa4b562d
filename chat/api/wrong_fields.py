"""Which fields of a request the framework's own validation has refused."""

from __future__ import annotations

from typing import Any

from ninja.errors import ValidationError


def wrong_fields(error: ValidationError) -> list[str]:
    """Their names, as the client has them: `limit`, `scopes.0`. Empty where it is the body as a whole."""
    names = (_name(item.get("loc", ())) for item in error.errors)
    return [name for name in names if name]


def field_details(error: ValidationError) -> dict[str, Any]:
    """As every refusal says it, in `field` the first one; all of them in `fields`."""
    fields = wrong_fields(error)
    return {"field": fields[0], "fields": fields} if fields else {}


def _name(place: tuple[str | int, ...]) -> str:
    """`place` begins with where the field stands; of a body, the name of the view's argument is next."""
    behind = 2 if place[:1] == ("body",) else 1
    return ".".join(str(part) for part in place[behind:])
