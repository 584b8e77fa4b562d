"""The search's index: entries, and their words in what each database has for full text; see the migration `search`.

Every look into it begins with the owner's own word, so that what others have said costs nothing. Synchronous functions
for `Database.read` and `Database.write`.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q

from chat.models import Conversation, SearchEntry
from chat.services.search_words import Term

NEWEST = 2**63 - 1

PART_WORDS = 2_000
"""Of a tsvector, which holds 256 positions of a word: a Chinese character comes once in 25 at most."""
PART_OVERLAP = 250
"""So that a phrase, as long as a query may be, stands in one part as a whole."""
POSITIONS = 255

_TIME_BITS, _TAIL_BITS = 42, 21
_IN_PARTS = "'PARTS'"
"""A word that no text has, whose words are in lower case: in each part of what has several."""

_FIND_SQLITE = """
    SELECT entry.place, entry.conversation_id, entry.message_id FROM chat_search_words
    CROSS JOIN chat_searchentry entry ON entry.place = chat_search_words.rowid
    CROSS JOIN chat_conversation conversation ON conversation.id = entry.conversation_id
    WHERE chat_search_words MATCH %s AND chat_search_words.rowid < %s AND conversation.user_id = %s
        AND conversation.stored
    ORDER BY chat_search_words.rowid DESC LIMIT %s
"""
_FIND_POSTGRESQL = """
    WITH hit AS MATERIALIZED ({hits})
    SELECT DISTINCT entry.place, entry.conversation_id, entry.message_id FROM hit
    JOIN chat_searchentry entry ON entry.place = hit.place
    JOIN chat_conversation conversation ON conversation.id = entry.conversation_id
    WHERE entry.place < %s AND conversation.user_id = %s AND conversation.stored
    ORDER BY entry.place DESC LIMIT %s
"""
_HITS = "SELECT place FROM chat_search_words WHERE words @@ %s::tsquery"


@dataclass(frozen=True, slots=True)
class Taken:
    """A text for the index: a message's, or its conversation's title where `message` is None; see `SearchEntry`."""

    place: int
    conversation: uuid.UUID
    message: uuid.UUID | None
    generation: uuid.UUID | None
    seen_at: datetime | None
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Found:
    place: int
    conversation: uuid.UUID
    message: uuid.UUID | None


def place_of(moment: datetime, id: uuid.UUID) -> int:
    """Sorts by time; what is of the same millisecond is told apart by its id, most likely."""
    milliseconds: int = min(max(0, int(moment.timestamp() * 1000)), 2**_TIME_BITS - 1)
    tail: int = id.int & (1 << _TAIL_BITS) - 1
    return milliseconds << _TAIL_BITS | tail


def store(user: uuid.UUID, taken: Sequence[Taken]) -> None:
    """In the place of what was there for the same messages and titles. What has been deleted meanwhile is left out."""
    _await_others(user)
    there = _locked({entry.conversation for entry in taken})
    taken = [entry for entry in taken if entry.conversation in there]
    titles = [entry.conversation for entry in taken if entry.message is None]
    messages = [entry.message for entry in taken if entry.message is not None]
    SearchEntry.objects.filter(Q(conversation_id__in=titles, message=None) | Q(message_id__in=messages)).delete()
    used = set(SearchEntry.objects.filter(place__in=[entry.place for entry in taken]).values_list("place", flat=True))
    rows: list[tuple[SearchEntry, Sequence[str]]] = []
    for entry in taken:
        place = entry.place
        while place in used:
            place += 1
            if SearchEntry.objects.filter(place=place).exists():
                used.add(place)
        used.add(place)
        row = SearchEntry(
            place=place,
            conversation_id=entry.conversation,
            message_id=entry.message,
            generation=entry.generation,
            seen_at=entry.seen_at,
        )
        rows.append((row, entry.words))
    SearchEntry.objects.bulk_create([row for row, _words in rows])
    _store_words(user, [(row.place, words) for row, words in rows])


def find(user: uuid.UUID, terms: Sequence[Term], before: int, limit: int) -> list[Found]:
    """Newest first: what has all the terms, and a place below `before`."""
    with connection.cursor() as cursor:
        key = Conversation._meta.pk.get_db_prep_value(user, connection)
        if connection.vendor == "sqlite":
            cursor.execute(_FIND_SQLITE, [_match(user, terms), before, key, limit])
        else:
            hits, values = _hits(user, terms)
            cursor.execute(_FIND_POSTGRESQL.format(hits=hits), [*values, before, key, limit])
        return [
            Found(place, _uuid(conversation), None if message is None else _uuid(message))
            for place, conversation, message in cursor.fetchall()
        ]


def _await_others(user: uuid.UUID) -> None:
    """Another worker may be taking in the same: one after the other."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [user.int & NEWEST])


