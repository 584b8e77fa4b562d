"""compose.yaml, as Compose itself reads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chat_server import ROOT

SECRETS = {"SECRET_KEY": "key-of-the-tests", "POSTGRES_PASSWORD": "word", "TLS_DIRECTORY": "./tls"}
WORKERS = ("web-1", "web-2")


def command() -> list[str]:
    """Compose as Docker's plugin, or as a program of its own."""
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    found = shutil.which("docker-compose")
    assert found, "Compose is absent: scripts/install-test-tools gets it from Debian's package `docker-compose`"
    return [found]


def read(tmp_path: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """`docker compose config` in a copy of the project, with these variables in .env."""
    folder = tmp_path / "chat/deploy"
    shutil.copytree(ROOT / "deploy", folder)
    (folder / "tls").mkdir()
    example = (folder / "env.example").read_text()
    lines = [re.sub(r"^(\w+)=.*", lambda match: f"{match[1]}={given.get(match[1], '')}", line)
             if line.split("=")[0] in SECRETS else line for line in example.splitlines()]  # fmt: skip
    (folder / ".env").write_text("\n".join(lines) + "\n")
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return subprocess.run(
        [*command(), "-f", "compose.yaml", "config"], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture
def project(tmp_path: Path) -> dict[str, Any]:
    done = read(tmp_path, **SECRETS)
    assert done.returncode == 0, done.stderr
    parsed: dict[str, Any] = yaml.safe_load(done.stdout)
    return parsed


def seconds(duration: str) -> int:
    """`1m0s` and the like."""
    match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert match, duration
    return int(match[1] or 0) * 60 + int(match[2] or 0)


@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_nothing_starts(missing: str, tmp_path: Path) -> None:
    done = read(tmp_path, **{name: value for name, value in SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert f"{missing} is missing" in done.stderr


def test_the_workers_wait_for_the_migration_and_the_migration_for_the_database(project: dict[str, Any]) -> None:
    services = project["services"]
    for worker in WORKERS:
        conditions = {name: wait["condition"] for name, wait in services[worker]["depends_on"].items()}
        assert conditions == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "redis": "service_healthy",
        }
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["migrate"]["command"] == [".venv/bin/python", "manage.py", "migrate", "--noinput"]
    assert services["migrate"]["restart"] == "no"
    for service in ("postgres", "redis"):
        assert services[service]["healthcheck"]["test"]


def test_a_worker_is_given_time_to_drain(project: dict[str, Any]) -> None:
    for worker in WORKERS:
        service = project["services"][worker]
        settings = service["environment"]
        needed = int(settings["CHAT_DRAIN_SECONDS"]) + int(settings["GRACE_SECONDS"])
        assert seconds(service["stop_grace_period"]) > needed


def test_the_workers_share_one_database_one_redis_and_one_key(project: dict[str, Any]) -> None:
    first, second = (project["services"][worker] for worker in WORKERS)
    assert first == second
    settings = first["environment"]
    assert settings["DATABASE_URL"] == "postgres://chat:word@postgres:5432/chat"
    assert settings["REDIS_URL"] == "redis://redis:6379/0"
    assert settings["SECRET_KEY"] == SECRETS["SECRET_KEY"]


def test_redis_keeps_what_it_has(project: dict[str, Any]) -> None:
    line = " ".join(project["services"]["redis"]["command"])
    assert "--appendonly yes" in line
    assert "--maxmemory-policy noeviction" in line
    assert {"postgres", "redis"} <= project["volumes"].keys()


def test_only_nginx_can_be_reached_from_outside(project: dict[str, Any]) -> None:
    services = project["services"]
    assert [name for name, service in services.items() if service.get("ports")] == ["nginx"]
    assert project["networks"]["data"]["internal"] is True
    for name in ("postgres", "redis"):
        assert list(services[name]["networks"]) == ["data"]


def test_what_is_mounted_is_there_and_names_the_workers() -> None:
    folder = ROOT / "deploy"
    shipped = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    mounted = [volume.split(":")[0] for volume in shipped["nginx"]["volumes"] if volume.startswith("./")]
    assert mounted
    assert all((folder / path).is_file() for path in mounted)
    upstream = (folder / "nginx/chat-upstream-compose.conf").read_text()
    assert set(re.findall(r"server ([\w-]+):8000", upstream)) == set(WORKERS)
