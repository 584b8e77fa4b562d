"""What was told beside a reply, as its owner reads it: over both transports while it comes, and from the API later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat import runtime
from chat.engine.clock import StreamPace
from chat.engine.job import Job
from chat.events import Finish, FinishReason, Note, Tell, Text
from chat.models import Conversation, Generation, Message, User
from chat.observation import Run
from chat.providers.base import Take
from chat.providers.resilience.watch import Watch
from chat.services import conversations
from chat.services.acceptance import Answerer, accept_send
from chatsite.asgi import application
from tests.conftest import Server

Bearer = Callable[[User], Awaitable[dict[str, str]]]

PLACE = {"note": "queued", "details": {"position": 2}}
TRIMMED = {"note": "trimmed", "details": {"left_out": 12}}


class Telling:
    """An upstream that says little, and tells more; it ends once it may."""

    provider = "simulated"
    model = "tokens-3-0"
    upstream = "sse"

    def __init__(self, tell: Tell) -> None:
        self.watch = Watch()
        self.tell = tell
        self.may_end = asyncio.Event()

    async def stream(self, take: Take) -> None:
        self.tell(Note("queued", {"position": 2}))
        self.tell(Note("trimmed", {"left_out": 12}))
        take([Text("Hello")])
        await self.may_end.wait()
        take([Finish(FinishReason.STOP)])


@pytest.fixture
def people(transactional_db: None, make_user: Callable[..., User]) -> tuple[User, User]:
    return make_user("owner"), make_user("stranger")


async def start(user: User) -> tuple[str, str, Telling]:
    """The generation and the conversation of a reply of that upstream, and the upstream."""
    running = runtime.current()
    answerer = Answerer("simulated", "tokens-3-0", "sse", {}, "", "en", running.worker)
    accepted = await running.database.write(accept_send, user.id, None, None, "How are you?", answerer, None)
    opened: list[Telling] = []

    def open_source(pace: StreamPace, run: Run, tell: Tell) -> Telling:
        opened.append(Telling(tell))
        return opened[0]

    job = Job(accepted.start, str(user.id), accepted.epoch, 12, open_source, lambda failure: failure.message)
    running.engine.start(job)
    return accepted.start.generation, accepted.start.conversation, opened[0]


def events(body: str) -> list[tuple[str, Any]]:
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in body.strip().split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks]


async def test_notes_come_over_both_transports(people: tuple[User, User], server: Server, bearer: Bearer) -> None:
    headers = await bearer(people[0])
    generation, _conversation, upstream = await start(people[0])
    named = [(name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **headers}.items()]
    socket = WebsocketCommunicator(application, "/ws/chat/", headers=named)
    assert (await socket.connect(timeout=10))[0]
    await socket.send_json_to({"type": "follow", "generation": generation, "after": 0})
    reading = asyncio.create_task(server.client(headers).get(f"/api/v1/generations/{generation}/events"))
    frames = [await socket.receive_json_from(timeout=10) for _ in range(4)]
    upstream.may_end.set()
    assert [frame["type"] for frame in frames] == ["start", "note", "note", "message"]
    assert [frame["seq"] for frame in frames] == [1, 2, 3, 4]
    assert [{name: frame[name] for name in ("note", "details")} for frame in frames[1:3]] == [PLACE, TRIMMED]
    assert events((await reading).text)[1:3] == [("note", PLACE), ("note", TRIMMED)]
    await socket.disconnect()


async def test_the_api_shows_the_owner_what_stays_of_them_and_a_stranger_nothing(
    people: tuple[User, User], server: Server, bearer: Bearer
) -> None:
    generation, conversation, upstream = await start(people[0])
    upstream.may_end.set()
    await runtime.current().engine.ended(generation)
    owner, stranger = [server.client(await bearer(user)) for user in people]
    assert (await owner.get(f"/api/v1/generations/{generation}")).json()["notes"] == [TRIMMED]
    messages = f"/api/v1/conversations/{conversation}/messages"
    assert [message["notes"] for message in (await owner.get(messages)).json()["items"]] == [[], [TRIMMED]]
    for address in (messages, f"/api/v1/generations/{generation}", f"/api/v1/generations/{generation}/events"):
        refused = await stranger.get(address)
        assert refused.status_code == 404
        assert "trimmed" not in refused.text


async def test_a_reply_of_which_nothing_was_told_has_an_empty_list(
    people: tuple[User, User], server: Server, bearer: Bearer
) -> None:
    client = server.client(await bearer(people[0]))
    reply = await client.post("/api/v1/chat", json={"message": "Hello"}, headers={"Accept": "application/json"})
    body = reply.json()
    assert body["generation"]["notes"] == body["message"]["notes"] == body["user_message"]["notes"] == []


async def test_a_snapshot_from_the_database_has_the_notes(
    people: tuple[User, User], server: Server, bearer: Bearer
) -> None:
    generation, _conversation, upstream = await start(people[0])
    upstream.may_end.set()
    await runtime.current().engine.ended(generation)
    log = runtime.current().log
    stream = await log.find(generation)
    assert stream is not None
    stream.limit = 0
    log.sweep(float("inf"))
    assert await log.find(generation) is None
    client = server.client(await bearer(people[0]))
    replayed = events((await client.get(f"/api/v1/generations/{generation}/events")).text)
    assert [name for name, _data in replayed] == ["snapshot", "message"]
    assert replayed[0][1]["notes"] == [TRIMMED]


def told_of(user: User, exchanges: int) -> Conversation:
    now = datetime.now(UTC)
    conversation = Conversation.objects.create(user=user, created_at=now, updated_at=now)
    for number in range(exchanges):
        Message.objects.create(conversation=conversation, role="user", text="Why?", created_at=now)
        answer = Message.objects.create(conversation=conversation, role="assistant", text="So.", created_at=now)
        generation = Generation.objects.create(
            user=user, conversation=conversation, message=answer, provider="simulated", model="one", upstream="sse",
            owner="somebody", heartbeat=now, created_at=now,
            notes=[{"note": "trimmed", "details": {"left_out": number + 1}}],
        )  # fmt: skip
        answer.latest_generation = generation.id
        answer.save()
    return conversation


def test_the_notes_of_a_page_of_messages_cost_one_query(people: tuple[User, User]) -> None:
    counts = []
    for exchanges in (1, 5):
        conversation = told_of(people[0], exchanges)
        with CaptureQueriesContext(connection) as captured:
            page = conversations._messages(people[0].id, str(conversation.id), None, 50)
        counts.append((len(captured), sum("chat_generation" in query["sql"] for query in captured)))
        told = [message.notes[0].details["left_out"] for message in page.items if message.role == "assistant"]
        assert told == list(range(1, exchanges + 1))
    assert counts[0] == counts[1]
    assert counts[0][1] == 1
