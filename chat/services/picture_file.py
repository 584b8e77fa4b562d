"""A picture from a file of the operator's, told by its first bytes and not by its name."""

from __future__ import annotations

from pathlib import Path

from django.utils.translation import gettext as _

from chat.providers.base import Picture

BYTES_MOST = 20 << 20
"""More than any upstream takes."""

_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class NotAPicture(ValueError):
    """The words say which file, and why."""


def read_picture(path: str) -> Picture:
    """Raises NotAPicture."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(BYTES_MOST + 1)
    except OSError as error:
        raise NotAPicture(_("%(path)s cannot be read: %(why)s.") % {"path": path, "why": error.strerror}) from None
    if len(data) > BYTES_MOST:
        raise NotAPicture(_("%(path)s is larger than %(most)d MiB.") % {"path": path, "most": BYTES_MOST >> 20})
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Picture("image/webp", data)
    for beginning, content_type in _BEGINNINGS.items():
        if data.startswith(beginning):
            return Picture(content_type, data)
    raise NotAPicture(_("%(path)s is neither PNG, JPEG, WebP nor GIF.") % {"path": path})
