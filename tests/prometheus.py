"""A real Prometheus for the tests: it scrapes a server and evaluates rules, as it would in production, only faster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from tests.chat_server import ROOT, free_port

PATIENCE = 30.0
"""Seconds until a wait is given up."""
WINDOW = "3s"
INTERVAL = "200ms"


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is."""
    unpacked = ROOT / "var/test-tools/usr/bin" / name
    found = shutil.which(name) or (str(unpacked) if unpacked.exists() else None)
    assert found, f"{name} is absent: scripts/install-test-tools gets it from Debian's package `prometheus`"
    return found


def hastened(rules: str) -> str:
    """The same rules over a few seconds in the place of minutes."""
    return re.sub(r"for: \w+", "for: 0s", re.sub(r"\[\d+[smh]\]", f"[{WINDOW}]", rules))


class Prometheus:
    """`start` it, ask it, `stop` it."""

    def __init__(self, directory: Path, rules: str, target: str) -> None:
        self._directory = directory
        self._url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "alerts.yml").write_text(rules)
        configuration = {
            "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [{"job_name": "chat", "static_configs": [{"targets": [target]}]}],
        }
        # JSON is YAML too.
        (directory / "prometheus.yml").write_text(json.dumps(configuration))

    async def start(self) -> None:
        command = [
            program("prometheus"),
            f"--config.file={self._directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address={self._url.removeprefix('http://')}",
            "--log.level=warn",
        ]
        self._process = self._spawn(command)
        await self.until(self._is_ready)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._directory / "prometheus.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Asks the condition again and again until it holds."""
        deadline = time.monotonic() + PATIENCE
        while not await condition():
            assert self._process is not None
            assert self._process.poll() is None, self._log()
            assert time.monotonic() < deadline, self._log()
            await asyncio.sleep(0.1)

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        answer = await self._get("query", query=expression)
        return list(answer["result"])

    async def rules(self) -> list[dict[str, Any]]:
        return [rule for group in (await self._get("rules"))["groups"] for rule in group["rules"]]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = (await self._get("alerts"))["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{self._url}/api/v1/{path}", params=parameters)
        answer = response.json()
        assert answer["status"] == "success", (parameters, answer)
        return dict(answer["data"])

    async def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{self._url}/-/ready")).status_code == 200
        return False

    def _log(self) -> str:
        return (self._directory / "prometheus.log").read_text()
