"""The providers: whether there is any, and which are off. Whether they answer is asked by a check, which may cost."""

from __future__ import annotations

import os

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.providers.providers_file import ProvidersFileError
from chat.providers.registry import Registry
from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress
from chat.services.provider_switches import switches_if_known


def look(address: PublicAddress | None) -> list[Finding]:
    try:
        registry = _registry()
    except ProvidersFileError:
        return []  # which the checks of the settings tell
    if not registry.providers:
        remedy = _("Name a providers file in CHAT_PROVIDERS_FILE, or set a vendor's usual key.")
        return [Finding("providers", Level.OK, _("No provider is configured: demonstration models answer."), remedy)]
    for provider in switches_if_known() or ():  # that the database is away, another examination says
        registry.switch(provider, False)
    return [*_off(registry), _ready(registry)]


def _registry() -> Registry:
    path = settings.CHAT_PROVIDERS_FILE
    return Registry.from_file(path) if path else Registry.from_environment(os.environ)


def _off(registry: Registry) -> list[Finding]:
    found = []
    for provider in registry.providers:
        values = {"provider": provider}
        if (missing := registry.missing_key(provider)) is not None:
            # Without the key's name before it, which would look like a credential.
            values["reason"] = missing.partition(": ")[2]
            sentence = _("The provider %(provider)s is off: %(reason)s.") % values
            remedy = _("Put the key there, and start the server again.")
            found.append(Finding("providers.key", Level.WARNING, sentence, remedy))
        elif registry.is_switched_off(provider):
            sentence = _("The provider %(provider)s is switched off.") % values
            remedy = _("Switch it on at /admin/providers/ when it is wanted again.")
            found.append(Finding("providers.switched_off", Level.OK, sentence, remedy))
        for number, words in registry.keys_left_out(provider).items():
            values |= {"number": str(number), "reason": words.partition(": ")[2]}
            sentence = _("The provider %(provider)s goes without its key %(number)s: %(reason)s.") % values
            remedy = _("Put the key there, and start the server again.")
            found.append(Finding("providers.keys", Level.WARNING, sentence, remedy))
    return found


def _ready(registry: Registry) -> Finding:
    count = sum(registry.state(provider) != "off" for provider in registry.providers)
    if not count:
        remedy = _("Give one its key, or switch one on: until then, nobody gets an answer.")
        return Finding("providers.none", Level.PROBLEM, _("Every provider is off."), remedy)
    sentence = ngettext("%(count)d provider is ready.", "%(count)d providers are ready.", count)
    remedy = _("Whether they answer, manage.py providers --check says.")
    return Finding("providers", Level.OK, sentence % {"count": count}, remedy)
