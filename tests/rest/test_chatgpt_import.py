"""ChatGPT's export: read as its reader saw it, whatever else its file holds."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from chat import runtime
from tests.rest.conftest import Json, imported

pytestmark = pytest.mark.django_db(transaction=True)


def node(parent: str | None, role: str | None, parts: Any, time: float | None = None, **fields: Any) -> Json:
    message = None if role is None else {
        "author": {"role": role}, "content": {"content_type": "text", "parts": parts}, "create_time": time, **fields,
    }  # fmt: skip
    return {"message": message, "parent": parent, "children": []}


CHATGPT = {
    "title": "Plan 计划",
    "create_time": 1700000000.25,
    "update_time": 1700000100.5,
    "is_archived": True,
    "mapping": {
        "root": node(None, None, None),
        "system": node("root", "system", [""], 1700000000.0),
        "q1": node("system", "user", ["How far is the moon?"], 1700000001.0),
        "call": node("q1", "assistant", ["search()"], 1700000002.0, recipient="browser"),
        "tool": node("call", "tool", ["a page"], 1700000003.0),
        "a1": node("tool", "assistant", ["384,400 km"], 1700000004.0),
        "a2": node("q1", "assistant", ["Far."], 1700000009.0),
        "hidden": node(
            "a1", "user", ["instructions"], 1700000005.0, metadata={"is_visually_hidden_from_conversation": True}
        ),
        "q2": node(
            "hidden", "user",
            [{"content_type": "image_asset_pointer", "asset_pointer": "file://1"}, "And this?"], 1700000006.0,
        ),
        "a3": node("q2", "assistant", ["Nice"], 1700000007.0),
    },
    "current_node": "a3",
}  # fmt: skip


async def test_chatgpts_export_is_read_as_its_reader_saw_it(owner: httpx.AsyncClient) -> None:
    empty = {"title": "nothing", "mapping": {"r": node(None, None, None)}, "current_node": "r"}
    taken = await imported(owner, [CHATGPT, empty])
    [conversation] = taken["items"]
    assert taken["skipped"] == 4
    assert (conversation["title"], conversation["archived"]) == ("Plan 计划", True)
    assert conversation["created_at"] == "2023-11-14T22:13:20.250Z"
    messages = (await owner.get(f"conversations/{conversation['id']}/messages")).json()["items"]
    texts = {message["id"]: message["text"] for message in messages}
    tree = {(message["text"], texts.get(message["parent"])) for message in messages}
    assert tree == {
        ("How far is the moon?", None),
        ("384,400 km", "How far is the moon?"),
        ("Far.", "How far is the moon?"),
        ("And this?", "384,400 km"),
        ("Nice", "And this?"),
    }
    assert {(message["role"], message["status"]) for message in messages} == {
        ("user", "completed"), ("assistant", "completed"),
    }  # fmt: skip
    markdown = (await owner.get(f"conversations/{conversation['id']}/export?format=markdown")).text
    assert "Nice" in markdown, "the branch that was shown last, though another is newer"
    assert "Far." not in markdown
    single = await imported(owner, CHATGPT)
    assert len(single["items"]) == 1


SOURCE, UNKNOWN = "\ue200cite\ue202turn0search1\ue201", "\ue200navlist\ue202More\ue201"
LEFT_OUT = [  # role, content, further fields of the message
    ("system", {"content_type": "text", "parts": [""]}, {"weight": 0.0, "metadata": {"is_user_system_message": True}}),
    ("user", {"content_type": "user_editable_context", "user_profile": "I", "user_instructions": "Be brief"}, {}),
    ("assistant", {"content_type": "model_editable_context", "model_set_context": "", "structured_context": None}, {}),
    ("assistant", {"content_type": "thoughts", "thoughts": [{"summary": "S", "content": "C"}]}, {}),
    ("assistant", {"content_type": "reasoning_recap", "content": "Thought for 5 seconds"}, {}),
    ("assistant", {"content_type": "code", "language": "python", "text": "1 + 1"}, {"recipient": "python"}),
    ("tool", {"content_type": "execution_output", "text": "x" * 200}, {"metadata": {"aggregate_result": {}}}),
    ("tool", {"content_type": "tether_quote", "url": "https://example.com", "text": "q", "title": None}, {}),
    ("tool", {"content_type": "tether_browsing_display", "result": "", "summary": None}, {"metadata": None}),
    ("tool", {"content_type": "system_error", "name": "E", "text": "it \x00 broke"}, {}),
    ("tool", {"content_type": "some_new_thing", "parts": {"text": 5}, "text": ["?"]}, {"author": {"role": "tool"}}),
    ("tool", {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}]}, {}),
    ("assistant", {"content_type": "text", "parts": ["", None]}, {"status": "in_progress", "end_turn": None}),
    ("assistant", None, {}),
]


def of_a_file(number: int) -> Json:
    """As ChatGPT writes it: every kind of node in one line, between a question and its answer."""
    nodes = [
        (None, None, {}),
        *LEFT_OUT[:3],
        ("user", {"content_type": "multimodal_text", "parts": [
            {"content_type": "audio_transcription", "text": "Spoken", "direction": "in"},
            {"content_type": "real_time_user_audio_video_asset_pointer", "frames_asset_pointers": []},
            {"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_1", "size_bytes": 5}, "Look",
        ]}, {}),
        *LEFT_OUT[3:],
        ("assistant", {"content_type": "text", "parts": [f"The Louvre.{SOURCE} And so on.{UNKNOWN}"]}, {
            "metadata": {"content_references": [
                {"matched_text": SOURCE, "alt": " ([Louvre](https://louvre.fr))", "type": "grouped_webpages"},
                {"matched_text": " ", "alt": None}, {"matched_text": UNKNOWN, "alt": None}, None,
            ]},
        }),
    ]  # fmt: skip
    mapping, above = {}, None
    for place, (role, content, fields) in enumerate(nodes):
        key = "client-created-root" if place == 0 else f"node-{place}"
        message = None if role is None else {
            "id": key, "author": {"role": role, "name": None, "metadata": {}}, "create_time": None, "update_time": None,
            "content": content, "status": "finished_successfully", "end_turn": True, "weight": 1.0, "metadata": {},
            "recipient": "all", "channel": None, **fields,
        }  # fmt: skip
        mapping[key] = {"id": key, "message": message, "parent": above, "children": []}
        above = key
    return {
        "title": None, "create_time": 1700000000.123456 + number, "update_time": None, "mapping": mapping,
        "moderation_results": [], "current_node": above, "plugin_ids": None, "conversation_id": str(number),
        "gizmo_id": "g-123", "is_archived": None, "safe_urls": [], "default_model_slug": "gpt-5", "voice": None,
    }  # fmt: skip


async def test_what_chatgpt_writes_between_the_lines_is_no_obstacle(
    owner: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.current().imports, "_text_chars", 100)  # a tool may say more: nobody keeps that
    taken = await imported(owner, [of_a_file(number) for number in range(3)])
    assert (len(taken["items"]), taken["skipped"]) == (3, 3 * len(LEFT_OUT))
    path = f"conversations/{taken['items'][0]['id']}/messages"
    messages = (await owner.get(path)).json()["items"]
    assert [(message["role"], message["text"]) for message in messages] == [
        ("user", "Spoken\n\nLook"),
        ("assistant", "The Louvre. ([Louvre](https://louvre.fr)) And so on."),
    ]
    assert messages[1]["parent"] == messages[0]["id"]
