"""The settings: the chat's own system checks, as findings."""

from __future__ import annotations

from django.core import checks
from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress


def look(address: PublicAddress | None) -> list[Finding]:
    messages = [message for message in checks.run_checks() if _is_ours(message)]
    if not messages:
        return [Finding("settings", Level.OK, _("The checks of the settings find nothing."))]
    return [
        Finding(str(message.id), _level(message), str(message.msg), str(message.hint or "")) for message in messages
    ]


def _is_ours(message: checks.CheckMessage) -> bool:
    return (message.id or "").startswith("chat.") and not message.is_silenced()


def _level(message: checks.CheckMessage) -> Level:
    if message.level >= checks.ERROR:
        return Level.PROBLEM
    return Level.WARNING if message.level >= checks.WARNING else Level.OK
