"""`manage.py` as an operator runs it: a process of its own, without a server, and with a database only where given."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chat.providers.usual import USUAL
from tests.chat_server import ROOT

SECONDS = 60.0
USUAL_KEYS = tuple(key for usual in USUAL for key in usual.secrets.values())
NO_DATABASE = "postgres://nobody:nothing@127.0.0.1:1/chat"


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


def environment(directory: Path, providers: str = "", **more: str) -> dict[str, str]:
    """With this providers file, and without whatever keys the tests' own environment has."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DJANGO_SETTINGS_MODULE", *USUAL_KEYS)}
    if providers:
        file = directory / "providers.toml"
        file.write_text(providers)
        more["CHAT_PROVIDERS_FILE"] = str(file)
    return {**kept, "SECRET_KEY": "only-for-tests-" + "x" * 50, "DATABASE_URL": NO_DATABASE, **more}


async def start(environment: Mapping[str, str], *arguments: str, program: str = "") -> asyncio.subprocess.Process:
    """`program`: what stands in for `manage.py`, as Python's source."""
    command = ["-c", program] if program else ["manage.py"]
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, *arguments, cwd=ROOT, env=dict(environment),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def finish(process: asyncio.subprocess.Process, stdin: str = "") -> Done:
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Done(process.returncode, out.decode(), err.decode())


async def run(environment: Mapping[str, str], *arguments: str, stdin: str = "", program: str = "") -> Done:
    return await finish(await start(environment, *arguments, program=program), stdin)
