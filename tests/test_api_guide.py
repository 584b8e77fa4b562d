"""The API guide: each of its programs gets its reply whole, through connections that are cut."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import tree_sitter_swift
from tree_sitter import Language, Parser

from chat.services.webhook_signing import new_secret, signature_headers
from chat.simulators.openai_chat import OpenAIChatSimulator
from tests import api_guide
from tests.chat_server import PASSWORD, ChatServer
from tests.detour import Detour
from tests.node_client import PACKAGES
from tests.server_database import ServerDatabase

MODULE = pytest.mark.asyncio(loop_scope="module")

PROVIDERS = """
[providers.simulated]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:GUIDES_KEY"
models = ["echo"]
"""
"""It repeats what it was told: a long question is answered slowly, all others at once."""

CUTS = 3
WORDS = "word " * 400
"""Five seconds of an answer, of which the cuts need two."""

WEBHOOK, OPENAI_IN_PYTHON = 1, 2
OPENAI_IN_JS, AI_SDK = 1, 2
"""Which of the guide's programs, of those in their language."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, prepared_database: ServerDatabase
) -> AsyncIterator[ChatServer]:
    simulator = OpenAIChatSimulator("guides-key")
    await simulator.start()
    server = ChatServer(tmp_path_factory.mktemp("guide"), {"GUIDES_KEY": "guides-key"})
    server.prepare(prepared_database)
    server.declare(PROVIDERS.format(url=simulator.url))
    await server.start()
    yield server
    server.close()
    await simulator.aclose()


PROGRAMS = {
    "python": api_guide.python_command,
    "js": api_guide.js_command,
    "kotlin": api_guide.kotlin_command,
}


@MODULE
@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_program_of_the_guide_gets_its_reply_whole_through_cuts(
    language: str, server: ChatServer, tmp_path: Path
) -> None:
    command = await PROGRAMS[language](api_guide.blocks(language)[0], tmp_path)
    token = (await server.headers())["Authorization"].removeprefix("Bearer ")
    detour = Detour()
    url = await detour.start(server.url)
    message = f"Hello from {language}: {WORDS}"
    program = asyncio.create_task(api_guide.run([*command, message], {"CHAT_URL": url, "CHAT_TOKEN": token}))
    for _ in range(CUTS):
        while not detour.carried:
            assert not program.done(), program.result()
            await asyncio.sleep(0.05)
        await detour.cut()
        await detour.mend()
    printed = await program
    await detour.cut()
    assert printed == message + "\n"
    async with await server.client() as client:
        page = (await client.get("/conversations")).json()
        [conversation] = [item for item in page["items"] if item["title"].startswith(f"Hello from {language}")]
    assert conversation["message_count"] == 2, "sent again after a cut, it starts nothing twice"


@MODULE
@pytest.mark.parametrize(
    ("language", "number"), [("python", OPENAI_IN_PYTHON), ("js", OPENAI_IN_JS), ("js", AI_SDK)], ids=str
)
async def test_a_client_of_others_as_the_guide_has_it_gets_a_whole_reply(
    language: str, number: int, server: ChatServer, client_directory: Path
) -> None:
    command = await PROGRAMS[language](api_guide.blocks(language)[number], client_directory)
    token = (await server.headers())["Authorization"].removeprefix("Bearer ")
    printed = await api_guide.run(command, {"CHAT_URL": server.url, "CHAT_TOKEN": token})
    assert printed == "Hello\n"


@pytest.fixture
def client_directory() -> Iterator[Path]:
    """Beside the packages, which a script then finds by their names."""
    with tempfile.TemporaryDirectory(dir=PACKAGES) as directory:
        yield Path(directory)


def test_the_guides_check_of_a_webhook_takes_ours_alone() -> None:
    program: dict[str, Any] = {}
    exec(api_guide.blocks("python")[WEBHOOK], program)
    is_ours, secret, body = program["is_ours"], new_secret(), b'{"id": "1"}'
    headers = signature_headers(secret, "msg-1", int(time.time()), body)
    assert is_ours(headers, body, secret)
    assert not is_ours(headers, body + b" ", secret)
    assert not is_ours(headers, body, new_secret())
    assert not is_ours({**headers, "webhook-id": "msg-2"}, body, secret)
    assert not is_ours(signature_headers(secret, "msg-1", int(time.time()) - 600, body), body, secret)


@MODULE
async def test_the_guides_commands_run_in_their_order(server: ChatServer, tmp_path: Path) -> None:
    script = tmp_path / "guide.sh"
    script.write_text(f"set -eu; cd {tmp_path}\n" + "\n".join(api_guide.blocks("sh")))
    environment = {"CHAT_URL": server.url, "CHAT_USER": "owner", "CHAT_PASSWORD": PASSWORD}
    printed = await api_guide.run(["bash", str(script)], environment)
    refusals = re.findall(r'"code":"(\w+)"', printed)
    assert refusals == ["INVALID_REQUEST"], "the one that shows what a refusal looks like"
    assert "event: start" in printed
    assert "304" in printed


def test_the_guides_swift_can_be_read() -> None:
    parser = Parser(Language(tree_sitter_swift.language()))
    for program in api_guide.blocks("swift"):
        tree = parser.parse(program.encode())
        assert not tree.root_node.has_error, tree.root_node


def test_every_program_of_the_guide_is_run_or_read() -> None:
    assert api_guide.languages() <= {*PROGRAMS, "sh", "swift", "text", "json"}
