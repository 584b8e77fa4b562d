"""`manage.py doctor`: what is wrong with this installation, one sentence and one remedy each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.examine import diagnose
from chat.services.diagnosis.level_words import word


class Command(BaseCommand):
    """Ends with 1 where there is a problem, else with 0."""

    requires_system_checks = []
    """They are one of the examinations."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.description = _("Examines the installation and says what is wrong, with a remedy for each.")
        parser.add_argument(
            "--url",
            default=getattr(settings, "CHAT_PUBLIC_URL", ""),
            help=_("The address that people type, such as https://chat.example.com; CHAT_PUBLIC_URL by default."),
        )
        parser.add_argument("--json", action="store_true", help=_("Prints a JSON array."))
        parser.add_argument("--strict", action="store_true", help=_("A warning counts as a problem."))

    def handle(self, *args: Any, **options: Any) -> None:
        found = diagnose(options["url"])
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=2))
        else:
            self._print(found)
        bad = {Level.PROBLEM, Level.WARNING} if options["strict"] else {Level.PROBLEM}
        if any(finding.level in bad for finding in found):
            sys.exit(1)

    def _print(self, found: list[Finding]) -> None:
        colours: dict[Level, Callable[[str], str]] = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.PROBLEM: self.style.ERROR,
        }
        width = max(len(word(level)) for level in Level)
        for finding in found:
            level = colours[finding.level](word(finding.level).ljust(width))
            self.stdout.write(f"{level}  {finding.sentence}")
            if finding.remedy:
                self.stdout.write(f"{'':{width}}  {finding.remedy}")
