"""A PostgreSQL of the benchmark's own, as it comes, its commits as durable as in production."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from benchmarks.case import NotInstalled
from benchmarks.process import START_SECONDS, ListeningProcess, as_user, free_port

SYSTEM_USER = "postgres"
"""Who runs it where the benchmark runs as root, which PostgreSQL refuses."""

PREPARED, USED = "prepared", "used"
"""The database that is prepared, and what the names of its copies begin with."""


class Written(NamedTuple):
    """Since it was started: transactions, reads among them; rows inserted, updated and deleted; its write-ahead log."""

    transactions: int
    rows: int
    log_bytes: int


class PostgresServer:
    """As a context it serves inside, with an empty database at `url`. Raises NotInstalled where it is absent."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._programs = _programs()
        self._log = directory / "postgres.log"
        self._port = free_port()
        self._copies = 0
        self._stack = ExitStack()
        self._process: ListeningProcess

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return self._address(PREPARED)

    def __enter__(self) -> PostgresServer:
        with ExitStack() as stack:
            # A directory that its system user may enter, which the benchmark's own is not.
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chat-benchmark-postgres-")))
            user = SYSTEM_USER if os.geteuid() == 0 else None
            if user is not None:
                shutil.chown(data, user, user)
            self._initialise(data, user)
            command = [str(self._programs / "postgres"), "-D", str(data), "-p", str(self._port), "-k", ""]
            self._process = ListeningProcess(command, self._port, None, self._log, user=user)
            stack.enter_context(self._process)
            self._create_database()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def copy(self, directory: Path) -> str:
        """The address of a copy of what is at `url`, to which nobody may be connected."""
        self._copies += 1
        name = f"{USED}_{self._copies}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(PREPARED))
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(create)
        return self._address(name)

    def written(self) -> Written:
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            row = connection.execute(
                "SELECT sum(xact_commit), sum(tup_inserted + tup_updated + tup_deleted),"
                " pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') FROM pg_stat_database WHERE starts_with(datname, %s)",
                (USED,),
            ).fetchone()
        assert row is not None
        return Written(*(int(value or 0) for value in row))

    def _address(self, name: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self._port}/{name}"

    def _initialise(self, data: Path, user: str | None) -> None:
        command = [str(self._programs / "initdb"), "--username=postgres", "--auth=trust", "--encoding=UTF8"]
        command += ["--locale=C.UTF-8", "--no-sync", f"--pgdata={data}"]
        done = subprocess.run(command, cwd=data, capture_output=True, text=True, **as_user(user))
        if done.returncode:
            raise RuntimeError(f"no PostgreSQL could be made:\n{done.stderr}")

    def _create_database(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(PREPARED)))
                return
            except psycopg.OperationalError:  # it listens before it serves
                if time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}") from None
                time.sleep(0.1)


def _programs() -> Path:
    """The directory of `initdb` and `postgres`."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    in_path = shutil.which("initdb")
    found = [Path(in_path).resolve().parent] if in_path else []
    for directory in [*found, *packaged]:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise NotInstalled("PostgreSQL is not installed")
