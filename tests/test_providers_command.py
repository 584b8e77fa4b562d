"""`manage.py providers`: what it lists, and the sentence that it has for each thing that can be wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chat.simulators.openai_chat import OpenAIChatSimulator
from chat.simulators.spark import SparkSimulator
from tests.chat_server import ChatServer, free_port
from tests.operator_command import environment, run
from tests.server_database import ServerDatabase

KEY = "key-that-is-secret"
SECRET = "secret-that-is-secret"
OFF_BY = 400
"""Seconds: more than Spark's gateway bears."""

SKEWED = """
import runpy, sys, time
real = time.time
time.time = lambda: real() + {skew}
sys.argv[0] = "manage.py"
runpy.run_path("manage.py", run_name="__main__")
"""
"""The same command on a machine whose clock is off."""

LISTED = """
[providers.deepseek]
kind = "openai_chat"
label = "DeepSeek"
base_url = "https://api.deepseek.example/v1"
api_key = ["env:GOOD_KEY", "env:SECOND_KEY"]
models = ["chat", { id = "thinker", reasoning = true, vision = true, context = 64000 }]
fallback = ["keyless"]
concurrency = 4
cache = "10m"

[providers.keyless]
kind = "openai_chat"
base_url = "https://api.keyless.example/v1"
api_key = "env:KEY_THAT_IS_NOT_THERE"
models = ["m"]

[providers.local]
kind = "openai_chat"
base_url = "http://127.0.0.1:11434/v1"
api_key = "none"
models = ["llama"]
"""


def declared(url: str, *models: str, name: str = "one", key: str = '"env:GOOD_KEY"', kind: str = "openai_chat") -> str:
    ids = ", ".join(f'"{model}"' for model in models or ("tokens-3-0",))
    return (
        f'[providers.{name}]\nkind = "{kind}"\nbase_url = "{url}"\napi_key = {key}\nmodels = [{ids}]\n'
        "timeout = { connect = 5, first_token = 5, idle = 5, total = 20 }\n"
    )


@pytest.fixture
async def upstream() -> AsyncIterator[OpenAIChatSimulator]:
    simulator = OpenAIChatSimulator(KEY)
    await simulator.start()
    yield simulator
    await simulator.aclose()


@pytest.fixture
async def spark() -> AsyncIterator[SparkSimulator]:
    simulator = SparkSimulator(KEY, SECRET)
    await simulator.start()
    yield simulator
    await simulator.aclose()


# The list


async def test_the_list_says_what_is_declared_and_what_is_off_and_why_and_no_key(tmp_path: Path) -> None:
    given = environment(tmp_path, LISTED, GOOD_KEY=KEY, SECOND_KEY=SECRET)
    done = await run(given, "providers")
    assert done.status == 0
    assert given["CHAT_PROVIDERS_FILE"] in done.out
    deepseek, keyless, local = (" ".join(block.split()) for block in done.out.split("\n\n")[1:-1])
    for part in ("ready deepseek (DeepSeek)", "openai_chat (sse)", "address api.deepseek.example", "keys 2",
                 "chat, thinker (pictures, reasoning, 64000 tokens)", "fallback keyless", "4 in each worker",
                 "100 more may wait", "600 s", "retries 2"):  # fmt: skip
        assert part in deepseek
    assert keyless.startswith("off keyless")
    assert "the environment variable KEY_THAT_IS_NOT_THERE is not set. what to do Put the key there" in keyless
    assert "keys none" in local
    assert "keys 0 of 1" in keyless
    assert "/admin/providers/ and its metrics show" in done.out, "what only a running server knows"
    assert KEY not in done.out + done.err
    assert SECRET not in done.out + done.err
    assert "it is not known which providers are switched off" in done.err, "the database is away, and that is said"


async def test_without_a_file_the_keys_in_the_environment_count_and_without_those_there_are_demonstrations(
    tmp_path: Path,
) -> None:
    done = await run(environment(tmp_path, OPENAI_API_KEY=KEY), "providers", "--json")
    told = json.loads(done.out)
    assert (told["origin"], [row["id"] for row in told["providers"]]) == ("environment", ["openai"])
    assert told["providers"][0]["address"] == "api.openai.com"
    done = await run(environment(tmp_path), "providers")
    assert "demonstration models answer" in done.out
    assert "ready  demo-sse" in done.out


async def test_a_file_that_is_wrong_is_told_in_its_own_words(tmp_path: Path) -> None:
    done = await run(environment(tmp_path, "[providers.one]\nkind = 'openai_chat'\n"), "providers")
    assert done.status == 1
    assert "[providers.one] models" in done.err


