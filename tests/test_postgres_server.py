"""The PostgreSQL of the tests: it keeps what was committed over a restart and over a kill."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.postgres_server import PostgresServer


def test_a_server_keeps_what_was_committed(tmp_path: Path) -> None:
    with PostgresServer(tmp_path) as server:
        url = server.create_database("chat")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE lines (line text)")
        for line, end in (("first", server.restart), ("second", server.kill), ("third", server.stop)):
            with psycopg.connect(url) as connection:
                assert connection.execute("SHOW fsync").fetchone() == ("on",)
                connection.execute("INSERT INTO lines VALUES (%s)", [line])
                connection.commit()
                end()
                with pytest.raises(psycopg.OperationalError):
                    connection.execute("SELECT 1")
            if end != server.restart:
                server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT line FROM lines").fetchall() == [("first",), ("second",), ("third",)]


def test_a_server_is_gone_after_a_test_that_fails(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path)
    with pytest.raises(RuntimeError), server:
        raise RuntimeError
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(server.url)
