"""Keeps the installation's own secrets out of findings, whatever an error or a check has put into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from django.conf import settings

from chat.logs import HIDDEN, hide

CHARS = 4
"""A shorter one is part of many words, and no secret."""


def without_secrets(text: str, url: str) -> str:
    """`url` is the public address as it was given."""
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return hide(text)


def _secrets(url: str) -> set[str]:
    found = {settings.SECRET_KEY, str(settings.DATABASES["default"].get("PASSWORD") or "")}
    for address in (settings.REDIS_URL, url):
        for password in _password(address):
            found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= CHARS}


def _password(url: str) -> Iterator[str]:
    """As it stands in the URL; several hosts may stand behind it."""
    with suppress(ValueError):  # what is no URL is shown nowhere
        credentials, at, _ = urlsplit(url).netloc.rpartition("@")
        if at:
            yield credentials.partition(":")[2]
