"""A level's word, for people."""

from __future__ import annotations

from django.utils.translation import pgettext

from chat.services.diagnosis.base import Level


def word(level: Level) -> str:
    return {
        Level.OK: pgettext("a finding's level", "ok"),
        Level.WARNING: pgettext("a finding's level", "warning"),
        Level.PROBLEM: pgettext("a finding's level", "problem"),
    }[level]
