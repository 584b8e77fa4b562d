"""Providers are switched off and on while the server runs: the database says which are off, every worker looks."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import Error, connection
from django.utils.translation import gettext as _

from chat.errors import NotFound
from chat.models import ProviderSwitch
from chat.providers.registry import NO_PROVIDER, Registry
from chat.services.database import Database

REPR_CHARS = 200
"""Of what an entry of the log is about."""

LOOK_SECONDS = 2.0
"""How long another worker may take to hear of a switch."""


class ProviderSwitches:
    """What the database says, told to this process's registry."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry
        self._switched = 0

    async def look(self) -> None:
        """About every `LOOK_SECONDS`. Raises Unavailable where the database is away: all stays as it was."""
        switched = self._switched
        off = await self._database.read(switched_off)
        if switched == self._switched:  # else what was read may be older than what was just switched here
            for provider in self._registry.providers:
                self._registry.switch(provider, provider not in off)

    async def switch(self, provider: str, on: bool, account: uuid.UUID) -> None:
        """In effect here when this returns; `account` has done it, as the admin's log says. Raises NotFound,
        Unavailable."""
        known = self._registry.get(provider)
        if known is None:
            raise NotFound(NO_PROVIDER)
        words = _("%(provider)s: switched on") if on else _("%(provider)s: switched off")
        await self._database.write(_write, provider, on, account, words % {"provider": known.label})
        self._switched += 1
        self._registry.switch(provider, on)


@dataclass(frozen=True, slots=True)
class Switched:
    """Who has switched a provider off, and when; "" for an account that is gone."""

    by: str
    at: datetime


def switched_off() -> set[str]:
    """The ids of the providers that are switched off. Raises Django's errors of the database."""
    return set(ProviderSwitch.objects.values_list("provider", flat=True))


def switches() -> dict[str, Switched]:
    """The same by their ids, with what is known of each."""
    rows = ProviderSwitch.objects.values_list("provider", "by__username", "at")
    return {provider: Switched(by or "", at) for provider, by, at in rows}


def switches_if_known() -> dict[str, Switched] | None:
    """For whoever goes on without a database: None where it cannot be read. To connect to an SQLite that is not there
    would make it, and make it the looker's own."""
    if connection.vendor == "sqlite" and not Path(str(connection.settings_dict["NAME"])).exists():
        return None
    try:
        return switches()
    except Error:
        return None


def _write(provider: str, on: bool, account: uuid.UUID, words: str) -> None:
    if on:
        changed = ProviderSwitch.objects.filter(provider=provider).delete()[0] > 0
    else:
        changed = ProviderSwitch.objects.get_or_create(provider=provider, defaults={"by_id": account})[1]
    if changed:
        LogEntry.objects.create(
            user_id=account,
            content_type=ContentType.objects.get_for_model(ProviderSwitch),
            object_id=provider,
            object_repr=words[:REPR_CHARS],
            action_flag=CHANGE,
            change_message=words,
        )
