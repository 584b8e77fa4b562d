"""How many processes serve on this machine, as far as the settings tell."""

from __future__ import annotations

import os

from django.conf import settings


def workers() -> int:
    concurrency = os.environ.get("WEB_CONCURRENCY", "")  # what uvicorn and others take for a number of workers
    return max(1, int(settings.WORKERS), int(concurrency) if concurrency.isdecimal() else 1)
