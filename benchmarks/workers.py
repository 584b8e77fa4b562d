"""Two workers of one site, with a Redis and a PostgreSQL of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.chat_site import ChatSite
from benchmarks.job import Elsewhere
from benchmarks.model_name import Plan, name_of
from benchmarks.postgres_server import PostgresServer
from benchmarks.process import ListeningProcess
from benchmarks.redis_server import RedisServer
from benchmarks.stage import Contender, Stage
from benchmarks.workload import WARM_UP

WORKERS = 2
OTHER_WORKER, REDIS, POSTGRESQL = "the other worker", "Redis", "PostgreSQL"


@dataclass(frozen=True)
class Workers:
    processes: tuple[ListeningProcess, ...]
    redis: RedisServer
    postgres: PostgresServer
    bearers: list[str]

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.bearers[0]}"}

    def chat(self, worker: int) -> str:
        return f"{self._api(worker)}/chat"

    def generations(self, worker: int) -> str:
        return f"{self._api(worker)}/generations"

    def at(self, worker: int) -> Elsewhere:
        """Asked for and read at this worker."""
        return Elsewhere(self.chat(worker))

    def across(self, worker: int) -> Elsewhere:
        """Asked for at this worker, read at the next."""
        return Elsewhere(self.chat(worker), self.generations((worker + 1) % len(self.processes)))

    def contender(self, name: str, *elsewhere: Elsewhere) -> Contender:
        """Everything at the first worker, unless elsewhere. PostgreSQL is beside: the peers have no such thing."""
        first, other = self.processes
        return Contender(
            name,
            "ours",
            first,
            self.chat(0),
            self.bearers,
            others={OTHER_WORKER: other.pid, REDIS: self.redis.pid},
            beside={POSTGRESQL: self.postgres.pid},
            elsewhere=elsewhere,
        )

    def _api(self, worker: int) -> str:
        return f"http://127.0.0.1:{self.processes[worker].port}/api/v1"


@contextmanager
def workers(stage: Stage, plan: Plan, environment: Mapping[str, str]) -> Iterator[Workers]:
    """On no core of their own: with Redis and PostgreSQL they want more than one. Raises NotInstalled."""
    directory = stage.room("workers")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(directory / "redis"))
        postgres = stack.enter_context(PostgresServer(directory / "postgres"))
        site = ChatSite(directory, stage.settings.server, len(stage.site.bearers), postgres)
        database, upstream = postgres.copy(directory), stage.upstream()
        models = sorted({name_of(plan), name_of(WARM_UP.plan)})
        processes = []
        for number in range(WORKERS):
            room = directory / f"worker-{number}"
            room.mkdir()
            settings = {**environment, "REDIS_URL": redis.url}
            process = site.serving(database, room, upstream, models, settings, core=None)
            processes.append(stack.enter_context(process))
        yield Workers(tuple(processes), redis, postgres, site.bearers)
