"""A failure in the words of the person who asked."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import override

from chat.errors import GenerationFailed


def words(failure: GenerationFailed, language: str) -> str:
    """`language`: theirs; English where it is not known."""
    with override(language or "en"):
        return _(failure.message)
