"""Full text search over a user's own titles and messages."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from django.db import IntegrityError
from django.db.models.functions import Length, Substr
from django.utils.translation import gettext as _

from chat.engine.terminal import timestamp
from chat.errors import InvalidRequest
from chat.models import Conversation, Message
from chat.services.database import Database
from chat.services.requests import check_text
from chat.services.search_index import NEWEST, Found, find, store
from chat.services.search_intake import SEARCHED_CHARS, Batch, Position, next_batch
from chat.services.search_words import QUERY_CHARS, Snippet, Term, beginning, snippet, terms_of

GLANCE_CHARS = 2_000
LOOKED_AT_CHARS = 20_000
"""Of each message that was found: most have what was asked for in the first of these, and the others in the second.
More is read of one at a time."""

SOUGHT_CHARS = 400_000
"""Behind the first glance, of all messages of a page together: some tenths of a second of a reading thread, and of a
processor. Of those that it does not reach, the beginning is shown."""

TWINS = 5
"""How often another worker may take the same in at the same moment before it is left to that worker."""


@dataclass(frozen=True, slots=True)
class HitRecord:
    """`message` and `role` are None where it is the title that has the words."""

    conversation: str
    message: str | None
    title: str
    snippet: Snippet
    role: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`complete`: whether all that the user has was searched."""

    items: list[HitRecord]
    next: str | None
    complete: bool


class Search:
    """`intake_seconds`: how long a search waits at most for what is to be taken in first; the next one goes on."""

    def __init__(self, database: Database, intake_seconds: float) -> None:
        self._database = database
        self._intake_seconds = intake_seconds
        self._locks: WeakValueDictionary[uuid.UUID, asyncio.Lock] = WeakValueDictionary()

    async def page(self, user: uuid.UUID, query: str, cursor: str | None, limit: int) -> SearchPage:
        """Newest first. A query without words finds nothing. Raises InvalidRequest, TooLarge."""
        terms = terms_of(check_text(query, "q", QUERY_CHARS))
        before = NEWEST if cursor is None else _read_cursor(cursor)
        if not terms:
            return SearchPage([], None, True)
        complete = await self._take_in(user) if cursor is None else True
        found, hits = await self._database.read(_look_up, user, terms, before, limit)
        return SearchPage(hits, str(found[limit - 1].place) if len(found) > limit else None, complete)

    async def _take_in(self, user: uuid.UUID) -> bool:
        """Whether all has been taken in."""
        loop = asyncio.get_running_loop()
        due = math.inf if math.isinf(self._intake_seconds) else loop.time() + self._intake_seconds
        lock = self._locks.setdefault(user, asyncio.Lock())
        async with lock:
            position: Position | None = None
            while True:
                batch = await self._stored(user, position)
                if batch is None:
                    return False
                if batch.position is None:
                    return True
                if loop.time() > due:
                    return False
                position = batch.position

    async def _stored(self, user: uuid.UUID, position: Position | None) -> Batch | None:
        """The next batch, once it is in the index; None where another worker is faster, time and again."""
        for _attempt in range(TWINS):
            batch = await self._database.read(next_batch, user, position)
            try:
                if batch.taken:
                    await self._database.write(store, user, batch.taken)
                return batch
            except IntegrityError:
                continue  # what the other has taken in is not in the batch any more
        return None


def _look_up(user: uuid.UUID, terms: Sequence[Term], before: int, limit: int) -> tuple[list[Found], list[HitRecord]]:
    found = find(user, terms, before, limit + 1)
    page = found[:limit]
    titles = dict(Conversation.objects.filter(id__in={hit.conversation for hit in page}).values_list("id", "title"))
    started = dict(
        Conversation.objects.filter(id__in=[hit.conversation for hit in page if hit.message is None]).values_list(
            "id", "created_at"
        )
    )
    start = Substr("text", 1, LOOKED_AT_CHARS)
    rows = Message.objects.filter(id__in=[hit.message for hit in page if hit.message is not None])
    messages = {
        id: values for id, *values in rows.values_list("id", "role", "created_at", start, Length("text")).iterator()
    }
    sight = _Sight(terms)
    hits: list[HitRecord] = []
    for hit in page:
        title = titles.get(hit.conversation, "")
        conversation = str(hit.conversation)
        if hit.message is None and hit.conversation in started:
            shown = snippet(title, terms) or beginning(title)
            hits.append(HitRecord(conversation, None, title, shown, None, timestamp(started[hit.conversation])))
        elif hit.message is not None and hit.message in messages:
            role, created_at, text, chars = messages[hit.message]
            shown = sight.of(hit.message, text, chars)
            hits.append(HitRecord(conversation, str(hit.message), title, shown, role, timestamp(created_at)))
    return found, hits


class _Sight:
    """Where the terms stand, on one page."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = terms
        self._left = SOUGHT_CHARS

    def of(self, message: uuid.UUID, text: str, chars: int) -> Snippet:
        """`text`: how the message, of so many characters, begins."""
        shown = snippet(text, self._terms, GLANCE_CHARS)
        if shown is None and len(text) > GLANCE_CHARS and self._may_seek(len(text)):
            shown = snippet(text, self._terms)
        if shown is None and chars > len(text) and self._may_seek(min(chars, SEARCHED_CHARS)):
            [text] = Message.objects.filter(id=message).values_list(Substr("text", 1, SEARCHED_CHARS), flat=True)
            shown = snippet(text, self._terms)
        return shown or beginning(text)

    def _may_seek(self, chars: int) -> bool:
        self._left -= chars
        return self._left >= 0


def _read_cursor(cursor: str) -> int:
    try:
        cursor.encode("ascii")
        place = int(cursor)
        if len(cursor) <= 20 and 0 <= place <= NEWEST:
            return place
    except ValueError:
        pass
    raise InvalidRequest(_("This cursor is not one of ours. Begin again without it."), {"field": "cursor"})
