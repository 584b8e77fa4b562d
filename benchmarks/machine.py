"""What the figures depend on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from benchmarks.process import ROOT, cores_are_there


def machine() -> dict[str, str]:
    return {
        "commit": _commit(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "tied to cores": "yes" if cores_are_there() else "no",
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def _commit() -> str:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
