"""What the doctor finds, in this process or as the command tells it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.examine import diagnose
from chat.services.diagnosis.registry import EXAMINATIONS
from tests.chat_server import ROOT
from tests.doctor.public_proxy import PublicProxy

SECRET = "hunter-two-is-secret"


def examined(*names: str, url: str = "") -> dict[str, Finding]:
    """What these examinations find, by the finding's id."""
    chosen = [examination for examination in EXAMINATIONS if examination.name in names]
    assert len(chosen) == len(names)
    return {finding.id: finding for finding in diagnose(url, chosen)}


async def through(proxy: PublicProxy, *names: str) -> dict[str, Finding]:
    async with proxy.running():
        return await asyncio.to_thread(examined, *names, url=proxy.url)


def problems(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.level is not Level.OK}


def run_doctor(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