async def test_who_is_switched_off_is_listed_so_and_checked_only_where_it_is_named(
    tmp_path: Path, prepared_database: ServerDatabase, upstream: OpenAIChatSimulator, request: pytest.FixtureRequest
) -> None:
    server = ChatServer(tmp_path, {"GOOD_KEY": KEY})
    request.addfinalizer(server.close)
    server.prepare(prepared_database)
    server.declare(declared(upstream.url, name="one") + declared(upstream.url, name="two"))
    switch = "ProviderSwitch.objects.create(provider='two', by=User.objects.get(username='staff'))"
    server.manage("shell", "-v0", "-c", f"from chat.models import ProviderSwitch, User\n{switch}")
    done = await run(server.environment, "providers")
    assert "ready  one" in done.out
    assert "switched off  two" in done.out
    assert "staff switched it off" in done.out
    assert done.err == ""
    done = await run(server.environment, "providers", "--check", "--json")
    assert [one["provider"] for one in json.loads(done.out)["checks"]] == ["one"]
    done = await run(server.environment, "providers", "--check", "--provider", "two", "--json")
    assert [one["ok"] for one in json.loads(done.out)["checks"]] == [True]


# The check


async def test_a_check_shows_how_an_upstream_answers(tmp_path: Path, upstream: OpenAIChatSimulator) -> None:
    given = environment(tmp_path, declared(upstream.url, "tokens-3-0", "tokens-20-0"), GOOD_KEY=KEY)
    done = await run(given, "providers", "--check")
    assert done.status == 0
    assert "ok       one / tokens-3-0" in done.out
    assert "3 out; stop" in done.out
    assert "“t000001 t000002 t000003”" in done.out
    done = await run(given, "providers", "--check", "--all-models", "--json")
    first, second = json.loads(done.out)["checks"]
    assert (first["model"], second["model"], second["usage"]["output_tokens"]) == ("tokens-3-0", "tokens-20-0", 20)
    assert first["ok"]
    assert first["first_token_ms"] >= 0
    done = await run(given, "providers", "--check", "--model", "tokens-20-0")
    assert "one / tokens-20-0" in done.out
    assert "one / tokens-3-0" not in done.out


@pytest.mark.parametrize(
    ("place", "model", "key", "sentence"),
    [
        pytest.param("{url}", "tokens-3-0", "BAD_KEY", "{host} does not accept the key (401): see api_key (env:",
                     id="wrong key"),
        pytest.param("http://127.0.0.1:{free}/v1", "tokens-3-0", "GOOD_KEY", "Nothing listens at 127.0.0.1:{free}:",
                     id="nobody listens"),
        pytest.param("http://nowhere.invalid/v1", "tokens-3-0", "GOOD_KEY", "There is no host nowhere.invalid",
                     id="unknown host"),
        pytest.param("{url}/other", "tokens-3-0", "GOOD_KEY", "{host} has no API at /v1/other/chat/completions (404):",
                     id="wrong path"),
        pytest.param("{url}", "fault-none", "GOOD_KEY", "{host} knows no model “fault-none”", id="wrong model"),
    ],
)  # fmt: skip
async def test_a_check_says_in_a_sentence_what_is_wrong(
    tmp_path: Path, upstream: OpenAIChatSimulator, place: str, model: str, key: str, sentence: str
) -> None:
    free = free_port()
    url = place.format(url=upstream.url, free=free)
    text = declared(url, model, key=f'"env:{key}"')
    done = await run(environment(tmp_path, text, GOOD_KEY=KEY, BAD_KEY="another-secret"), "providers", "--check")
    assert done.status == 1
    assert f"failed   one / {model}" in done.out
    host = upstream.url.removeprefix("http://").removesuffix("/v1")
    assert sentence.format(host=host, free=free) in done.out
    assert KEY not in done.out + done.err
    assert "another-secret" not in done.out + done.err


@pytest.mark.parametrize(("skew", "words"), [(-OFF_BY, "behind"), (OFF_BY, "ahead of")])
async def test_a_check_says_that_the_clock_is_off_and_by_how_much(
    tmp_path: Path, spark: SparkSimulator, skew: int, words: str
) -> None:
    text = declared(spark.url, kind="spark") + 'app_id = "env:APP"\napi_secret = "env:GOOD_SECRET"\n'
    given = environment(tmp_path, text, GOOD_KEY=KEY, GOOD_SECRET=SECRET, APP="a1b2c3d4")
    done = await run(given, "providers", "--check")
    assert done.status == 0, "the clock is right"
    done = await run(given, "providers", "--check", program=SKEWED.format(skew=skew))
    assert done.status == 1
    seconds = done.out.partition("This machine's clock is ")[2].partition(f" s {words} ")[0]
    assert OFF_BY - 5 <= int(seconds) <= OFF_BY + 60, done.out
    assert "have it set by NTP" in done.out


