"""The database, the settings and the machine; and what happens in an examination stays there."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path

import pytest
from django.utils import translation
from pytest_django import Settings

from chat.services.diagnosis.base import Examination, Finding, Level
from chat.services.diagnosis.examine import diagnose
from tests.chat_server import ChatServer
from tests.doctor.examined import SECRET, examined, problems, run_doctor
from tests.postgres_server import PostgresServer


@pytest.mark.django_db
def test_a_migrated_database_is_left_alone() -> None:
    assert set(examined("database")) == {"address", "database"}


def test_an_sqlite_of_several_workers_and_without_tables_is_found(chat_server: ChatServer, tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite3").touch()
    database = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    done = run_doctor({**chat_server.environment, "DATABASE_URL": database, "WORKERS": "4"}, "--json")
    assert done.returncode == 1
    assert {"database.migrations", "database.sqlite"} <= {finding["id"] for finding in json.loads(done.stdout)}


def test_looking_for_an_sqlite_that_is_not_there_does_not_make_it(chat_server: ChatServer, tmp_path: Path) -> None:
    file = tmp_path / "absent.sqlite3"
    done = run_doctor({**chat_server.environment, "DATABASE_URL": f"sqlite:///{file}"}, "--json")
    assert "database.absent" in {finding["id"] for finding in json.loads(done.stdout)}
    assert not file.exists()


def test_a_postgresql_without_tables_and_with_too_few_connections_is_found(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    with PostgresServer(tmp_path) as server:
        environment = {
            **chat_server.environment,
            "DATABASE_URL": server.url,
            "CHAT_READ_THREADS": "300",
            "CHAT_DATABASE_CONNECTIONS": "310",
        }
        done = run_doctor(environment, "--json")
    found = {finding["id"]: finding for finding in json.loads(done.stdout)}
    assert {"database.migrations", "database.connections", "clock"} <= set(found)
    assert found["database.connections"]["level"] == "problem"


def test_the_settings_own_checks_are_findings(settings: Settings) -> None:
    settings.DEBUG = True
    settings.ALLOWED_HOSTS = ["chat.example.com"]
    found = examined("settings")
    assert found["chat.E003"].level is Level.PROBLEM
    assert found["chat.E003"].remedy


def test_few_open_files_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        assert problems(examined("files")) == {"files.limit"}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_missing_static_files_are_found(settings: Settings, tmp_path: Path) -> None:
    assert not problems(examined("static"))
    settings.STATICFILES_DIRS = []
    settings.STATIC_ROOT = tmp_path
    found = examined("static")
    assert problems(found) == {"static.missing"}
    assert "chat/main.js" in found["static.missing"].sentence


def test_an_examination_that_fails_is_a_finding_and_the_others_go_on(settings: Settings) -> None:
    settings.REDIS_URL = f"redis://:{SECRET}@127.0.0.1/0"

    def fail(address: object) -> list[Finding]:
        raise RuntimeError(SECRET)

    def tell(address: object) -> list[Finding]:
        return [Finding("told", Level.WARNING, f"It is {SECRET}.", f"Keep {SECRET}.")]

    found = diagnose("", [Examination("fails", fail), Examination("tells", tell)])
    assert [finding.id for finding in found] == ["fails.failed", "told", "address"], "the worst comes first"
    assert "RuntimeError" in found[0].sentence
    assert SECRET not in repr(found)


def test_an_examination_that_hangs_is_not_waited_for() -> None:
    end = threading.Event()

    def hang(address: object) -> list[Finding]:
        end.wait()
        return []

    try:
        found = diagnose("", [Examination("hangs", hang, seconds=0.1)])
    finally:
        end.set()
    assert found[0].id == "hangs.late"


def test_findings_are_in_the_readers_language() -> None:
    def tell(address: object) -> list[Finding]:
        return [Finding("told", Level.OK, translation.get_language())]

    with translation.override("zh-hans"):
        found = diagnose("", [Examination("tells", tell)])
    assert "zh-hans" in [finding.sentence for finding in found]
