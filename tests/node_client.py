"""Other people's JavaScript clients, run by Node.js against a server of ours.

A script in tests/clients/ imports the packages of package.json by their names: it runs from a copy beside them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.chat_server import ROOT

PACKAGES = ROOT / "var/test-tools/npm"
SCRIPTS = ROOT / "tests/clients"


async def run_script(name: str, *, seconds: float = 60, **inputs: Any) -> Any:
    """The JSON value that the script prints last. `inputs` is what it finds, as JSON, in the variable INPUTS."""
    node = shutil.which("node")
    assert node, "Node.js is absent: scripts/install-test-tools gets it from Debian's package `nodejs`"
    assert (PACKAGES / "node_modules").is_dir(), "the packages are absent: scripts/install-test-tools gets them by npm"
    with tempfile.TemporaryDirectory(dir=PACKAGES) as directory:
        copy = Path(directory) / name
        shutil.copy(SCRIPTS / name, copy)
        process = await asyncio.create_subprocess_exec(
            node,
            str(copy),
            env={**os.environ, "INPUTS": json.dumps(inputs)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), seconds)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, err.decode() + out.decode()
    return json.loads(out.decode().splitlines()[-1])
