"""`manage.py ask`: one question on a terminal, with a real upstream behind it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat.services.picture_file import NotAPicture, read_picture
from chat.simulators.openai_chat import OpenAIChatSimulator
from tests.chat_server import free_port
from tests.operator_command import SECONDS, environment, finish, run, start
from tests.providers.conftest import until

KEY = "key-that-is-secret"
PROVIDERS = """
[providers.one]
kind = "openai_chat"
base_url = "{url}"
api_key = "env:GOOD_KEY"
models = ["tokens-3-0", "tokens-600-20", "echo", "reasons", "fault-401", "fault-500-x1", "fault-stall"]
timeout = {{ connect = 5, first_token = 20, idle = 1, total = 60 }}

[providers.away]
kind = "openai_chat"
base_url = "http://127.0.0.1:{free}/v1"
api_key = "none"
models = ["m"]
fallback = ["one"]
retries = 0
"""


@pytest.fixture
async def upstream() -> AsyncIterator[OpenAIChatSimulator]:
    simulator = OpenAIChatSimulator(KEY)
    await simulator.start()
    yield simulator
    await simulator.aclose()


@pytest.fixture
def given(tmp_path: Path, upstream: OpenAIChatSimulator) -> dict[str, str]:
    return environment(tmp_path, PROVIDERS.format(url=upstream.url, free=free_port()), GOOD_KEY=KEY)


async def test_the_answer_goes_to_the_output_and_what_is_to_know_beside_it(given: dict[str, str]) -> None:
    done = await run(given, "ask", "Hello?")
    assert (done.status, done.out) == (0, "t000001 t000002 t000003 \n")
    assert "one / tokens-3-0; first token after" in done.err
    assert "3 out; stop" in done.err


async def test_the_answer_comes_as_it_is_said_and_ctrl_c_ends_it_upstream_too(
    given: dict[str, str], upstream: OpenAIChatSimulator
) -> None:
    process = await start(given, "ask", "Hello?", "--model", "tokens-600-20")
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        said = await process.stdout.readuntil(b"t000002 ")
    assert said.startswith(b"t000001 ")
    assert upstream.open_connections == 1, "the rest is still to come"
    process.send_signal(signal.SIGINT)
    done = await finish(process)
    assert done.status == 130
    await until(lambda: upstream.open_connections == 0)
    assert upstream.connections[-1].tokens_sent < 600


async def test_the_question_comes_from_the_input_with_its_instructions_and_parameters(
    given: dict[str, str], upstream: OpenAIChatSimulator
) -> None:
    done = await run(
        given, "ask", "-", "--model", "echo", "--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "2",
        stdin="What is tea?",
    )  # fmt: skip
    assert (done.status, done.out) == (0, "What is \n")
    assert "length" in done.err
    request = upstream.connections[-1].request
    assert [turn["role"] for turn in request["messages"]] == ["system", "user"]
    assert request["temperature"] == 0.5


async def test_an_answer_cannot_command_the_terminal(given: dict[str, str]) -> None:
    done = await run(given, "ask", "-", "--model", "echo", stdin="red \x1b[31malert\x07")
    assert done.out == "red ␛[31malert␇\n"


async def test_thoughts_are_shown_where_they_are_wanted_and_apart(given: dict[str, str]) -> None:
    shown = await run(given, "ask", "Hello?", "--model", "reasons", "--show-reasoning")
    hidden = await run(given, "ask", "Hello?", "--model", "reasons", "--no-stream")
    assert shown.out == hidden.out == "Some words came through \n"
    assert "Let me think." in shown.err
    assert "Let me" not in hidden.err


async def test_another_attempt_and_a_fallback_are_told_of(given: dict[str, str]) -> None:
    again = await run(given, "ask", "Hello?", "--model", "fault-500-x1", "--no-stream")
    assert again.status == 0
    assert "one / fault-500-x1, attempt 1: UPSTREAM_UNAVAILABLE" in again.err
    other = await run(given, "ask", "Hello?", "--provider", "away")
    assert other.out == "t000001 t000002 t000003 \n"
    assert "away / m, attempt 1: UPSTREAM_UNAVAILABLE" in other.err
    assert "one / tokens-3-0; first token" in other.err


@pytest.mark.parametrize(
    ("arguments", "out", "sentence"),
    [
        (("--model", "fault-401"), "", "does not accept the key (401): see api_key (env:GOOD_KEY)."),
        (("--model", "fault-stall"), "Some words came through \n", "fell silent for 1 s in mid-answer"),
        (("--provider", "nobody"), "", "There is no such provider. There are: one, away."),
        (("--model", "nothing"), "", "There is no such model. There are: tokens-3-0, "),
        (("--image", "manage.py"), "", "manage.py is neither PNG, JPEG, WebP nor GIF."),
        (("--image", "not-there.png"), "", "not-there.png cannot be read"),
    ],
)
async def test_a_failure_is_a_sentence(
    given: dict[str, str], arguments: tuple[str, ...], out: str, sentence: str
) -> None:
    done = await run(given, "ask", "Hello?", *arguments)
    assert (done.status, done.out) == (1, out)
    assert sentence in done.err
    assert KEY not in done.err


async def test_with_nothing_configured_a_demonstration_model_answers(tmp_path: Path) -> None:
    done = await run(environment(tmp_path), "ask", "What is tea?", "--no-stream")
    assert done.status == 0
    assert "> What is tea?" in done.out


async def test_what_is_no_utf8_is_asked_as_well_as_it_can_be(given: dict[str, str]) -> None:
    done = await run(given, "ask", "caf\udce9?", "--model", "echo")
    assert (done.status, done.out) == (0, "caf??\n")


async def test_no_question_is_no_request(given: dict[str, str], upstream: OpenAIChatSimulator) -> None:
    done = await run(given, "ask", "-", stdin=" \n")
    assert done.status == 1
    assert "There is no question." in done.err
    assert not upstream.connections


@pytest.mark.parametrize(
    ("beginning", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP....", "image/webp"),
    ],
)
def test_a_picture_is_told_by_its_first_bytes(tmp_path: Path, beginning: bytes, content_type: str) -> None:
    file = tmp_path / "picture.txt"
    file.write_bytes(beginning)
    picture = read_picture(str(file))
    assert (picture.content_type, picture.data) == (content_type, beginning)
    file.write_bytes(beginning[1:])
    with pytest.raises(NotAPicture):
        read_picture(str(file))
