"""`manage.py api_schema`: the descriptions of the API and of the socket, in docs/, as the code has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.api.router import api, whole_document
from chat.websocket.asyncapi import document

DOCS = Path(settings.BASE_DIR) / "docs"


def documents() -> dict[Path, str]:
    """What each file is to hold."""
    described = {"openapi.json": whole_document(), "asyncapi.json": document(api.version)}
    return {DOCS / name: json.dumps(one, indent=1, ensure_ascii=False) + "\n" for name, one in described.items()}


class Command(BaseCommand):
    help = "Writes docs/openapi.json and docs/asyncapi.json, or checks that they are what the code has."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--write", action="store_true", help="write the files")
        what.add_argument("--check", action="store_true", help="end with 1 where a file is not up to date")

    def handle(self, *args: Any, **options: Any) -> None:
        found = documents()
        if options["write"]:
            for path, text in found.items():
                path.write_text(text, encoding="utf-8")
                self.stdout.write(f"docs/{path.name}")
            return
        stale = [path.name for path, text in found.items() if not path.is_file() or path.read_text("utf-8") != text]
        if stale:
            raise CommandError(f"{', '.join(stale)} in docs/ differ from the code: run manage.py api_schema --write.")
