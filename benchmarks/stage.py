"""Where a case plays: its upstreams, its servers, fresh ones each time, and the load that they get."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks import certificate
from benchmarks.case import Entrant, Kind
from benchmarks.chat_site import ALLOCATOR, UVICORN, ChatSite
from benchmarks.generators import Generator
from benchmarks.go_tools import GoTools
from benchmarks.job import Elsewhere, Job
from benchmarks.model_name import Plan, name_of
from benchmarks.process import HARNESS_CORE, SERVER_CORE, ListeningProcess, free_port
from benchmarks.settings import Settings
from benchmarks.workload import WARM_UP, Workload

SERVER = "the owner"
"""Of several processes, the one that is asked for the replies, and so runs them."""


@dataclass(frozen=True)
class Contender:
    """An entrant whose server runs. `others` and `beside`: further processes by what they are, with their ids, whose
    CPU is part of the figure, or only told. `elsewhere`: where its replies are asked for and read, if not at `url`."""

    name: str
    kind: Kind
    process: ListeningProcess
    url: str
    bearers: list[str]
    others: Mapping[str, int] = field(default_factory=dict)
    beside: Mapping[str, int] = field(default_factory=dict)
    elsewhere: tuple[Elsewhere, ...] = ()

    @property
    def counted(self) -> dict[str, int]:
        """All processes whose CPU is the figure."""
        return {SERVER: self.process.pid, **self.others}

    def job(self, workload: Workload) -> Job:
        return Job(
            url=self.url,
            body=self._body(name_of(workload.plan)),
            streams=workload.streams,
            tokens=workload.plan.tokens,
            ramp_seconds=workload.ramp_seconds,
            bearers=self.bearers,
            repeats=self.kind != "go",
            elsewhere=list(self.elsewhere),
        )

    def _body(self, model: str) -> dict[str, Any]:
        """Each server reads of it what it knows: ours and the Starlette relay the message, the Go relay the list."""
        if self.kind == "ours":
            body = {"message": "hello", "model": model}
            return {"type": "send", **body} if self.url.startswith("ws:") else body
        return {"message": "hello", "model": model, "messages": [{"role": "user", "content": "hello"}]}


class Stage:
    """As a context: its upstreams end with it. `go`: the Go relay and upstream, where they are there."""

    def __init__(
        self, directory: Path, settings: Settings, site: ChatSite, generator: Generator, go: GoTools | None
    ) -> None:
        self.settings = settings
        self.generator = generator
        self.site = site
        self._directory = directory
        self._go = go
        self._upstreams: dict[str, str] = {}
        self._certificate: tuple[Path, Path] | None = None
        self._numbers = itertools.count()
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def has(self, entrant: Entrant) -> bool:
        return entrant.kind != "go" or self._go is not None

    def room(self, name: str) -> Path:
        """A new directory."""
        directory = self._directory / f"{next(self._numbers)}-{name}"
        directory.mkdir()
        return directory

    @contextmanager
    def contender(self, entrant: Entrant, plan: Plan) -> Iterator[Contender]:
        upstream = self.upstream(tls=entrant.tls, held=bool(plan.held_seconds))
        directory = self.room(entrant.kind)
        environment = dict(entrant.environment)
        if entrant.tls:
            environment["SSL_CERT_FILE"] = str(self._certificate_files()[0])
        with self._server(entrant, plan, directory, upstream, environment) as process:
            here = f"127.0.0.1:{process.port}"
            ours = entrant.kind == "ours"
            chat = "/api/v1/chat" if ours else "/chat"
            url = f"ws://{here}/ws/chat/" if entrant.websocket else f"http://{here}{chat}"
            yield Contender(entrant.name, entrant.kind, process, url, self.site.bearers if ours else [])

    def _server(
        self, entrant: Entrant, plan: Plan, directory: Path, upstream: str, environment: dict[str, str]
    ) -> ListeningProcess:
        if entrant.kind == "ours":
            if self.settings.profile == "perf":
                environment["PYTHONPERFSUPPORT"] = "1"  # from Python 3.12 on: perf then sees Python's functions
            models = {name_of(plan), name_of(WARM_UP.plan)}
            return self.site.process(directory, upstream, sorted(models), environment)
        port = free_port()
        if entrant.kind == "go":
            assert self._go is not None
            command = [str(self._go.relay), f"-addr=127.0.0.1:{port}", f"-up={upstream}/chat/completions"]
            environment["GOMAXPROCS"] = "1"  # one worker
        else:
            command = [*UVICORN, "--port", str(port), "benchmarks.peers.starlette_relay:app"]
            environment |= {"UPSTREAM_URL": upstream, **ALLOCATOR}
        return ListeningProcess(command, port, SERVER_CORE, directory / "server.log", environment)

    def upstream(self, *, tls: bool = False, held: bool = False) -> str:
        """The address of one that can do this; started when it is asked for first."""
        go = self._go if not tls and not held else None
        kind = "go" if go else "tls" if tls else "python"
        if kind not in self._upstreams:
            port = free_port()
            command = [sys.executable, "-m", "benchmarks.upstream", str(port)]
            if go:
                command = [str(go.upstream), f"-addr=127.0.0.1:{port}"]
            elif tls:
                command += [str(file) for file in self._certificate_files()]
            log = self._directory / f"upstream-{kind}.log"
            self._stack.enter_context(ListeningProcess(command, port, HARNESS_CORE, log))
            self._upstreams[kind] = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
        return self._upstreams[kind]

    def _certificate_files(self) -> tuple[Path, Path]:
        if self._certificate is None:
            self._certificate = certificate.write(self._directory)
        return self._certificate
