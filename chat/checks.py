"""Checks of the settings: an error refuses to start, a warning says what to look at. The ids are stable.

E001 several workers without Redis          E006 REDIS_URL is no address of a Redis
E002 SQLite while Redis is another machine  E007 a number that is not positive
E003 DEBUG with a public host               E008 a weak SECRET_KEY with a public host
E004 CHAT_PROVIDERS_FILE cannot be used     W001 a SECRET_KEY that was made here, with a public host
E005 a word that is none of its choices     W002 SQLite together with Redis
E009 metrics that nobody could be shown     W003 a public host whose cookies may travel unencrypted
E010 too few connections to the database    W004 a provider, or all of its fallbacks, cannot answer
E011 CHAT_CORS_ORIGINS is no list of origins
E012 CHAT_WEBHOOK_HOSTS is no list of hosts
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from chat.providers.providers_file import ProvidersFileError
from chat.providers.registry import Registry
from chat.providers.shortfalls import shortfalls
from chat.redis import address
from chat.services.origins import is_origin
from chat.services.webhook_addresses import parse_entry
from chat.worker_count import workers

SECRET_KEY_CHARS = 32
"""The tokens are signed by HMAC-SHA256: a shorter key is weaker than the signature."""
SECRET_KEY_VARIETY = 5
"""Distinct characters that any random key has; fewer is a placeholder."""
LOCAL_NAMES = frozenset({"localhost", "testserver"})
"""`testserver`: Django's own, in tests."""
POSITIVE = (
    "WORKERS",
    "CHAT_TICK_SECONDS",
    "CHAT_TICK_STRETCHED_SECONDS",
    "CHAT_SAVE_SECONDS",
    "CHAT_PING_SECONDS",
    "CHAT_STALL_SECONDS",
    "CHAT_READ_THREADS",
    "CHAT_IDEMPOTENCY_SECONDS",
    "CHAT_WEBHOOK_SECONDS",
)


def is_local(host: str) -> bool:
    """Whether a name of ALLOWED_HOSTS means this machine alone."""
    name = host.strip().lower().strip("[]").rstrip(".")
    if name in LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def public_hosts() -> list[str]:
    return [host for host in settings.ALLOWED_HOSTS if not is_local(host)]


