"""Collects the words to translate into locale/, and compiles what is translated. Needs GNU gettext.

Both files are kept in the repository, so that a machine without gettext speaks all languages.
Run as: .venv/bin/python scripts/refresh_locale.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.chdir(ROOT)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")

import django  # noqa: E402 (after the path)
from django.core.management import call_command  # noqa: E402

from chat.errors import REFUSALS, WORDS  # noqa: E402
from chat.providers import registry  # noqa: E402
from chat.providers.resilience import slot  # noqa: E402

LOCALE = "zh_Hans"
CATALOGUE = ROOT / "locale" / LOCALE / "LC_MESSAGES" / "django.po"
NOT_OURS = ("staticfiles", "node_modules", "static", "tests", "benchmarks", "var", ".venv")


def keep_words_of_failures() -> None:
    """The floor that words the failures knows no gettext, so the collector takes its words for gone."""
    blocks = CATALOGUE.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    queue = (slot.QUEUE_FULL, slot.QUEUE_SLOW)
    wanted = {f'msgid "{words}"' for words in (*WORDS.values(), *REFUSALS, *registry.REFUSALS, *queue)}
    for index, block in enumerate(blocks):
        flat = block.replace("#~ ", "").replace('msgid ""\n"', 'msgid "').replace(' "\n"', " ")
        found = {line for line in flat.split("\n") if line in wanted}
        if found:
            blocks[index] = block.replace("#~ ", "")
            wanted -= found
    blocks += [f'{line}\nmsgstr ""' for line in sorted(wanted)]
    # The date would change the file each time.
    blocks[0] = "\n".join(line for line in blocks[0].split("\n") if "POT-Creation-Date" not in line)
    CATALOGUE.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


if __name__ == "__main__":
    django.setup()
    # Without the places: a line that moves would change the file.
    call_command("makemessages", locale=[LOCALE], no_location=True, ignore_patterns=list(NOT_OURS), no_wrap=True)
    keep_words_of_failures()
    call_command("compilemessages", locale=[LOCALE], ignore_patterns=list(NOT_OURS))
