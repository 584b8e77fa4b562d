"""How many files, and so connections, this process may have open: each stream has one, each upstream another."""

from __future__ import annotations

import resource

from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress

FEWEST = 4096
"""For 1,000 streams at once, with their upstreams, the pages and the files."""


def look(address: PublicAddress | None) -> list[Finding]:
    most, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FEWEST:
        sentence = _("This process may have %(most)d files open, too few for 1,000 streams.") % {"most": most}
        remedy = _("Raise it for the server: ulimit -n 65536, or LimitNOFILE=65536 in systemd.")
        return [Finding("files.limit", Level.WARNING, sentence, remedy)]
    return [Finding("files", Level.OK, _("This process may have enough files open."))]
