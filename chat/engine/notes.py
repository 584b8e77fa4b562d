"""What a reader should know about one reply beside its text: of each kind, what was told last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chat.events import Note

NOTES_MOST = 100
"""Events of a generation that are notes. Of a longer queue only the first place and the last ones are told."""

FEW = 10
"""Of them, what is left to the notes that stay: each attempt may tell some."""


class Notes:
    """A note stands until another of its kind is told; a place in the queue, as long as the reply has not begun."""

    __slots__ = ("_standing", "_told", "_unsaved")

    def __init__(self) -> None:
        self._standing: dict[str, Note] = {}
        self._told = 0
        self._unsaved = False

    def restore(self, notes: Iterable[Note]) -> None:
        """What was told before, and is stored."""
        self._standing = {note.note: note for note in notes}

    def tell(self, note: Note) -> bool:
        """False for what is no news, or too much of it."""
        if self._standing.get(note.note) == note or not self._has_room(note):
            return False
        self._told += 1
        self._standing[note.note] = note
        self._unsaved |= note.note != "queued"
        return True

    def standing(self, *, begun: bool) -> Sequence[Note]:
        if not self._standing:
            return ()
        return [note for note in self._standing.values() if not begun or note.note != "queued"]

    def take_unsaved(self) -> Sequence[Note] | None:
        """All that are to be stored, where there is one that `take_unsaved` has not handed out; else None."""
        if not self._unsaved:
            return None
        self._unsaved = False
        return self.standing(begun=True)

    def put_back(self, notes: Sequence[Note] | None) -> None:
        """The store did not take what `take_unsaved` gave last."""
        self._unsaved |= notes is not None

    def _has_room(self, note: Note) -> bool:
        if note.note != "queued":
            return self._told < NOTES_MOST
        left = NOTES_MOST - FEW - self._told
        return left > 0 and ("queued" not in self._standing or note.details["position"] <= left)
