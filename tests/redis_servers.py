"""Real Redis servers for the tests: one alone, a cluster, and a master with its replica under sentinels.

Everything listens on 127.0.0.1 and keeps its files in its directory. `with` starts and ends them, also when a test or
the start itself fails. The methods wait in the thread that calls; a coroutine calls them by `asyncio.to_thread`.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.chat_server import ROOT
from tests.runner import Runner

PATIENCE = 60.0
"""Seconds until a wait is given up."""
HOST = "127.0.0.1"
SLOTS = 16384
BUS = 10000
"""What a node of a cluster adds to its port for the talk between nodes."""
SERVICE = "chat"
"""What the sentinels call their master."""

# Below the ports that the system gives to outgoing connections, the bus too, so that a restart finds its port free.
_candidates = itertools.cycle(random.sample(range(12000, 22000), 10000))


def free_port() -> int:
    """A port that is free, and so is the bus port that belongs to it. None comes twice in a process."""
    while True:
        port = next(_candidates)
        with contextlib.suppress(OSError), socket.socket() as own, socket.socket() as bus:
            own.bind((HOST, port))
            bus.bind((HOST, port + BUS))
            return port


def program() -> str:
    """Where `redis-server` is, which also is the sentinel."""
    unpacked = ROOT / "var/test-tools/usr/bin/redis-server"
    found = shutil.which("redis-server") or (str(unpacked) if unpacked.exists() else None)
    assert found, "redis-server is absent: scripts/install-test-tools gets it from Debian's package `redis-tools`"
    return found


def until(condition: Callable[[], object], log: Callable[[], str]) -> None:
    """Asks until the condition holds, also servers that do not answer yet; the log says why it never did."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(RedisError):
            if condition():
                return
        assert time.monotonic() < deadline, log()
        time.sleep(0.05)


class RedisServer(Runner):
    """One process on one port; stop or kill it and start it again at will.

    `tls` are the paths of a certificate and its key, `extra` further arguments of redis-server. Only with `appendonly`
    does a restart keep the data, and a kill all but the last second's.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        password: str | None = None,
        tls: tuple[Path, Path] | None = None,
        appendonly: bool = False,
        extra: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = port or free_port()
        self.password = password
        self.tls = tls
        self.appendonly = appendonly
        self.extra = extra
        self.process: subprocess.Popen[bytes] | None = None
        self._log = directory / "redis.log"
        self._log.touch()

    @property
    def url(self) -> str:
        """With TLS, whoever uses it must be told to trust the certificate."""
        user = f":{self.password}@" if self.password else ""
        return f"{'rediss' if self.tls else 'redis'}://{user}{HOST}:{self.port}/0"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def client(self) -> Redis:
        """A client that tries once. To be closed, by `with` for one."""
        trust = {"ssl_ca_certs": str(self.tls[0])} if self.tls else {}
        return Redis.from_url(self.url, decode_responses=True, socket_timeout=5, retry=Retry(NoBackoff(), 0), **trust)

    def command(self) -> list[str]:
        command = [program(), "--bind", HOST, "--dir", str(self.directory), "--save", ""]
        if self.tls:
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", str(self.tls[0]), "--tls-key-file", str(self.tls[1])]
        else:
            command += ["--port", str(self.port)]
        if self.password:
            command += ["--requirepass", self.password]
        if self.appendonly:
            command += ["--appendonly", "yes", "--appendfsync", "everysec"]
        return [*command, *self.extra]

    def start(self) -> None:
        assert not self.running
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.directory, stdout=log, stderr=log)
        until(self._answers, self.log)

    def _answers(self) -> bool:
        assert self.running, self.log()
        with self.client() as client:
            return bool(client.ping())

    def stop(self) -> None:
        """By SIGTERM, as a service manager does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Like a power cut for the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    close = kill

    def restart(self) -> None:
        self.stop()
        self.start()

    def log(self) -> str:
        return self._log.read_text()


class Group(Runner):
    """Servers that stop in the order in which they stand in `servers`."""

    servers: Sequence[RedisServer]

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def close(self) -> None:
        for server in self.servers:
            server.close()

    def log(self) -> str:
        return "\n".join(server.log() for server in self.servers)