def _locked(conversations: set[uuid.UUID]) -> set[uuid.UUID]:
    """Those that there are. Nobody deletes them until this transaction has ended: its rows would refer to nothing,
    which the database says only at the commit, that others share."""
    rows = Conversation.objects.filter(id__in=conversations).values_list("id", flat=True)
    if connection.vendor == "sqlite":  # nobody else writes
        return set(rows)
    with connection.cursor() as cursor:
        # Not Django's FOR UPDATE, which would keep a message from being sent.
        cursor.execute("SELECT id FROM chat_conversation WHERE id = ANY(%s) FOR KEY SHARE", [list(conversations)])
        return {id for (id,) in cursor.fetchall()}


def _store_words(user: uuid.UUID, rows: Iterable[tuple[int, Sequence[str]]]) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            values = [(place, user.hex, " ".join(words)) for place, words in rows]
            cursor.executemany("INSERT INTO chat_search_words (rowid, owner, words) VALUES (%s, %s, %s)", values)
            return
        parts = [
            (place, number, vector)
            for place, words in rows
            for number, vector in enumerate(_vectors(_owner(user), words))
        ]
        if parts:
            places, numbers, vectors = (list(column) for column in zip(*parts, strict=True))
            cursor.execute(
                "INSERT INTO chat_search_words (place, part, words)"
                " SELECT place, part, words::tsvector FROM unnest(%s::bigint[], %s::integer[], %s::text[])"
                " AS new(place, part, words)",
                [places, numbers, vectors],
            )


# SQLite


def _match(user: uuid.UUID, terms: Iterable[Term]) -> str:
    """Words have no quotation marks in them."""
    phrases = [f'words : "{" ".join(term.words)}"' + (" *" if term.prefix else "") for term in terms]
    return " AND ".join([f'owner : "{user.hex}"', *phrases])


# PostgreSQL


def _owner(user: uuid.UUID) -> str:
    """A word that no text has."""
    return f"'U{user.hex}'"


def _vectors(owner: str, words: Sequence[str]) -> Iterator[str]:
    step = PART_WORDS - PART_OVERLAP
    starts = range(0, max(1, len(words) - PART_OVERLAP), step)
    always = [owner, _IN_PARTS] if len(starts) > 1 else [owner]
    for start in starts:
        positions: defaultdict[str, list[str]] = defaultdict(list)
        for position, word in enumerate(words[start : start + PART_WORDS], 1):
            known = positions[word]
            if len(known) < POSITIONS:
                known.append(str(position))
        yield " ".join([*always, *(f"'{word}':{','.join(places)}" for word, places in positions.items())])


def _hits(user: uuid.UUID, terms: Sequence[Term]) -> tuple[str, list[str]]:
    """Several terms may be in several parts of a long text."""
    owner, asked = _owner(user), [_phrase(term) for term in terms]
    together = " & ".join([owner, *asked])
    if len(asked) == 1:
        return _HITS, [together]
    apart = " INTERSECT ".join([_HITS] * len(asked))
    return f"{_HITS} UNION ({apart})", [together, *(f"{owner} & {_IN_PARTS} & {one}" for one in asked)]


def _phrase(term: Term) -> str:
    words = [f"'{word}'" for word in term.words]
    return "(" + " <-> ".join(words) + (":*" if term.prefix else "") + ")"


def _uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