async def test_each_of_several_keys_is_checked(tmp_path: Path, upstream: OpenAIChatSimulator) -> None:
    text = declared(upstream.url, key='["env:GOOD_KEY", "env:BAD_KEY"]')
    done = await run(environment(tmp_path, text, GOOD_KEY=KEY, BAD_KEY="another"), "providers", "--check")
    assert done.status == 1
    assert "ok       one / tokens-3-0, key 1 (env:GOOD_KEY)" in done.out
    assert "failed   one / tokens-3-0, key 2 (env:BAD_KEY)" in done.out
    assert "see api_key (env:BAD_KEY)." in done.out


async def test_each_key_keeps_its_number_where_another_is_missing_and_that_one_fails_the_check(
    tmp_path: Path, upstream: OpenAIChatSimulator
) -> None:
    text = declared(upstream.url, key='["env:NOT_THERE", "env:BAD_KEY", "env:GOOD_KEY"]')
    done = await run(environment(tmp_path, text, GOOD_KEY=KEY, BAD_KEY="another"), "providers", "--check", "--json")
    assert done.status == 1
    checks = json.loads(done.out)["checks"]
    assert [(one["key"], one["source"], one["missing"], one["ok"]) for one in checks] == [
        (1, "env:NOT_THERE", True, False),
        (2, "env:BAD_KEY", False, False),
        (3, "env:GOOD_KEY", False, True),
    ]
    text = declared(upstream.url, key='["env:GOOD_KEY", "env:NOT_THERE"]')
    done = await run(environment(tmp_path, text, GOOD_KEY=KEY), "providers", "--check")
    assert done.status == 1, "who lists a key wants it"
    assert "missing  one / tokens-3-0, key 2 (env:NOT_THERE)" in done.out
    assert "the environment variable NOT_THERE is not set: set it" in done.out


async def test_a_missing_key_fails_a_check_without_a_question(tmp_path: Path, upstream: OpenAIChatSimulator) -> None:
    done = await run(environment(tmp_path, declared(upstream.url)), "providers", "--check")
    assert done.status == 1
    assert "the environment variable GOOD_KEY is not set" in done.out
    assert not upstream.connections


@pytest.mark.parametrize("arguments", [("--provider", "x"), ("--check", "--model", "x"), ("--model", "tokens-3-0")])
async def test_what_is_not_there_is_no_success(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = await run(environment(tmp_path, LISTED, GOOD_KEY=KEY, SECOND_KEY=KEY), "providers", *arguments)
    assert done.status == 1
    assert done.out == ""
    assert "CommandError" in done.err


@pytest.mark.parametrize(
    ("arguments", "there_are"),
    [
        (("--provider", "x"), "There are: deepseek, keyless, local."),
        (("--check", "--model", "x"), "There are: chat, thinker, m, llama."),
        (("--check", "--model", "x", "--provider", "deepseek"), "There are: chat, thinker."),
    ],
)
async def test_who_names_what_is_not_there_is_told_what_there_is(
    tmp_path: Path, arguments: tuple[str, ...], there_are: str
) -> None:
    done = await run(environment(tmp_path, LISTED, GOOD_KEY=KEY, SECOND_KEY=KEY), "providers", *arguments)
    assert there_are in done.err


async def test_several_can_be_named(tmp_path: Path, upstream: OpenAIChatSimulator) -> None:
    text = "".join(declared(upstream.url, name=name) for name in ("one", "two", "three"))
    named = ("--provider", "three", "--provider", "one")
    done = await run(environment(tmp_path, text, GOOD_KEY=KEY), "providers", "--check", "--json", *named)
    assert [one["provider"] for one in json.loads(done.out)["checks"]] == ["one", "three"]
    done = await run(environment(tmp_path, text, GOOD_KEY=KEY), "providers", "--json", *named)
    assert [one["id"] for one in json.loads(done.out)["providers"]] == ["one", "three"]


async def test_a_key_of_several_that_is_not_there_is_told_of(tmp_path: Path, upstream: OpenAIChatSimulator) -> None:
    text = declared(upstream.url, key='["env:GOOD_KEY", "env:NOT_THERE"]')
    done = await run(environment(tmp_path, text, GOOD_KEY=KEY), "providers")
    assert "ready  one" in done.out
    assert "keys 1 of 2" in " ".join(done.out.split())
    assert "goes without some of its keys: api_key: the environment variable NOT_THERE is not set." in done.out
    assert "goes without one of its keys: the environment variable NOT_THERE is not set" in done.err, "the log says so"
