"""A real PostgreSQL for a test of its own, which may restart it, and kill it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.chat_server import free_port
from tests.runner import Runner

SYSTEM_USER = "postgres"
"""Who runs it where the tests run as root, which PostgreSQL refuses."""

CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
"""


def programs() -> Path:
    """The directory of `initdb` and `pg_ctl`."""
    found = []
    if config := shutil.which("pg_config"):
        found.append(Path(subprocess.run([config, "--bindir"], capture_output=True, text=True).stdout.strip()))
    if in_path := shutil.which("initdb"):
        found.append(Path(in_path).parent)
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(packaged, key=lambda path: int(path.parent.name), reverse=True)
    for directory in found:
        if (directory / "initdb").exists() and (directory / "pg_ctl").exists():
            return directory
    raise AssertionError("PostgreSQL is absent: scripts/install-test-tools installs Debian's package `postgresql`")


class PostgresServer(Runner):
    """`directory` holds its log; its data are where its system user may go, and gone with `close`.

    A commit is as durable as in production. `with` starts and ends it, also when a test or the start itself fails. The
    methods wait in the thread that calls; a coroutine calls them by `asyncio.to_thread`.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / "postgres.log"
        self.port = free_port()
        self._data: Path | None = None

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Waits until it serves; after a kill, until it has recovered."""
        if self._data is None:
            # Not in `directory`: pytest lets nobody else enter its own.
            self._data = Path(tempfile.mkdtemp(prefix="chat-postgres-", dir="/tmp"))
            self._initialise(self._data)
        self._control("start")

    def _initialise(self, data: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(data, SYSTEM_USER, SYSTEM_USER)
        # A crash of the machine right after this is nobody's test; the server itself syncs.
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION.format(port=self.port))

    def stop(self) -> None:
        """Waits for nobody's transaction, but leaves everything in order."""
        self._end("fast")

    def restart(self) -> None:
        """Breaks every connection."""
        self._control("restart", "--mode=fast")

    def kill(self) -> None:
        """Like a power cut for the processes: the next start recovers from the log of what was committed."""
        self._end("immediate")

    def _end(self, mode: str) -> None:
        if self._data is not None and (self._data / "postmaster.pid").exists():
            self._control("stop", f"--mode={mode}")

    def close(self) -> None:
        if self._data is not None:
            self.kill()
            shutil.rmtree(self._data)
            self._data = None

    def create_database(self, name: str) -> str:
        """An empty database; its address."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url.removesuffix("postgres") + name

    def _control(self, action: str, *options: str) -> None:
        self._run("pg_ctl", action, "--wait", "--timeout=60", *options)

    def _run(self, name: str, *arguments: str) -> None:
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            as_user = {"user": SYSTEM_USER, "group": SYSTEM_USER, "extra_groups": ()}
        with self._log.open("ab") as log:
            done = subprocess.run(
                [programs() / name, *arguments, "--pgdata", str(self._data)],
                cwd=self._data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **as_user,
            )
        assert done.returncode == 0, self.log()

    def log(self) -> str:
        return self._log.read_text()
