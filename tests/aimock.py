"""aimock, other people's simulation of many upstreams on one port: a check of the adapters that is not of our making.

It differs from the real ones in little: Responses events have no numbers, usage is zero but in Chat Completions, and
what Ollama thinks stands in a field that Ollama does not have.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chat_server import ROOT, free_port

REPLIES = ROOT / "tests/fixtures/aimock"
START_SECONDS = 30.0
_ESTABLISHED = "01"


def program() -> list[str]:
    """The command that runs it."""
    script = ROOT / "var/test-tools/npm/node_modules/@copilotkit/aimock/dist/cli.js"
    node = shutil.which("node")
    assert node, "Node.js is absent: scripts/install-test-tools gets it from Debian's package `nodejs`"
    assert script.exists(), "aimock is absent: scripts/install-test-tools gets it by npm"
    return [node, str(script)]


class Aimock:
    """`start` it, ask it at `url`, `stop` it. `options` as its command line takes them; `log` is a file."""

    def __init__(self, log: Path, *options: str) -> None:
        self._log = log
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        command = [*program(), "-p", str(self.port), "-h", "127.0.0.1", "-f", str(REPLIES), "--strict",
                   "--log-level", "warn", *self._options]  # fmt: skip
        self._process = self._spawn(command)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def open_connections(self) -> int:
        """To it, as the kernel has them: whoever holds them."""
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return sum(int(line[2].rpartition(":")[2], 16) == self.port and line[3] == _ESTABLISHED for line in lines)
