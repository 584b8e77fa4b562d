"""`/search`: full text over one's own titles and messages."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from chat import runtime
from chat.api.authentication import identity_of
from chat.api.conversations import Limit, checked_limit
from chat.api.generations import ERRORS
from chat.api.replies import json_response
from chat.api.texts import Text
from chat.services.conversations import PAGE
from chat.services.search import HitRecord
from chat.services.search_words import QUERY_CHARS

router = Router(tags=["search"])


class HitsBody(Schema):
    items: list[HitRecord]
    next: str | None
    complete: bool


@router.get("/search", response={200: HitsBody, **ERRORS})
async def search(
    request: HttpRequest,
    q: Annotated[Text, Field(max_length=QUERY_CHARS)],
    cursor: str | None = None,
    limit: Limit = PAGE,
) -> HttpResponse:
    """Messages and titles (`message` is null) that have all the words of `q`, newest first. Words in quotation marks
    are a phrase; the last word may be the beginning of one; Chinese and other scripts without spaces are found at any
    place. `snippet.highlights` are ranges, from and to, in `snippet.text`, counted in Unicode's code points.
    `complete` is false where a long history is still being taken in: the same search finds more a moment later."""
    return json_response(
        200, await runtime.current().search.page(identity_of(request).user, q, cursor, checked_limit(limit))
    )
