"""For the operator who has named what is not there: what there is."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _

NAMES_MOST = 50
"""More are no help on a terminal."""


def no_such(words: str, known: Iterable[str]) -> str:
    """`words`: one of the registry's refusals, in English."""
    names = list(dict.fromkeys(known))
    listed = ", ".join(names[:NAMES_MOST]) + (", …" if len(names) > NAMES_MOST else "")
    return _("%(words)s There are: %(names)s.") % {"words": _(words), "names": listed}
