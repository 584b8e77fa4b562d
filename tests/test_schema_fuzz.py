"""Whatever the schema allows is answered as it says, and nothing else is: schemathesis asks, with all of its checks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from chat.api.router import whole_document
from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.chat_server import PASSWORD, ROOT, ChatServer
from tests.server_database import ServerDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROVIDER, MODEL = "simulated", "tokens-3-0"
PROVIDERS = f"""
[providers.{PROVIDER}]
kind = "openai_chat"
base_url = "{{url}}"
api_key = "env:FUZZED_KEY"
models = ["{MODEL}"]
"""
"""It answers at once."""

NOBODY_LISTENS = "http://127.0.0.1:9"
SECONDS = 420
EXAMPLES_LEAST = 3000
HARMLESS = re.compile('^{.*"level": ?"(info|warning)"')
"""Of the server's log: what is none of it is a fault."""

CONFIGURATION = """
hooks = "{hooks}"

[auth.wfc]
path = "{identities}"
user = "owner"
peers = ["owner", "stranger"]

[checks.negative_data_rejection]
# Theirs and 413, which is what a text gets that is longer than the schema allows; and no 5xx.
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]

[checks.positive_data_acceptance]
# Theirs without 5xx. 404 and 409 are of ids and keys that there are or are not.
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "429"]
"""

NEVER_GOOD = {"DELETE /api/v1/me"}
"""Who asks for it is needed again."""


@dataclass(frozen=True, slots=True)
class Fuzzed:
    server: ChatServer
    told: dict[str, str]
    """For the hooks."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fuzzed(tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase) -> AsyncIterator[Fuzzed]:
    simulator = OpenAIChatSimulator("fuzzed-key")
    await simulator.start()
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.fuzzed_settings",
        "FUZZED_KEY": "fuzzed-key",
        "LOG_FORMAT": "json",
        "CHAT_WEBHOOKS_PER_USER": "1",  # each of which is told of every reply
        "CHAT_WEBHOOK_HOSTS": NOBODY_LISTENS,
    }
    server = ChatServer(tmp_path_factory.mktemp("fuzzed"), environment, "uvicorn")
    server.declare(PROVIDERS.format(url=simulator.url))
    server.prepare(prepared_database)
    await server.start()
    yield Fuzzed(server, await furnished(server))
    server.close()
    await simulator.aclose()


async def furnished(server: ChatServer) -> dict[str, str]:
    """What the owner has, by the names that the hooks know."""

    async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await client.post(server.url + path, json=body, headers={"Accept": "application/json"})
        assert answer.is_success, answer.text
        return answer.json() if "json" in answer.headers["Content-Type"] else {}

    async with await server.client() as client:
        reply = await post("/api/v1/chat", {"message": "What is tea?"})
        response = await post("/v1/responses", {"model": MODEL, "input": "What is tea?", "background": True})
        key = await post("/api/v1/api-keys", {"name": "of a program"})
        question = {"id": "1", "role": "user", "parts": [{"type": "text", "text": "What is tea?"}]}
        await post("/api/v1/ui/chat", {"id": "chat-1", "messages": [question]})
        me = (await client.get("/me")).json()
    return {
        "url": server.url,
        "password": PASSWORD,
        "provider": PROVIDER,
        "model": MODEL,
        "webhook": f"{NOBODY_LISTENS}/hook",
        "token": await token(server, "owner"),
        "key": key["key"],
        "uid": me["id"],
        "conversation": reply["conversation"],
        "question": reply["user_message"]["id"],
        "answer": reply["message"]["id"],
        "generation": reply["generation"]["id"],
        "response": response["id"],
        "chat": "chat-1",
    }


async def token(server: ChatServer, user: str) -> str:
    return (await server.headers(user))["Authorization"].removeprefix("Bearer ")


async def ask(fuzzed: Fuzzed, directory: Path, *options: str) -> dict[str, Any]:
    """What schemathesis has found, which must be nothing: its report."""
    identities, configuration, report = (directory / name for name in ("wfc.json", "schemathesis.toml", "report.json"))
    people = [
        {
            "name": user,
            "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {await token(fuzzed.server, user)}"}],
        }
        for user in ("owner", "stranger")
    ]
    identities.write_text(json.dumps({"auth": people}))
    hooks = ROOT / "tests/schema_fuzz/hooks.py"
    configuration.write_text(CONFIGURATION.format(hooks=hooks, identities=identities))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(configuration)),
        *("run", f"{fuzzed.server.url}/api/openapi.json", "--checks", "all", "--continue-on-failure", "--no-shrink"),
        *("--suppress-health-check", "all", "--generation-database", "none", "--warnings", "off"),
        *("--report", "json", "--report-json-path", str(report), *options),
        cwd=directory,
        env={
            **os.environ,
            "SCHEMA_FUZZ": json.dumps(fuzzed.told),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),  # its tables of characters
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _nothing = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    faults = [line for line in fuzzed.server.log().splitlines() if not HARMLESS.search(line)]
    assert process.returncode == 0, out.decode() + "\n".join(faults[-20:])
    assert faults == []
    found: dict[str, Any] = json.loads(report.read_text())
    return found


async def test_whatever_the_schema_allows_is_answered_as_it_says(fuzzed: Fuzzed, tmp_path: Path) -> None:
    """The examples; what is just within and just beyond each bound of each field; requests from all over the schema;
    and chains of them, where the answers of some lead to others."""
    phases = ("examples", "coverage", "fuzzing", "stateful")
    found = await ask(fuzzed, tmp_path, "--phases", ",".join(phases), "--seed", "1", "-n", "5")
    assert found["complete"]
    assert {name: phase["status"] for name, phase in found["phases"].items()} == dict.fromkeys(phases, "success")
    assert found["test_cases"]["generated"] >= EXAMPLES_LEAST
    operations = {
        f"{method.upper()} {path}" for path, methods in whole_document()["paths"].items() for method in methods
    }
    assert found["operations"]["tested"] == len(operations)
    rates = {name: sum(phase["accepted"] for phase in phases.values()) for name, phases in found["valid_rates"].items()}
    assert {name for name in operations if not rates.get(name)} == NEVER_GOOD, "each is also answered well"
