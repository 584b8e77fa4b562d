"""The house itself: its floors, its types, its style, and the commands that everybody starts with."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
START_SECONDS = 120.0
"""`make run` may have to install what another command changed."""
PYTHON_LINES = 320
SCRIPT_LINES = 220
"""Past these a file usually holds two ideas."""
NOT_OURS = frozenset(
    {".git", ".venv", "var", "staticfiles", "node_modules", "vendor", "results", ".hypothesis", ".env"}
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|Users)/\w")
REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[\w.]+ +# \w.*")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["lint-imports"], id="imports point down"),
        pytest.param(["ruff", "check", "."], id="style"),
        pytest.param(["ruff", "format", "--check", "."], id="format"),
        pytest.param(["mypy"], id="types"),
    ],
)
def test_the_house_is_in_order(command: list[str]) -> None:
    result = run(str(BIN / command[0]), *command[1:])
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


def test_the_migrations_know_every_model() -> None:
    result = run(sys.executable, "manage.py", "makemigrations", "--check", "--dry-run")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_and_says_what_it_is_for(name: str) -> None:
    entries = [line for line in (ROOT / name).read_text().splitlines() if line and line[0] not in "#-"]
    assert entries
    assert [entry for entry in entries if not REQUIREMENT.fullmatch(entry)] == []


def our_files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.endswith("_cache")]
        yield from (Path(folder) / name for name in names)


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = []
    for path in our_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {line}" for line in text.splitlines() if MACHINE_PATH.search(line)]
    assert not found, "\n".join(found)


def test_every_setting_is_documented_and_no_other() -> None:
    settings = set(re.findall(r'"(CHAT_[A-Z_]+)"', (ROOT / "chatsite/settings.py").read_text()))
    documents = "\n".join((ROOT / name).read_text() for name in ("README.md", "docs/operations.md", ".env.example"))
    assert set(re.findall(r"\bCHAT_[A-Z_]+\b", documents)) == settings


def test_a_file_holds_one_idea() -> None:
    long = []
    for pattern, most in (("chat/**/*.py", PYTHON_LINES), ("chatsite/**/*.py", PYTHON_LINES),
                          ("static/chat/**/*.js", SCRIPT_LINES)):  # fmt: skip
        for path in ROOT.glob(pattern):
            lines = len(path.read_text().splitlines())
            if "migrations" not in path.parts and lines > most:
                long.append(f"{path.relative_to(ROOT)}: {lines} lines, {most} at most")
    assert not long, "\n".join(long)


def test_the_shell_scripts_can_be_read_by_their_shells() -> None:
    names = ("setup", "install-test-tools", "test-javascript", "serve")
    for script in (*(f"scripts/{name}" for name in names), ".ci/run"):
        path = ROOT / script
        shell = path.read_text().splitlines()[0].removeprefix("#!").split()[-1]
        result = run("bash" if shell.endswith("bash") else "sh", "-n", script)
        assert result.returncode == 0, result.stderr
        assert os.access(path, os.X_OK), f"{script} cannot be executed"


# `make run` and `make serve`


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(params=["run", "serve"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server as `make` starts it, with a database of its own; and its address."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("DJANGO_SETTINGS_MODULE", "MAKEFLAGS")},
        "DATABASE_URL": f"sqlite:///{tmp_path / 'chat.sqlite3'}",
        "REDIS_URL": "",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["make", request.param, f"PORT={port}"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)


def until_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"{address} never answered; make ended with {process.poll()}")


def terminate(make: subprocess.Popen[bytes]) -> None:
    """As a service manager does: make alone gets the signal."""
    make.send_signal(signal.SIGTERM)


def press_ctrl_c(make: subprocess.Popen[bytes]) -> None:
    """As a terminal does: make and everything under it get the signal."""
    os.killpg(make.pid, signal.SIGINT)


@pytest.mark.parametrize("end", [terminate, press_ctrl_c])
def test_make_serves_until_it_is_ended_and_then_the_server_is_gone(
    made: tuple[subprocess.Popen[bytes], str], end: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    process, address = made
    until_healthy(process, address)
    assert httpx.get(f"{address}/healthz").text.strip() == "ok"
    ready = httpx.get(f"{address}/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"]["migrated"] is True
    # A load balancer asks by address, not by the site's name.
    assert httpx.get(f"{address}/readyz", headers={"Host": "10.0.0.7"}).status_code == 200
    end(process)
    process.wait(30)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{address}/healthz")


# The services' own check


def test_the_services_check_names_what_does_not_answer() -> None:
    nobody = free_port()
    environment = {
        **os.environ,
        "CHAT_TEST_POSTGRES_URL": f"postgres://postgres@127.0.0.1:{nobody}/postgres",
        "CHAT_TEST_REDIS_URL": f"redis://127.0.0.1:{nobody}/0",
    }
    result = subprocess.run(
        [sys.executable, "scripts/check_services.py"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "PostgreSQL does not answer" in result.stderr
    assert "Redis does not answer" in result.stderr
