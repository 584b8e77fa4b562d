"""REDIS_URL: one server, a service behind Sentinels, or a Cluster.

    redis://[user:password@]host:port/db            rediss:// for TLS, unix:///path?db=0
    redis+sentinel://[user:password@]host:port,host:port/service/db
    redis+cluster://[user:password@]host:port,host:port/

With TLS, `?ssl_ca_certs=/path` names the authorities and `?ssl_cert_reqs=none` believes any certificate, as redis-py
has them.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379

Kind = Literal["single", "sentinel", "cluster"]
_KINDS: dict[str, Kind] = {"": "single", "sentinel": "sentinel", "cluster": "cluster"}


class Node(NamedTuple):
    """A server: a host and a port, or with port 0 the path of a Unix socket."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`nodes`: the server, or the Sentinels, or some of the Cluster's servers. The password is in no representation."""

    kind: Kind
    nodes: tuple[Node, ...]
    username: str | None = None
    secret: str = ""
    database: int = 0
    service: str = ""
    tls: bool = False
    ca_file: str | None = None
    verified: bool = True

    def __repr__(self) -> str:
        return f"<Redis {self.kind} {', '.join(f'{node.host}:{node.port}' for node in self.nodes)}>"

    def tls_context(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def url_of(self, node: Node) -> str:
        """One server's address as redis-py takes it, password and all: to connect with, never to show."""
        credentials = f"{_quoted(self.username or '')}:{_quoted(self.secret)}@" if self.secret else ""
        options = []
        if self.tls:
            options.append(f"ssl_cert_reqs={'required' if self.verified else 'none'}")
            if self.verified and self.ca_file:
                options.append(f"ssl_ca_certs={_quoted(self.ca_file)}")
            if not self.verified:
                options.append("ssl_check_hostname=False")
        if not node.port:
            return f"unix://{credentials}{node.host}?db={self.database}"
        host = f"[{node.host}]" if ":" in node.host else node.host
        scheme = "rediss" if self.tls else "redis"
        query = "?" + "&".join(options) if options else ""
        return f"{scheme}://{credentials}{host}:{node.port}/{self.database}{query}"


def parse(url: str) -> RedisAddress:
    """Raises ValueError, whose words hold nothing of the URL's secrets."""
    scheme, separator, rest = url.partition("://")
    base, _, kind_name = scheme.lower().partition("+")
    if not separator or base not in ("redis", "rediss", "unix") or kind_name not in _KINDS:
        raise ValueError("REDIS_URL begins with redis://, rediss:// or unix://, maybe with +sentinel or +cluster.")
    kind = _KINDS[kind_name]
    parts = urlsplit(f"//{rest}")
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, secret = credentials.partition(":")
    common = RedisAddress(
        kind,
        (),
        unquote(username) or None,
        unquote(secret),
        tls=base == "rediss",
        ca_file=options.get("ssl_ca_certs"),
        verified=options.get("ssl_cert_reqs", "required") != "none",
    )
    if base == "unix":
        return replace(common, nodes=(Node(parts.path, 0),), database=_database(options.get("db", "")))
    nodes = tuple(_node(host, SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT) for host in hosts.split(","))
    path = parts.path.strip("/")
    if kind == "sentinel":
        service, _, database = path.partition("/")
        if not service:
            raise ValueError("REDIS_URL names no service: redis+sentinel://host:26379/service/0.")
        return replace(common, nodes=nodes, service=service, database=_database(database))
    if kind == "cluster" and path not in ("", "0"):
        raise ValueError("A Redis Cluster has no database but 0: leave it out of REDIS_URL.")
    return replace(common, nodes=nodes[:1] if kind == "single" else nodes, database=_database(path))


def _node(text: str, default_port: int) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        return Node(parts.hostname or "127.0.0.1", parts.port or default_port)
    except ValueError:
        raise ValueError("REDIS_URL: a port is a number.") from None


def _database(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        raise ValueError("REDIS_URL: a database is a number.")
    return int(text)


def _quoted(text: str) -> str:
    return quote(text, safe="")
