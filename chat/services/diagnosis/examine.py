"""Runs the examinations: all at once, each in a thread of its own, for its time, whatever happens in it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import replace

from django.db import connections
from django.utils import translation
from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Examination, Finding, Level
from chat.services.diagnosis.public_address import PublicAddress
from chat.services.diagnosis.registry import EXAMINATIONS, FIRST
from chat.services.diagnosis.secrets import without_secrets

logger = logging.getLogger(__name__)

_WORST_FIRST = list(reversed(Level))


def diagnose(url: str = "", examinations: Iterable[Examination] = EXAMINATIONS) -> list[Finding]:
    """The findings, the worst first. `url` is the public address, "" where there is none. Takes as long as the longest
    examination, and half a minute at most."""
    address, found = _reach(url)
    running = [_Running(examination, address) for examination in examinations]
    for one in running:
        found += one.findings()
    found = [
        replace(
            finding,
            sentence=without_secrets(finding.sentence, url),
            remedy=without_secrets(finding.remedy, url),
        )
        for finding in found
    ]
    return sorted(found, key=lambda finding: _WORST_FIRST.index(finding.level))


def _reach(url: str) -> tuple[PublicAddress | None, list[Finding]]:
    try:
        address = PublicAddress.parse(url) if url else None
    except ValueError:
        sentence = _("The public address is none: it has a scheme and a host, and no path.")
        return None, [Finding("address.form", Level.PROBLEM, sentence, _("Such as https://chat.example.com."))]
    found = _Running(FIRST, address).findings()
    reached = all(finding.level is not Level.PROBLEM for finding in found)
    return address if reached else None, found


class _Running:
    """One examination, from now on."""

    def __init__(self, examination: Examination, address: PublicAddress | None) -> None:
        self._examination = examination
        self._address = address
        self._language = translation.get_language()
        self._found: list[Finding] | None = None
        self._deadline = time.monotonic() + examination.seconds
        # A daemon: what hangs must not keep the command from ending.
        self._thread = threading.Thread(target=self._run, name=f"examine-{examination.name}", daemon=True)
        self._thread.start()

    def findings(self) -> list[Finding]:
        """Waits for them until its time is over."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if self._found is not None:
            return self._found
        sentence = _("The examination “%(name)s” was not done after %(seconds).0f s.")
        words = sentence % {"name": self._examination.name, "seconds": self._examination.seconds}
        remedy = _("See whether what it looks at answers at all.")
        return [Finding(f"{self._examination.name}.late", Level.PROBLEM, words, remedy)]

    def _run(self) -> None:
        with translation.override(self._language):
            try:
                self._found = self._examination.look(self._address)
            except Exception as error:  # a finding too, and the others go on
                logger.debug("the examination %s failed", self._examination.name, exc_info=True)
                self._found = [self._failed(error)]
            finally:
                connections.close_all()

    def _failed(self, error: Exception) -> Finding:
        sentence = _("The examination “%(name)s” failed: %(error)s.")
        words = sentence % {"name": self._examination.name, "error": type(error).__name__}
        remedy = _("Please report it: this is a fault of the examination.")
        return Finding(f"{self._examination.name}.failed", Level.PROBLEM, words, remedy)
