"""A process of the benchmark: tied to a core, waited for until it listens, and ended for certain."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 30.0

SERVER_CORE, HARNESS_CORE = 0, 1


def cores_are_there() -> bool:
    """With one core, or with one of these forbidden, nothing is tied."""
    return {SERVER_CORE, HARNESS_CORE} <= os.sched_getaffinity(0)


def on_core(core: int | None) -> Callable[[], None]:
    """For `preexec_fn`: ties the process to the core, if any, and lets it open as many files as it may."""
    tied = core is not None and cores_are_there()

    def prepare() -> None:
        if core is not None and tied:
            os.sched_setaffinity(0, {core})
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # two thousand streams are four thousand sockets

    return prepare


def as_user(user: str | None) -> dict[str, Any]:
    """For `Popen`."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": ()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


OF_SERVERS = ("CHAT_", "OTEL_", "PROMETHEUS_", "DJANGO_")
"""Variables that are set for a server by name: what the shell happens to have would change what is measured."""


class ListeningProcess:
    """As a context it is there, and listening on `port` of 127.0.0.1, inside. `core`: None for any. `user`: who it
    runs as, if not who runs the benchmark."""

    def __init__(
        self,
        command: list[str],
        port: int,
        core: int | None,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.port = port
        self._user = user
        self._command = command
        self._core = core
        self._log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OF_SERVERS)}
        self._environment = {**inherited, **(environment or {})}

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> ListeningProcess:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=on_core(self._core),
                **as_user(self._user),
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self._command)} did not start:\n{self._log.read_text()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
