"""A real nginx with the files of deploy/nginx, without any privilege: all that it writes is in one directory."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.chat_server import ROOT, free_port

FILES = ROOT / "deploy/nginx"
START_SECONDS = 10.0

MAIN = """
daemon off;
{user}
worker_processes 2;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include etc/chat/chat.conf;
}}
"""


def program() -> str:
    places = f"{os.environ['PATH']}:/usr/sbin:{ROOT / 'var/test-tools/usr/sbin'}"
    found = shutil.which("nginx", path=places)
    assert found, "nginx is absent: scripts/install-test-tools gets it from Debian's package `nginx`"
    return found


def replaced(text: str, old: str, new: str) -> str:
    """Everywhere; it must be there."""
    assert old in text, old
    return text.replace(old, new)


class NginxServer:
    """`workers`: their ports. `certificate` is one file with its key, for 127.0.0.1."""

    def __init__(self, directory: Path, certificate: Path, workers: Sequence[int]) -> None:
        self.directory = directory
        self.certificate = certificate
        self.port = free_port()
        self.plain_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._write_configuration(workers)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def plain_url(self) -> str:
        return f"http://127.0.0.1:{self.plain_port}"

    @property
    def upstream_file(self) -> Path:
        return self.directory / "etc/chat/chat-upstream.conf"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def client(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, verify=self.trust, headers=headers, timeout=60)

    def _write_configuration(self, workers: Sequence[int]) -> None:
        """The shipped files with other ports, other places, and these workers."""
        etc = self.directory / "etc"
        chat = etc / "chat"
        shutil.copytree(FILES, chat)
        (etc / "tls").mkdir()
        for name in ("fullchain.pem", "privkey.pem"):
            shutil.copy(self.certificate, etc / "tls" / name)
        site = (chat / "chat.conf").read_text()
        site = replaced(site, "/etc/nginx", str(etc))
        site = replaced(site, "/var/cache/nginx/chat", str(self.directory / "cache"))
        site = replaced(site, "/var/log/nginx/access.log", str(self.directory / "access.log"))
        site = replaced(site, "listen 80 ", f"listen 127.0.0.1:{self.plain_port} ")
        site = replaced(site, "listen 443 ", f"listen 127.0.0.1:{self.port} ")
        (chat / "chat.conf").write_text(site)
        upstream = self.upstream_file.read_text()
        for shipped, port in zip((8001, 8002), workers, strict=True):
            upstream = replaced(upstream, f":{shipped} ", f":{port} ")
        self.upstream_file.write_text(upstream)
        # Started by root, the processes of nginx would be nobody, who may not enter this directory.
        user = "user root;" if os.geteuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(MAIN.format(user=user))

    @property
    def command(self) -> list[str]:
        return [program(), "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]

    async def start(self) -> None:
        with (self.directory / "stderr.log").open("wb") as log:
            self._process = await asyncio.to_thread(subprocess.Popen, self.command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    def reload(self) -> None:
        """Reads the files again; streams go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def log(self) -> str:
        return "".join((self.directory / name).read_text() for name in ("stderr.log", "error.log"))
