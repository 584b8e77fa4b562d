"""Logs: structlog and the standard library through one formatter, to standard error.

`json` is one object a line, `console` is for people. What nobody may read in a log is cut out here as a last defence:
credentials, and the query of an address, which may hold some. A message's text is never given to a logger.

What is given to structlog goes to standard error directly as JSON: a line for each request must cost little.
"""

from __future__ import annotations

import logging.config
import re
import sys
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor

HIDDEN = "[hidden]"

LEVELS = {
    "chat": "INFO",
    "chatsite": "INFO",
    # A refused request is its client's affair; the proxy in front has it in its access log.
    "django.request": "ERROR",
    "django.security.DisallowedHost": "CRITICAL",
    # It prints its stack each second while Redis is away, which chat.services.process_channel says once.
    "channels_redis.pubsub": "CRITICAL",
    # At INFO these write down each connection with its whole address.
    "asgiref": "WARNING",
    "daphne": "WARNING",
    "httpx": "WARNING",
    "twisted": "WARNING",
    "uvicorn": "WARNING",
    "uvicorn.error": "WARNING",
    "websockets": "WARNING",
}

_HEADER = re.compile(r"(?i)\b(authorization|cookie|(?:x-)?api[-_]key)([\"']?\s*[:=,]\s*(?:b?[\"'])?)[^\"'\r\n]+")
"""As it travels, or as a dictionary or a list of pairs shows it."""
_BEARER = re.compile(r"(?i)\b(bearer[ .]+)[\w.~+/=-]+")
_SUSPECT = re.compile(r"[ .:=,?/]")
"""One of these is in whatever the others find; most values have none."""
_QUERY = re.compile(r"(?<=[\w/])\?[^\s\"'<>]*=[^\s\"'<>]*")
_KEY_IN_PATH = re.compile(r"(/(?:confirm-email|password/reset/key)/)[^/\s\"'<>]+")
"""allauth's links in mails: whoever reads one can use it."""
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/\s\"'<>@]+@")
_ROW = re.compile(r"\bDETAIL: .*", re.DOTALL)
"""With which PostgreSQL shows the row that it refused, texts and all."""


def hide(text: str) -> str:
    """The text without credentials, without the query of any address, and without a database's rows."""
    text = _HEADER.sub(rf"\1\2{HIDDEN}", text)
    text = _BEARER.sub(rf"\1{HIDDEN}", text)
    text = _USER_IN_ADDRESS.sub(f"{HIDDEN}@", text)
    text = _ROW.sub(f"DETAIL: {HIDDEN}", hide_in_path(text))
    return _QUERY.sub(f"?{HIDDEN}", text)


def hide_in_path(path: str) -> str:
    return _KEY_IN_PATH.sub(rf"\1{HIDDEN}", path)


def hide_in_all(logger: Any, method: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and _SUSPECT.search(value):
            event[name] = hide(value)
    return event


class _Direct(structlog.BytesLogger):
    """Writes lines to standard error. One that cannot be written is lost, and what it tells of goes on."""

    def __init__(self, name: str = "") -> None:
        super().__init__(sys.stderr.buffer)
        self.name = name

    def msg(self, message: bytes) -> None:
        with suppress(OSError, ValueError):
            super().msg(message)

    info = warning = error = critical = exception = debug = log = msg


def _as_json(logger: Any, method: str, event: EventDict) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)


def _configure_structlog(log_format: str, debug: bool, shared: list[Processor]) -> None:
    if log_format != "json":
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                *shared,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            hide_in_all,
            *shared,
            _as_json,
        ],
        logger_factory=_Direct,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        cache_logger_on_first_use=True,
    )


def configure(log_format: str, debug: bool) -> None:
    """`log_format`: `json` or `console`. `debug`: our own loggers say more."""
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    _configure_structlog(log_format, debug, shared)
    loggers: dict[str, dict[str, Any]] = {name: {"level": level} for name, level in LEVELS.items()}
    if debug:
        loggers["chat"]["level"] = loggers["chatsite"]["level"] = "DEBUG"
    # uvicorn has given its loggers handlers of their own by now: without them, its words come through ours.
    for name in ("uvicorn", "uvicorn.error"):
        loggers[name] |= {"handlers": [], "propagate": True}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "ours": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info,  # a traceback becomes text, so that it can be searched
                        hide_in_all,
                        renderer,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
            "root": {"handlers": ["stderr"], "level": "WARNING"},
            "loggers": loggers,
        }
    )
