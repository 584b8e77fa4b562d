"""The command's lines, its JSON, and what it ends with."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.chat_server import ChatServer, free_port
from tests.doctor.examined import SECRET, run_doctor
from tests.redis_servers import RedisServer


def test_the_command_ends_with_0_without_problems_and_strictly_with_1(chat_server: ChatServer) -> None:
    for arguments, status in (((), 0), (("--strict",), 1)):
        done = run_doctor(chat_server.environment, "--url", chat_server.url, *arguments)
        assert done.returncode == status, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("warning  ")
    assert lines[1].startswith("         "), "its remedy"
    assert any(line.startswith("ok       The parts of an event stream arrive") for line in lines)


def test_the_command_ends_with_1_with_a_problem_and_tells_no_secret(
    chat_server: ChatServer, redis: Callable[..., RedisServer]
) -> None:
    server = redis("--maxmemory-policy", "allkeys-lru", password=SECRET)
    database = f"postgres://me:{SECRET}@127.0.0.1:{free_port()}/chat"
    environment = {**chat_server.environment, "REDIS_URL": server.url, "DATABASE_URL": database}
    url = chat_server.url.replace("//", f"//me:{SECRET}@")
    done = run_doctor(environment, "--json", "--url", url)
    assert done.returncode == 1
    found = {finding["id"]: finding for finding in json.loads(done.stdout)}
    assert {"redis.policy", "database.away", "stream", "websocket"} <= set(found)
    assert set(found["redis.policy"]) == {"id", "level", "sentence", "remedy"}
    assert found["redis.policy"]["level"] == "problem"
    for secret in (SECRET, environment["SECRET_KEY"]):
        assert secret not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
