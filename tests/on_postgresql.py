"""Running tests once more with every database on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.chat_server import ROOT
from tests.external_services import POSTGRES_URL

PATIENCE = 600
"""Seconds until a run of them is given up."""


def run_there(*tests: str) -> None:
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "CHAT_TEST_DATABASE_URL": POSTGRES_URL}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
