"""A Redis of the benchmark's own, which keeps nothing on disk; and what it says about itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec
from redis import Redis

from benchmarks.case import NotInstalled
from benchmarks.process import ROOT, ListeningProcess, free_port


class Held(NamedTuple):
    """What the streams of all replies hold: their text, without what stands around it, and how many entries."""

    text_bytes: int
    events: int


class _Said(msgspec.Struct, gc=False):
    delta: str = ""


_said = msgspec.json.Decoder(_Said).decode


class RedisServer:
    """As a context it serves inside. Raises NotInstalled where the program is absent."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        port = free_port()
        command = [_program(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)]
        command += ["--save", "", "--appendonly", "no"]
        self._process = ListeningProcess(command, port, None, directory / "redis.log")
        self._client = Redis(port=port)
        self.url = f"redis://127.0.0.1:{port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> RedisServer:
        self._process.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()
        self._process.__exit__(None, None, None)

    def counter(self, name: str) -> int:
        """A number of INFO."""
        return int(self._client.info()[name])

    def held(self) -> Held:
        with self._client.pipeline(transaction=False) as pipeline:
            for key in self._client.scan_iter(count=1000, _type="stream"):
                pipeline.xrange(key)
            streams = pipeline.execute()
        data = [value for entries in streams for _number, fields in entries for value in fields.values()]
        return Held(sum(len(_said(value).delta.encode()) for value in data if value), len(data))


def _program() -> str:
    unpacked = ROOT / "var/test-tools/usr/bin/redis-server"
    found = shutil.which("redis-server") or (str(unpacked) if unpacked.exists() else None)
    if found is None:
        raise NotInstalled("redis-server is not installed")
    return found
