"""What a log line looks like, and what never stands in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chat.logs import HIDDEN, hide

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import logging
import django
django.setup()
import structlog

logger = logging.getLogger("chat.somewhere")
logger.info("generation %s ended", 7)
logger.debug("a detail")
logging.getLogger("twisted").info("GET /?token=hush-hush")
logging.getLogger("uvicorn.error").info("/ws/chat/?token=hush-hush")
logger.warning("refused: wss://ai.example.com/v1?authorization=hush-hush&date=now")
structlog.get_logger("chat.elsewhere").info("started", workers=1, header="Authorization: Bearer hush-hush")
try:
    raise ValueError("https://ai.example.com/v1?key=hush-hush")
except ValueError:
    logger.exception("a request failed")
"""


def written(**environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "chatsite.settings", "DEBUG": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == ""
    return ran.stderr


def test_json_is_one_object_a_line() -> None:
    lines = [json.loads(line) for line in written(LOG_FORMAT="json").splitlines()]
    assert [(line["level"], line["logger"], line["event"]) for line in lines] == [
        ("info", "chat.somewhere", "generation 7 ended"),
        ("warning", "chat.somewhere", f"refused: wss://ai.example.com/v1?{HIDDEN}"),
        ("info", "chat.elsewhere", "started"),
        ("error", "chat.somewhere", "a request failed"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[2]["workers"] == 1
    assert "ValueError" in lines[3]["exception"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_is_written_not_even_in_a_traceback(log_format: str) -> None:
    text = written(LOG_FORMAT=log_format)
    assert "a request failed" in text
    assert "hush-hush" not in text


def test_debug_lets_our_own_loggers_say_more() -> None:
    assert "a detail" in written(LOG_FORMAT="console", DEBUG="1")
    assert "a detail" not in written(LOG_FORMAT="console")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abc.def", f"Authorization: {HIDDEN}"),
        ("{'authorization': 'Basic abc', 'x': 1}", f"{{'authorization': '{HIDDEN}', 'x': 1}}"),
        ("[(b'cookie', b'sessionid=abc')]", f"[(b'cookie', b'{HIDDEN}')]"),
        ("chat.v1, bearer.abc-def_ghi", f"chat.v1, bearer.{HIDDEN}"),
        ("GET /ws/chat/?token=abc HTTP/1.1", f"GET /ws/chat/?{HIDDEN} HTTP/1.1"),
        ("api-key: abc", f"api-key: {HIDDEN}"),
        ("https://me:abc@ai.example.com/v1", f"https://{HIDDEN}@ai.example.com/v1"),
        ("Forbidden: /accounts/confirm-email/abc:def/ it is", f"Forbidden: /accounts/confirm-email/{HIDDEN}/ it is"),
        ("Error: /accounts/password/reset/key/1-abc/", f"Error: /accounts/password/reset/key/{HIDDEN}/"),
        ("refused\nDETAIL: Failing row contains (1, abc).\n", f"refused\nDETAIL: {HIDDEN}"),
        ("Is it so? Yes = no", "Is it so? Yes = no"),
        ("mail me@example.com", "mail me@example.com"),
        ("the authorization failed", "the authorization failed"),
    ],
)
def test_credentials_are_cut_out_and_nothing_else(text: str, hidden: str) -> None:
    assert hide(text) == hidden