def check_workers(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    if workers() <= 1 or settings.REDIS_URL:
        return []
    return [
        Error(
            f"{workers()} workers cannot share their event logs, which are in the memory of each.",
            hint="Set REDIS_URL, or serve with WORKERS=1: one worker carries many readers.",
            id="chat.E001",
        )
    ]


def check_debug(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    public = public_hosts()
    if not settings.DEBUG or not public:
        return []
    return [
        Error(
            f"DEBUG is on while ALLOWED_HOSTS has {', '.join(public)}: error pages would show settings to anybody.",
            hint="Turn DEBUG off, or allow none but this machine: ALLOWED_HOSTS=localhost,127.0.0.1.",
            id="chat.E003",
        )
    ]


def check_secret_key(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.DEBUG or not public_hosts():
        return []
    hint = "Set SECRET_KEY to a long random text, such as the output of `openssl rand -base64 48`."
    if settings.SECRET_KEY_GENERATED:
        words = "SECRET_KEY is not set: a random one is kept in var/, which other hosts do not share."
        return [Warning(words, hint=hint, id="chat.W001")]
    key = settings.SECRET_KEY
    if len(key) >= SECRET_KEY_CHARS and len(set(key)) >= SECRET_KEY_VARIETY and not key.startswith("django-insecure"):
        return []
    return [Error("SECRET_KEY can be guessed: whoever does can sign in as anybody.", hint=hint, id="chat.E008")]


def check_providers_file(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    path = settings.CHAT_PROVIDERS_FILE
    if not path:
        return []
    try:
        # Built as the server will build it: a kind's own keys are checked too, and nothing is connected to.
        registry = Registry.from_file(path)
    except ProvidersFileError as error:
        hint = "CHAT_PROVIDERS_FILE names a TOML file; the README shows one."
        return [Error(str(error), hint=hint, id="chat.E004")]
    hint = "Put the missing keys where the providers file says that they are."
    return [Warning(f"{one[0].upper()}{one[1:]}.", hint=hint, id="chat.W004") for one in shortfalls(registry)]


def check_words(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.LOG_FORMAT not in ("json", "console"):
        words = f"LOG_FORMAT={settings.LOG_FORMAT!r} is neither `json` nor `console`."
        found.append(Error(words, hint="Set it to one of the two.", id="chat.E005"))
    if settings.CHAT_ON_DISCONNECT not in ("continue", "stop"):
        words = f"CHAT_ON_DISCONNECT={settings.CHAT_ON_DISCONNECT!r} is neither `continue` nor `stop`."
        found.append(Error(words, hint="Set it to one of the two.", id="chat.E005"))
    for name in ("CHAT_METRICS", "CHAT_TRACES", "CHAT_REQUEST_LOG"):
        value = getattr(settings, name)
        if value not in ("on", "off"):
            words = f"{name}={value!r} is neither `on` nor `off`."
            found.append(Error(words, hint="Set it to one of the two.", id="chat.E005"))
    if settings.REDIS_URL:
        try:
            address.parse(settings.REDIS_URL)
        except ValueError as error:  # whose words hold nothing of the value, which may have a password
            hint = "Such as redis://127.0.0.1:6379/0, redis+sentinel://host:26379/service or redis+cluster://host:6379."
            found.append(Error(f"REDIS_URL is not the address of a Redis. {error}", hint=hint, id="chat.E006"))
    return found


def check_metrics(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.CHAT_METRICS == "off":
        return []
    found: list[CheckMessage] = []
    for network in settings.CHAT_METRICS_ALLOW:
        try:
            ipaddress.ip_network(network.strip(), strict=False)
        except ValueError:
            words = f"CHAT_METRICS_ALLOW: {network!r} is no address and no network."
            found.append(Error(words, hint="Such as 127.0.0.1,::1,10.0.0.0/8.", id="chat.E009"))
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if directory is not None and not (os.path.isdir(directory) and os.access(directory, os.W_OK)):
        words = f"PROMETHEUS_MULTIPROC_DIR={directory!r} is no directory that can be written."
        hint = "Make it, empty, before the server starts; or unset it where there is one process."
        found.append(Error(words, hint=hint, id="chat.E009"))
    return found


def check_durations(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    return [
        Error(f"{name} must be more than 0.", hint=f"Set {name}, or leave it out for its default.", id="chat.E007")
        for name in POSITIVE
        if not getattr(settings, name) > 0
    ]


def check_connections(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """Those that read and the one that writes keep theirs; a page needs another."""
    needed = settings.CHAT_READ_THREADS + 2
    if needed <= settings.DATABASE_CONNECTIONS:
        return []
    threads = settings.CHAT_READ_THREADS
    words = f"CHAT_DATABASE_CONNECTIONS={settings.DATABASE_CONNECTIONS} is too few for {threads} threads that read."
    hint = f"Set it to {needed} or more, or lower CHAT_READ_THREADS."
    return [Error(words, hint=hint, id="chat.E010")]


def check_sqlite(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    """Several workers of one machine may share an SQLite file, several machines may not."""
    if not settings.REDIS_URL or settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
        return []
    try:
        nodes = address.parse(settings.REDIS_URL).nodes
    except ValueError:
        return []  # which another check tells
    if not all(node.port == 0 or is_local(node.host) for node in nodes):
        return [
            Error(
                "The database is SQLite while Redis is another machine: other hosts would not see the same chats.",
                hint="Set DATABASE_URL to a PostgreSQL, or use a Redis on this machine, which other hosts do not.",
                id="chat.E002",
            )
        ]
    return [
        Warning(
            "The database is SQLite while REDIS_URL is set: every worker must be on this one machine.",
            hint="Set DATABASE_URL to a PostgreSQL before there is a second host.",
            id="chat.W002",
        )
    ]


def check_cookies(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.DEBUG or not public_hosts() or settings.SESSION_COOKIE_SECURE:
        return []
    return [
        Warning(
            "The host is public, and its cookies are also sent over plain HTTP.",
            hint="Behind a proxy that ends TLS and sets X-Forwarded-Proto, set CHAT_TRUST_PROXY=1.",
            id="chat.W003",
        )
    ]


def check_origins(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    return [
        Error(
            f"CHAT_CORS_ORIGINS: {origin!r} is no origin.",
            hint="Name each site as browsers do, in lower case and without a path: https://app.example.com. `*`, which "
            "is anybody's, is refused.",
            id="chat.E011",
        )
        for origin in settings.CHAT_CORS_ORIGINS
        if not is_origin(origin)
    ]


def check_webhook_hosts(app_configs: Any = None, **kwargs: Any) -> Sequence[CheckMessage]:
    found = []
    for entry in settings.CHAT_WEBHOOK_HOSTS:
        try:
            parse_entry(entry)
        except ValueError as error:
            hint = "Give hosts with commas between them; an address of a private network only if you mean it."
            found.append(Error(f"CHAT_WEBHOOK_HOSTS: {error}", hint=hint, id="chat.E012"))
    return found


ALL = (
    check_workers,
    check_connections,
    check_sqlite,
    check_debug,
    check_providers_file,
    check_words,
    check_metrics,
    check_durations,
    check_secret_key,
    check_cookies,
    check_origins,
    check_webhook_hosts,
)


def register_all() -> None:
    for check in ALL:
        register(check)
