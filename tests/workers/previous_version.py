"""The code of the commit before this one, as a worker of it runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.chat_server import ROOT, ChatServer

SHARES = "chat/services/leases.py"
"""A version without this file shares its replies with no other worker."""


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    # The files may belong to somebody else, in a container for one.
    return subprocess.run(["git", "-c", "safe.directory=*", *arguments], cwd=ROOT, capture_output=True)


def commit() -> str | None:
    """The commit before the last one; the last one where that is all there is, or the one before shares nothing. None
    where the code is no repository of git, such as an unpacked archive, or git is absent."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return None
    return next(
        (name for name in ("HEAD~1", "HEAD") if git("cat-file", "-e", f"{name}:{SHARES}").returncode == 0), None
    )


class PreviousServer(ChatServer):
    """A server process with the code of `commit`, and the same installed packages."""

    code: Path

    def unpack(self, commit: str) -> None:
        """To be called before `start`."""
        self.code = self.directory / "code"
        self.code.mkdir()
        archive = git("archive", commit)
        assert archive.returncode == 0, archive.stderr.decode()
        subprocess.run(["tar", "x", "-C", str(self.code)], input=archive.stdout, check=True)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "server.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.code, env=self.environment, stdout=log, stderr=log)
