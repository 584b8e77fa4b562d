"""Full text search: what is found, in which script, how it is shown; and that nothing stale, or anybody else's, is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from hypothesis import example, given
from hypothesis import strategies as st

from chat import runtime
from chat.models import Conversation, Message, User
from chat.services import search_intake, search_words
from chat.services.search_words import snippet, terms_of, words_of
from tests.conftest import Server
from tests.rest.conftest import OTHERS, say, stored

pytestmark = pytest.mark.django_db(transaction=True)


async def search(client: httpx.AsyncClient, q: str, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("search", params={"q": q, **query})
    assert answer.status_code == 200, answer.text
    assert answer.json()["complete"] is True
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def marked(hit: dict[str, Any]) -> list[str]:
    return [hit["snippet"]["text"][start:end] for start, end in hit["snippet"]["highlights"]]


TEXTS = {
    "english": "The quick brown fox jumps over the lazy dog; naïve Straße, snake_case and state-of-the-art C++.",
    "chinese": "我们用 Python 写代码，人工智能改变世界。数据库里有很多数据。",
    "japanese": "東京タワーに行きました。ﾃﾞｰﾀﾍﾞｰｽを学ぶ。",
    "korean": "한국어를 공부합니다",
    "wide": "ＷＩＤＥ ｌｅｔｔｅｒｓ １２３",
    "picture": "Well done 🎉 indeed",
}

FINDS = [
    ("quick", "english", "quick"),
    ("QUICK fox", "english", "quick"),
    ("jum", "english", "jumps"),
    ('"lazy dog"', "english", "lazy dog"),
    ("“brown fox” dog", "english", "brown fox"),
    ("strasse", "english", "Straße"),
    ("nai\u0308ve", "english", "naïve"),
    ("state-of-the-art", "english", "state-of-the-art"),
    ("case", "english", "case"),
    ("c++", "english", "C"),
    ("人工智能", "chinese", "人工智能"),
    ("智能", "chinese", "智能"),
    ("库", "chinese", "库"),
    ("数据 世界", "chinese", "世界"),
    ("python写代码", "chinese", "Python 写代码"),
    ("代码 pyth", "chinese", "Python"),
    ("タワー", "japanese", "タワー"),
    ("データベース", "japanese", "ﾃﾞｰﾀﾍﾞｰｽ"),
    ("京", "japanese", "京"),
    ("한국어", "korean", "한국어"),
    ("wide 123", "wide", "ＷＩＤＥ"),
    ("🎉", "picture", "🎉"),
]
FINDS_NOTHING = [
    ("absent", "quick absent", '"quick fox"', "能智", "人智", '"qui"', "uick", "f"),
    ("!!!", '"', '""', "   ", "* OR NEAR(", "'--", "\\", "|&<->:*", "(", "NOT(fox", "owner:x", "NULL"),
]


@pytest.fixture
async def library(users: dict[str, User]) -> dict[str, Conversation]:
    return {name: await stored(users["owner"], "", text) for name, text in TEXTS.items()}


async def test_words_are_found_in_any_script_and_shown_where_they_stand(
    owner: httpx.AsyncClient, library: dict[str, Conversation]
) -> None:
    for query, name, shown in FINDS:
        hits = await search(owner, query)
        assert [hit["conversation"] for hit in hits] == [str(library[name].id)], query
        assert shown in marked(hits[0]), query
        assert hits[0]["snippet"]["text"] in TEXTS[name], query


async def test_what_is_not_there_is_not_found_and_no_query_is_an_error(
    owner: httpx.AsyncClient, library: dict[str, Conversation]
) -> None:
    for queries in FINDS_NOTHING:
        for query in queries:
            assert await search(owner, query) == [], query
    for params in ({}, {"q": "x" * 201}, {"q": "a\x00b"}, {"q": "fox", "limit": 0}, {"q": "fox", "limit": 201}):
        assert (await owner.get("search", params=params)).status_code == 422, params
    for cursor in ("x", "-1", "9" * 40, "１"):
        assert (await owner.get("search", params={"q": "fox", "cursor": cursor})).status_code == 400, cursor


async def test_a_title_is_a_hit_without_a_message_and_a_new_title_takes_its_place(
    users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    conversation = await stored(users["owner"], "Holiday in 北京", "where to go?", "to the wall")
    [hit] = await search(owner, "北京")
    assert hit == {
        "conversation": str(conversation.id),
        "message": None,
        "title": "Holiday in 北京",
        "snippet": {"text": "Holiday in 北京", "highlights": [[11, 13]]},
        "role": None,
        "created_at": hit["created_at"],
    }
    [message] = await search(owner, "wall")
    assert (message["role"], message["title"]) == ("assistant", "Holiday in 北京")
    renamed = await owner.patch(f"conversations/{conversation.id}", json={"title": "Autumn"})
    assert renamed.status_code == 200
    assert await search(owner, "北京") == []
    assert [hit["message"] for hit in await search(owner, "autumn")] == [None]


async def test_replies_are_found_once_they_have_ended_and_a_continued_one_is_found_as_it_is_now(
    owner: httpx.AsyncClient,
) -> None:
    said = await say(owner, "what about zebras?")
    message = said["message"]["id"]
    [question] = await search(owner, "zebras", limit=1)
    assert question["conversation"] == said["conversation"]
    text = said["message"]["text"]
    first_word = words_of(text)[0]
    assert message in [hit["message"] for hit in await search(owner, f'"{first_word}"')]
    continued = await owner.post(f"messages/{message}/continue", headers={"Accept": "application/json"})
    assert continued.status_code == 200, continued.text
    whole = continued.json()["message"]["text"]
    assert whole.startswith(text)
    assert len(whole) > len(text)
    hits = [hit for hit in await search(owner, f'"{first_word}"') if hit["message"] == message]
    assert len(hits) == 1
    joined = f'"{" ".join(words_of(whole)[-5:])}"'
    assert message in [hit["message"] for hit in await search(owner, joined)], "the new end is found too"


async def test_what_another_generation_has_left_replaces_what_was_found_before(
    users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    """As a continuation that rewrote the end would: the index follows the generation, not the length."""
    said = await say(owner, "a question")
    assert await search(owner, "a question")
    await Message.objects.filter(id=said["message"]["id"]).aupdate(
        text="wholly different", latest_generation=said["conversation"]
    )
    await owner.patch(f"conversations/{said['conversation']}", json={"pinned": True})
    assert [hit["message"] for hit in await search(owner, "wholly different")] == [said["message"]["id"]]
    assert said["message"]["id"] not in [hit["message"] for hit in await search(owner, words_of("tok0")[0])]


async def test_a_live_reply_does_not_hide_its_conversation_and_is_found_after_its_end(
    owner: httpx.AsyncClient,
) -> None:
    begun = await owner.post(
        "chat", json={"message": "giraffes", "model": "tokens-3000-20"}, headers={"Prefer": "respond-async"}
    )
    ids = begun.json()
    for _again in range(2):
        assert {hit["message"] for hit in await search(owner, "giraffes")} == {ids["user_message"], None}
    stopped = await owner.post(f"generations/{ids['generation']}/stop")
    words = words_of(stopped.json()["text"])
    if words:
        assert ids["message"] in [hit["message"] for hit in await search(owner, f'"{" ".join(words[:3])}"')]


async def test_what_is_deleted_or_not_stored_is_not_found(users: dict[str, User], owner: httpx.AsyncClient) -> None:
    gone = await stored(users["owner"], "walrus", "walrus one")
    await stored(users["owner"], "walrus", "walrus two", stored=False)
    assert len(await search(owner, "walrus")) == 2
    assert (await owner.delete(f"conversations/{gone.id}")).status_code == 204
    assert await search(owner, "walrus") == []
    assert await sync_to_async(_words_left)() == 0


def _words_left() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM chat_search_words")
        return int(cursor.fetchone()[0])


async def test_pages_bring_each_hit_once_newest_first(users: dict[str, User], owner: httpx.AsyncClient) -> None:
    for number in range(4):
        await stored(users["owner"], f"penguin {number}", "penguin", "a penguin indeed", "and more penguins")
    everything = await search(owner, "penguin", limit=200)
    assert len(everything) == 16
    assert everything == sorted(everything, key=lambda hit: hit["created_at"], reverse=True)
    paged: list[dict[str, Any]] = []
    cursor: str | None = None
    for _page in range(6):
        query = {"q": "penguin", "limit": 3, **({"cursor": cursor} if cursor else {})}
        page = (await owner.get("search", params=query)).json()
        paged += page["items"]
        cursor = page["next"]
    assert cursor is None
    assert paged == everything


async def test_long_texts_are_found_at_both_ends_in_phrases_and_with_words_far_apart(
    users: dict[str, User], owner: httpx.AsyncClient
) -> None:
    middle = random.Random(5)
    words = " ".join(middle.choice(["一些汉字", "filler", "the", "的"]) for _ in range(30_000))
    await stored(users["owner"], "", f"alphaword beginning {words}"[:190_000] + " 结尾 omegaword", "short")
    for query in ("alphaword", "omegaword", "结尾", "beginning 的 omegaword alpha", "alphaword beg"):
        assert len(await search(owner, query)) == 1, query
    [hit] = await search(owner, '"结尾 omegaword"')
    assert marked(hit) == ["结尾 omegaword"]
    assert len(hit["snippet"]["text"]) <= 200


async def test_a_long_history_is_taken_in_batch_by_batch(
    users: dict[str, User], owner: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_intake, "BATCH_MESSAGES", 3)
    monkeypatch.setattr(search_intake, "BATCH_CONVERSATIONS", 2)
    for number in range(5):
        await stored(users["owner"], f"t{number}", *[f"otter {number} {turn}" for turn in range(7)])
    assert len(await search(owner, "otter", limit=200)) == 35
    assert len(await search(owner, '"t3"')) == 1


async def test_a_search_that_may_not_wait_says_that_there_is_more_and_the_next_goes_on(
    users: dict[str, User], owner: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_intake, "BATCH_MESSAGES", 2)
    monkeypatch.setattr(runtime.current().search, "_intake_seconds", 0.0)
    await stored(users["owner"], "", *["lemur"] * 9)
    found = []
    for _search in range(8):
        answer = (await owner.get("search", params={"q": "lemur"})).json()
        found.append(len(answer["items"]))
        if answer["complete"]:
            break
    assert found[0] < 9
    assert found[-1] == 9


async def test_what_a_page_shows_has_a_bound_of_work_however_long_its_texts_and_its_query(
    users: dict[str, User], owner: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler = "many words of no use and ".join([""] * 4_000)
    await stored(users["owner"], "", *[f"{filler} zebra {number}" for number in range(12)], "a zebra is near")
    await search(owner, "zebra")
    looked_at, compared = 0, 0

    def tokens(text: str, start: int) -> Iterator[tuple[str, int, int]]:
        nonlocal looked_at
        for token in cut(text, start):
            looked_at += 1
            yield token

    def stands(*line: Any) -> bool:
        nonlocal compared
        compared += 1
        return compare(*line)

    cut, compare = search_words._tokens, search_words._stands
    monkeypatch.setattr(search_words, "_tokens", tokens)
    monkeypatch.setattr(search_words, "_stands", stands)
    hits = await search(owner, "zebra many words of no use and", limit=200)
    assert len(hits) == 12
    hits = await search(owner, "zebra", limit=200)
    assert len(hits) == 13
    assert [marked(hit) for hit in hits if marked(hit)].count(["zebra"]) in range(2, 6)
    assert looked_at < 200_000, "of 300,000 words"
    assert compared < 1_000


@pytest.mark.parametrize("who", OTHERS)
async def test_nobody_finds_what_others_have(
    clients: dict[str, httpx.AsyncClient], users: dict[str, User], who: str
) -> None:
    mine = await stored(users["owner"], "secret plan", "the secret word")
    theirs = await stored(users[who], "secret of another", "another secret word")
    for client, conversation in ((clients["owner"], mine), (clients[who], theirs)):
        hits = await search(client, "secret")
        assert {hit["conversation"] for hit in hits} == {str(conversation.id)}
        assert len(hits) == 2
    assert await search(clients[who], f'"{users["owner"].id.hex}"') == []


async def test_without_a_sign_in_there_is_nothing(server: Server) -> None:
    assert (await server.client().get("/api/v1/search", params={"q": "x"})).status_code == 401


# The words themselves


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20))
@example("a", "b", "数据库")
@example("ﷺ", "½", "ﬁﬁ")
def test_whatever_is_asked_for_word_by_word_is_seen_in_its_text(before: str, after: str, asked: str) -> None:
    terms = terms_of(f'"{asked}"')
    shown = snippet(f"{before} {asked} {after}", terms) if len(terms) == 1 else None
    if shown is not None:
        assert all(0 <= start < end <= len(shown.text) for start, end in shown.highlights)
        assert shown.highlights == sorted(shown.highlights)
    if len(terms) == 1 and not set(asked) & set('"“”„«»') and asked.isascii():
        assert shown is not None
        assert shown.highlights


@given(st.text(max_size=200))
def test_no_query_breaks_the_words(query: str) -> None:
    for term in terms_of(query):
        assert term.words
        assert not any(set(word) & set("'\"\\ \x00:*&|!()<>") for word in term.words)
