"""The units, as systemd itself reads them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.chat_server import ROOT

FOLDER = ROOT / "deploy/systemd"
PLACE = "/opt/chat"
START = ("chat.target", "chat@8001.service", "chat-migrate.service", "chat-clearsessions.service",
         "chat-clearsessions.timer")  # fmt: skip


def verify(folder: Path) -> str:
    """What systemd has to say against the units, which are looked for in this folder first."""
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is absent: scripts/install-test-tools gets it from Debian's package `systemd`"
    done = subprocess.run(
        [program, "verify", "--man=no", *(str(folder / name) for name in START)], capture_output=True, text=True
    )
    return done.stdout + done.stderr


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, of a product that is installed here."""
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PLACE, str(ROOT)))
    return tmp_path


def test_the_units_are_good(units: Path) -> None:
    assert verify(units) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ExecStart=", "ExecStrat="),
        ("scripts/serve", "scripts/serves"),
        ("chat-migrate.service", "chat-migrates.service"),
    ],
)
def test_a_mistake_in_a_unit_would_be_found(units: Path, old: str, new: str) -> None:
    path = units / "chat@.service"
    path.write_text(path.read_text().replace(old, new))
    assert verify(units) != ""


def test_the_ports_are_those_that_nginx_asks() -> None:
    asked = re.findall(r"server 127\.0\.0\.1:(\d+)", (ROOT / "deploy/nginx/chat-upstream.conf").read_text())
    started = re.findall(r"chat@(\d+)\.service", (FOLDER / "chat.target").read_text())
    assert set(asked) == set(started) == {"8001", "8002"}


def test_a_worker_is_given_time_to_drain() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(FOLDER / "chat@.service")
    drain = re.search(r"`CHAT_DRAIN_SECONDS` \| (\d+) \|", (ROOT / "README.md").read_text())
    grace = re.search(r"GRACE_SECONDS:-(\d+)", (ROOT / "scripts/serve").read_text())
    assert drain
    assert grace
    assert int(unit["Service"]["TimeoutStopSec"]) > int(drain[1]) + int(grace[1])
