"""Redis: whether it answers in time, keeps what it is given, and has the room for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from redis.exceptions import RedisError, ResponseError

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress
from chat.services.diagnosis.redis_masters import Master, masters

OLDEST = (6, 2)
"""Of earlier ones, the log's commands are not all there."""

PINGS = 5
SLOW_SECONDS = 0.02
"""The events of all replies go to Redis in one turn of 50 ms at the earliest."""

FULL = 0.8
"""Of the memory: what is left is the time to act."""

Settings = dict[str, Any]
"""Of INFO, or of CONFIG GET: what may not be seen is missing."""


def look(address: PublicAddress | None) -> list[Finding]:
    if not settings.REDIS_URL:
        return [Finding("redis", Level.OK, _("No Redis is used, which one worker does not need."))]
    try:
        with masters(settings.REDIS_URL) as found:
            return [finding for master in found for finding in _of_master(master)]
    except ValueError:
        sentence = _("REDIS_URL is not the address of a Redis.")
        return [Finding("redis.address", Level.PROBLEM, sentence, _("Such as redis://127.0.0.1:6379/0."))]
    except (RedisError, OSError) as error:
        sentence = _("Redis does not answer: %(error)s.") % {"error": type(error).__name__}
        remedy = _("See that it runs, and that host, port, TLS and password in REDIS_URL are right.")
        return [Finding("redis.away", Level.PROBLEM, sentence, remedy)]


def _of_master(master: Master) -> Iterator[Finding]:
    """Raises RedisError."""
    latency = _latency(master)
    info, known, hidden = _settings(master)
    aspects: tuple[Callable[[str, Settings, Settings], Finding | None], ...] = (
        _version, _role, _policy, _memory, _persistence, _timeout
    )  # fmt: skip
    found = [finding for aspect in aspects if (finding := aspect(master.place, info, known)) is not None]
    if latency > SLOW_SECONDS:
        sentence = _("Redis at %(place)s takes %(ms).1f ms to answer a PING.")
        remedy = _("Bring it into the same network, or look for what keeps it busy (SLOWLOG GET).")
        words = sentence % {"place": master.place, "ms": latency * 1000}
        found.append(Finding("redis.slow", Level.WARNING, words, remedy))
    yield from found
    if not found:
        sentence = _("Redis %(version)s at %(place)s answers in %(ms).1f ms and is set up well.")
        values = {"version": info.get("redis_version", "?"), "place": master.place, "ms": latency * 1000}
        yield Finding("redis", Level.OK, sentence % values)
    if hidden:
        sentence = _("Some settings of Redis at %(place)s cannot be seen: it does not allow CONFIG.")
        remedy = _("See in your provider's console: noeviction, persistence, and no timeout of idle connections.")
        yield Finding("redis.hidden", Level.OK, sentence % {"place": master.place}, remedy)


def _latency(master: Master) -> float:
    """Seconds, the best of some: a single one may be unlucky."""
    taken = []
    for _number in range(PINGS):
        before = time.perf_counter()
        master.client.ping()
        taken.append(time.perf_counter() - before)
    return min(taken)


def _settings(master: Master) -> tuple[Settings, Settings, bool]:
    """What INFO and CONFIG tell, and whether one is forbidden, as with some providers. Raises RedisError."""
    info: Settings = {}
    known: Settings = {}
    try:
        info.update(master.client.info())
        for name in ("save", "timeout"):
            known[name] = master.client.config_get(name)[name]
    except ResponseError:  # an unknown command, or no permission
        return info, known, True
    return info, known, False


def _version(place: str, info: Settings, known: Settings) -> Finding | None:
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if not numbers or numbers >= OLDEST:
        return None
    sentence = _("Redis at %(place)s is version %(version)s.") % {"place": place, "version": version}
    return Finding("redis.version", Level.PROBLEM, sentence, _("Update it to 6.2 or newer."))


def _role(place: str, info: Settings, known: Settings) -> Finding | None:
    if info.get("role") != "slave":
        return None
    sentence = _("Redis at %(place)s is a replica, which takes no writes.") % {"place": place}
    return Finding("redis.replica", Level.PROBLEM, sentence, _("Name its master in REDIS_URL, or the Sentinels."))


def _policy(place: str, info: Settings, known: Settings) -> Finding | None:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return None
    sentence = _("Redis at %(place)s may throw away the events of running replies: its maxmemory-policy is %(policy)s.")
    remedy = _("Set maxmemory-policy noeviction, and give Redis the memory that it needs.")
    return Finding("redis.policy", Level.PROBLEM, sentence % {"place": place, "policy": policy}, remedy)


def _memory(place: str, info: Settings, known: Settings) -> Finding | None:
    most = int(info.get("maxmemory", 0)) or int(info.get("total_system_memory", 0))
    used = int(info.get("used_memory", 0))
    if not most or used <= FULL * most:
        return None
    sentence = _("Redis at %(place)s uses %(used)d of the %(most)d MiB that it may have.")
    remedy = _("Raise maxmemory or the machine's memory: a full Redis takes no further events.")
    values = {"place": place, "used": used >> 20, "most": most >> 20}
    return Finding("redis.memory", Level.WARNING, sentence % values, remedy)


def _persistence(place: str, info: Settings, known: Settings) -> Finding | None:
    appends = bool(int(info.get("aof_enabled", 0)))
    if appends or known.get("save", "unknown"):
        return None
    sentence = _("Redis at %(place)s writes nothing to disk: its restart loses the events of running replies.")
    remedy = _("Set appendonly yes, or at least a save interval.")
    return Finding("redis.persistence", Level.WARNING, sentence % {"place": place}, remedy)


def _timeout(place: str, info: Settings, known: Settings) -> Finding | None:
    seconds = int(known.get("timeout", 0))
    if not seconds:
        return None
    sentence = _("Redis at %(place)s ends connections that are idle for %(seconds)d s.")
    values = {"place": place, "seconds": seconds}
    return Finding("redis.timeout", Level.WARNING, sentence % values, _("Set timeout 0."))
