"""The programs of docs/api.md, run as they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

from tests.chat_server import ROOT
from tests.node_client import PACKAGES

GUIDE = ROOT / "docs/api.md"

BRIEFLY = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For a JVM that lives some seconds: half of the compiler's time would go to compiling itself well."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in _BLOCK.findall(GUIDE.read_text()) if name == language]


def languages() -> set[str]:
    return {name for name, _text in _BLOCK.findall(GUIDE.read_text())}


async def run(command: list[str], environment: dict[str, str], seconds: float = 90) -> str:
    """What it prints. It must end well, and complain of nothing."""
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode() + out.decode()
    assert not err, err.decode()
    return out.decode()


async def python_command(program: str, directory: Path) -> list[str]:
    (directory / "guide.py").write_text(program)
    return [sys.executable, str(directory / "guide.py")]


async def js_command(program: str, directory: Path) -> list[str]:
    node = shutil.which("node")
    assert node, "Node.js is absent: scripts/install-test-tools gets it from Debian's package `nodejs`"
    (directory / "guide.mjs").write_text(program)
    return [node, str(directory / "guide.mjs")]


async def kotlin_command(program: str, directory: Path) -> list[str]:
    """Compiled first."""
    java = shutil.which("java")
    assert java, "Java is absent: scripts/install-test-tools gets it"
    home = PACKAGES / "node_modules/kotlin-compiler"
    name = "usr/share/java/json-android.jar"
    json = next(path for path in (Path("/", name), ROOT / "var/test-tools" / name) if path.exists())
    source, compiled = directory / "Guide.kt", directory / "guide.jar"
    source.write_text(program)
    jar = str(home / "lib/kotlin-compiler.jar")
    compiler = [java, *BRIEFLY, "-cp", jar, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
    await run([*compiler, "-kotlin-home", str(home), "-cp", str(json), "-d", str(compiled), str(source)], {})
    classes = [str(compiled), str(home / "lib/kotlin-stdlib.jar"), str(json)]
    return [java, *BRIEFLY, "-cp", os.pathsep.join(classes), "GuideKt"]
