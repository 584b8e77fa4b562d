"""The pages' static files: whether they are there, and whether the public address serves these very ones."""

from __future__ import annotations

from pathlib import Path

import httpx
from django.conf import settings
from django.contrib.staticfiles import finders
from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress

NAMES = ("chat/main.js", "chat/css/base.css", "unfold/css/styles.css", "admin/js/core.js")
"""The chat's and the admin's: where these are, the others are."""


def look(address: PublicAddress | None) -> list[Finding]:
    places = {name: _place(name) for name in NAMES}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        sentence = _("Static files are missing: %(names)s.") % {"names": ", ".join(missing)}
        remedy = _("Install the whole package again, and run manage.py collectstatic.")
        return [Finding("static.missing", Level.PROBLEM, sentence, remedy)]
    if address is not None:
        found = _through(address, {name: place for name, place in places.items() if place is not None})
        if found:
            return found
    return [Finding("static", Level.OK, _("The static files of the chat and of the admin are there."))]


def _place(name: str) -> Path | None:
    """Where the server takes it from: the source, else what was collected."""
    found = finders.find(name)
    if isinstance(found, str):
        return Path(found)
    collected = Path(settings.STATIC_ROOT) / name
    return collected if collected.is_file() else None


def _through(address: PublicAddress, places: dict[str, Path]) -> list[Finding]:
    absent, other = [], []
    with address.client() as client:
        for name, place in places.items():
            try:
                answer = client.get(f"{settings.STATIC_URL}{name}", headers={"Accept-Encoding": "gzip"})
            except httpx.HTTPError:
                absent.append(name)
                continue
            if answer.status_code != 200:
                absent.append(name)
            elif answer.content != place.read_bytes():
                other.append(name)
    found = []
    if absent:
        sentence = _("%(address)s does not serve static files: %(names)s.")
        words = sentence % {"address": address, "names": ", ".join(absent)}
        remedy = _("Have the proxy pass %(path)s on to this server; or, where it serves them itself, collect them.")
        found.append(Finding("static.absent", Level.PROBLEM, words, remedy % {"path": settings.STATIC_URL}))
    if other:
        sentence = _("%(address)s serves another version of static files: %(names)s.")
        words = sentence % {"address": address, "names": ", ".join(other)}
        remedy = _("Restart the server; then empty the proxy's cache, and collect the files again if it serves them.")
        found.append(Finding("static.other", Level.WARNING, words, remedy))
    return found
