"""The API guide: each of its programs gets its reply whole, through connections that are cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import tree_sitter_swift
from tree_sitter import Language, Parser

from chat.simulators.openai_chat import OpenAIChatSimulator
from tests import api_guide
from tests.chat_server import PASSWORD, ChatServer
from tests.detour import Detour
from tests.server_database import ServerDatabase

MODULE = pytest.mark.asyncio(loop_scope="module")

PROVIDERS = """
[providers.simulated]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:GUIDES_KEY"
models = ["tokens-120-20"]
"""

CUTS = 3


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
    program = asyncio.create_task(
        api_guide.run([*command, f"Hello from {language}"], {"CHAT_URL": url, "CHAT_TOKEN": token})
    )
    async with await server.client() as client:
        for _ in range(CUTS):
            while not (conversations := await _asked(client, f"Hello from {language}")):
                assert not program.done(), program.result()
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.6)
            await detour.cut()
            await detour.mend()
        printed = await program
        assert len(conversations) == 1, "sent again after a cut, it starts nothing twice"
        messages = (await client.get(f"/conversations/{conversations[0]}/messages")).json()["items"]
    await detour.cut()
    answers = [message["text"] for message in messages if message["role"] == "assistant"]
    assert printed == answers[0] + "\n"
    assert len(answers) == 1
    assert len(answers[0]) > 300


async def _asked(client: httpx.AsyncClient, title: str) -> list[str]:
    page = (await client.get("/conversations")).json()
    return [item["id"] for item in page["items"] if item["title"] == title]


@MODULE
async def test_the_guides_commands_run_in_their_order(server: ChatServer, tmp_path: Path) -> None:
    script = tmp_path / "guide.sh"
    script.write_text("set -eu\n" + "\n".join(api_guide.blocks("sh")))
    environment = {"CHAT_URL": server.url, "CHAT_USER": "owner", "CHAT_PASSWORD": PASSWORD}
    printed = await api_guide.run(["bash", str(script)], environment)
    assert '"code"' not in printed, "no command is refused"
    assert "event: start" in printed


def test_the_guides_swift_can_be_read() -> None:
    parser = Parser(Language(tree_sitter_swift.language()))
    for program in api_guide.blocks("swift"):
        tree = parser.parse(program.encode())
        assert not tree.root_node.has_error, tree.root_node


def test_every_program_of_the_guide_is_run_or_read() -> None:
    assert api_guide.languages() <= {*PROGRAMS, "sh", "swift", "text", "json"}
