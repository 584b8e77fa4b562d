"""Where the channel layer finds its Redis."""

from __future__ import annotations

from typing import Any

from chat.redis.address import parse


def channel_hosts(url: str) -> list[dict[str, Any]]:
    """REDIS_URL as channels-redis takes it; empty where it is none, which a check of the settings tells. In a Cluster
    any server passes on to all: the first one is asked."""
    try:
        address = parse(url)
    except ValueError:
        return []
    # Who waits for news has none for long: a timeout would end the connection.
    options: dict[str, Any] = {"socket_timeout": None, "socket_connect_timeout": 2}
    if address.kind != "sentinel":
        return [{"address": address.url_of(address.nodes[0]), **options}]
    if address.secret:
        options |= {"password": address.secret, "username": address.username}
    tls: dict[str, Any] = {}
    if address.tls:
        tls = {"ssl": True, "ssl_ca_certs": address.ca_file}
        tls |= {} if address.verified else {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    patience = {"socket_timeout": 2, "socket_connect_timeout": 2}
    return [
        {
            "sentinels": [tuple(node) for node in address.nodes],
            "master_name": address.service,
            "sentinel_kwargs": {**patience, **tls},
            "db": address.database,
            **options,
            **tls,
        }
    ]
