"""What goes into the image is enough to serve, and has no secret. The image itself takes a Docker to build."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from fnmatch import fnmatch
from pathlib import Path

import httpx
import pytest

from tests.chat_server import ROOT, free_port

DOCKERFILE = ROOT / "deploy/Dockerfile"
START_SECONDS = 60.0


def ignore_rules() -> list[tuple[str, bool]]:
    """Patterns of .dockerignore, each with whether it takes in; the last that matches decides."""
    lines = (line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines())
    return [(line.removeprefix("!"), line.startswith("!")) for line in lines if line and not line.startswith("#")]


def is_in_context(path: str) -> bool:
    taken = True
    folders = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for pattern, takes_in in ignore_rules():
        anywhere = pattern.removeprefix("**/")
        if any(
            fnmatch(name, pattern) or (anywhere != pattern and fnmatch(Path(name).name, anywhere)) for name in folders
        ):
            taken = takes_in
    return taken


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """The files that Docker would be sent, with this checkout's own .venv."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and is_in_context(name) and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def test_only_what_the_server_needs_is_sent() -> None:
    for path in ("chat/apps.py", "static/chat/main.js", "locale/zh_Hans/LC_MESSAGES/django.mo", "manage.py",
                 "requirements.txt", "scripts/setup", "scripts/serve"):  # fmt: skip
        assert is_in_context(path), path
    for path in (".env", "deploy/.env", "var/secret_key", "var/chat.sqlite3", ".venv/bin/python", ".git/config",
                 "tests/settings.py", "chat/__pycache__/apps.pyc", "scripts/refresh_locale.py"):  # fmt: skip
        assert not is_in_context(path), path


def test_it_is_enough_to_serve(context: Path) -> None:
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        "SECRET_KEY": "only-for-tests-" + "x" * 50,
        "DATABASE_URL": f"sqlite:///{context / 'chat.sqlite3'}",
        "REDIS_URL": "",
        "PORT": str(port),
        "HOST": "127.0.0.1",
    }
    for command in ("collectstatic --noinput --verbosity 0", "migrate --noinput --verbosity 0"):
        assert command.split()[0] in DOCKERFILE.read_text() + (ROOT / "deploy/compose.yaml").read_text()
        subprocess.run([".venv/bin/python", "manage.py", *command.split()], cwd=context, env=environment, check=True)
    with (context / "server.log").open("wb") as log:
        process = subprocess.Popen(["scripts/serve"], cwd=context, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, (context / "server.log").read_text()
            assert time.monotonic() < deadline, (context / "server.log").read_text()
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
                break
            except httpx.TransportError:
                time.sleep(0.2)
        assert httpx.get(f"http://127.0.0.1:{port}/accounts/login/").status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/static/chat/main.js").status_code == 200
        health = re.search(r'HEALTHCHECK .*\\\n  CMD \["([^"]+)", "-c", "([^"]+)"\]', DOCKERFILE.read_text())
        assert health
        code = health[2].replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        subprocess.run([health[1], "-c", code], cwd=context, check=True)
        # The script has become the server: the signal is the server's own.
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM), (context / "server.log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_it_runs_as_nobody_in_particular_and_ends_by_sigterm() -> None:
    last_stage = DOCKERFILE.read_text().split("\nFROM ")[-1]
    assert re.search(r"^USER \d+$", last_stage, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in last_stage
    assert last_stage.rstrip().endswith('CMD ["scripts/serve"]')
    assert "SECRET_KEY=" not in last_stage