class RedisCluster(Group):
    """Masters that share the slots evenly. A node that is killed comes back by its own `start`, with its data."""

    def __init__(self, directory: Path, nodes: int = 3) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.nodes = [RedisServer(directory / f"node-{n}", appendonly=True, extra=options) for n in range(nodes)]
        self.servers = self.nodes

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'{HOST}:{node.port}' for node in self.nodes)}/"

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        if self._ask(self.nodes[0], "INFO")["cluster_slots_assigned"] == "0":
            self._form()
        self.wait()

    def _form(self) -> None:
        share = SLOTS / len(self.nodes)
        for index, node in enumerate(self.nodes):
            self._ask(node, "ADDSLOTSRANGE", round(index * share), round((index + 1) * share) - 1)
            self._ask(node, "SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes[1:]:
            self._ask(node, "MEET", HOST, self.nodes[0].port)

    def wait(self) -> None:
        """Until every node knows all the others and finds the cluster well."""
        until(lambda: all(self._is_well(node) for node in self.nodes), self.log)

    def _is_well(self, node: RedisServer) -> bool:
        state: dict[str, str] = self._ask(node, "INFO")
        return state["cluster_state"] == "ok" and state["cluster_known_nodes"] == str(len(self.nodes))

    def owner(self, slot: int) -> RedisServer:
        """The node that serves a slot, as the first node has it."""
        ranges = self._ask(self.nodes[0], "SLOTS")
        [port] = [master[1] for first, last, master, *_ in ranges if first <= slot <= last]
        return next(node for node in self.nodes if node.port == port)

    def move_slot(self, slot: int, to_node_index: int) -> None:
        """Moves a slot with its keys, while both nodes serve it, as `redis-cli --cluster reshard` would."""
        source, target = self.owner(slot), self.nodes[to_node_index]
        source_id, target_id = (self._ask(node, "MYID") for node in (source, target))
        self._ask(target, "SETSLOT", slot, "IMPORTING", source_id)
        self._ask(source, "SETSLOT", slot, "MIGRATING", target_id)
        while keys := self._ask(source, "GETKEYSINSLOT", slot, 100):
            with source.client() as client:
                client.migrate(HOST, target.port, keys, 0, 5000)
        # The new owner is told first: nobody may be sent to a node that sends it back.
        for node in sorted(self.nodes, key=lambda node: node is not target):
            self._ask(node, "SETSLOT", slot, "NODE", target_id)

    def _ask(self, node: RedisServer, command: str, *arguments: str | int) -> Any:
        with node.client() as client:
            return client.execute_command(f"CLUSTER {command}", *arguments)


class RedisSentinel(RedisServer):
    """One sentinel of a master: the same program in another mode. It keeps what it learns in its configuration."""

    def __init__(self, directory: Path, master: RedisServer) -> None:
        super().__init__(directory)
        self._configuration = directory / "sentinel.conf"
        # They ping once a second, the first time after one: with less than 2000 ms they miss a master that is well.
        self._configuration.write_text(
            f"bind {HOST}\nport {self.port}\ndir {directory}\n"
            f"sentinel monitor {SERVICE} {HOST} {master.port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} 2000\n"
            f"sentinel failover-timeout {SERVICE} 5000\n"
        )

    def command(self) -> list[str]:
        return [program(), str(self._configuration), "--sentinel"]

    def master_port(self) -> int:
        """Of the server that it takes for the master."""
        with self.client() as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def knows(self, sentinels: int) -> bool:
        """Whether it knows the others, and a replica that the master's data has reached."""
        with self.client() as client:
            master = client.sentinel_master(SERVICE)
            replicas = client.sentinel_slaves(SERVICE)
        linked = [replica for replica in replicas if replica["master-link-status"] == "ok"]
        return master["num-other-sentinels"] == sentinels - 1 and len(linked) == 1


class RedisSentinels(Group):
    """A master, its replica, and sentinels of which two must agree. `fail_over` makes the one the other."""

    def __init__(self, directory: Path, sentinels: int = 3) -> None:
        # Without it a master waits 5 s for further replicas before it sends its data.
        options = ("--repl-diskless-sync-delay", "0")
        self.master = RedisServer(directory / "first", extra=options)
        self.replica = RedisServer(directory / "second", extra=options)
        self.sentinels = [RedisSentinel(directory / f"sentinel-{n}", self.master) for n in range(sentinels)]
        self.servers = [*self.sentinels, self.replica, self.master]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'{HOST}:{sentinel.port}' for sentinel in self.sentinels)}/{SERVICE}/0"

    def start(self) -> None:
        self.master.start()
        self.replica.start()
        with self.replica.client() as client:
            client.replicaof(HOST, self.master.port)
            until(lambda: client.info("replication")["master_link_status"] == "up", self.log)
        for sentinel in self.sentinels:
            sentinel.start()
        until(lambda: all(sentinel.knows(len(self.sentinels)) for sentinel in self.sentinels), self.log)

    def fail_over(self) -> None:
        """Kills the master and waits until every sentinel names the replica, which is `master` from then on. The killed
        one comes back by `replica.start()`, empty; within some ten seconds the sentinels make it a replica."""
        self.master.kill()
        self.master, self.replica = self.replica, self.master
        until(lambda: all(sentinel.master_port() == self.master.port for sentinel in self.sentinels), self.log)
        with self.master.client() as client:
            until(lambda: client.role()[0] == "master", self.log)
