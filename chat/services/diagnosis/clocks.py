"""This machine's clock against the others': tokens and the signatures for upstreams say when they were made."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx
from django.conf import settings
from django.db import Error, connection
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress
from chat.services.diagnosis.redis_masters import masters

logger = logging.getLogger(__name__)

WARNING_SECONDS = 2.0
PROBLEM_SECONDS = 30.0
"""The signatures of some upstreams are good for less than five minutes, and both of us may be off."""

_Unreadable = (Error, RedisError, OSError, ValueError, httpx.HTTPError)
"""That what it belongs to cannot be reached, another examination says."""


def look(address: PublicAddress | None) -> list[Finding]:
    found, read = [], 0
    for name, clock, resolution in _clocks(address):
        try:
            ahead = _ahead(clock, resolution)
        except _Unreadable:
            logger.debug("a clock cannot be read", exc_info=True)
            continue
        read += 1
        found += _judge(name, ahead)
    if found:
        return found
    if not read:
        return [Finding("clock", Level.OK, _("There is no other clock to compare this machine's with."))]
    return [Finding("clock", Level.OK, _("This machine's clock agrees with the others."))]


def _clocks(address: PublicAddress | None) -> Iterator[tuple[str, Callable[[], float], float]]:
    """Each clock's name, what reads it in Unix seconds, and how fine it is in seconds."""
    if connection.vendor == "postgresql":
        yield _("the database"), _of_database, 0.0
    if settings.REDIS_URL:
        yield "Redis", _of_redis, 0.0
    if address is not None:
        yield str(address), lambda: _of_date(address), 1.0


def _ahead(clock: Callable[[], float], resolution: float) -> float:
    """By how many seconds it certainly is ahead of ours; less than 0: behind."""
    before = time.time()
    told = clock() + resolution / 2
    after = time.time()
    difference, unsure = told - (before + after) / 2, (after - before + resolution) / 2
    return max(0.0, difference - unsure) if difference > 0 else min(0.0, difference + unsure)


def _judge(name: str, ahead: float) -> list[Finding]:
    if abs(ahead) <= WARNING_SECONDS:
        return []
    sentence = (
        _("The clock of %(name)s is %(seconds).0f s ahead of this machine's.")
        if ahead > 0
        else _("The clock of %(name)s is %(seconds).0f s behind this machine's.")
    )
    level = Level.PROBLEM if abs(ahead) > PROBLEM_SECONDS else Level.WARNING
    remedy = _("Have both set by NTP: with a wrong clock, tokens and the signatures for upstreams are refused.")
    return [Finding("clock.skew", level, sentence % {"name": name, "seconds": abs(ahead)}, remedy)]


def _of_database() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        told: datetime = cursor.fetchone()[0]
    return told.timestamp()


def _of_redis() -> float:
    with masters(settings.REDIS_URL) as found:
        seconds, microseconds = found[0].client.time()
    return float(seconds) + microseconds / 1e6


def _of_date(address: PublicAddress) -> float:
    with address.client() as client:
        answer = client.get("/healthz", headers={"Cache-Control": "no-cache"})
    return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
