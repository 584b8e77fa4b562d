"""The description of the API: valid, complete, up to date in docs/, and shown by Swagger UI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from chat.api.router import whole_document
from chat.events import EVENT_DATA
from chat.management.commands import api_schema
from chat.wire.sse import SSEDecoder
from tests.conftest import Server

DOCUMENT = whole_document()
METHODS = {"get", "post", "put", "patch", "delete"}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def responses(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, response in operation["responses"].items():
        name = response.get("$ref", "").rpartition("/")[2]
        yield status, DOCUMENT["components"]["responses"][name] if name else response


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body that goes in or out."""
    yield from operation.get("requestBody", {}).get("content", {}).items()
    for _status, response in responses(operation):
        yield from response.get("content", {}).items()


def test_it_is_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_the_files_in_docs_are_what_the_code_has() -> None:
    call_command("api_schema", "--check")


def test_a_file_that_differs_is_found_and_written_anew(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_schema, "DOCS", tmp_path)
    (tmp_path / "openapi.json").write_text("{}")
    with pytest.raises(CommandError, match=r"openapi.json, asyncapi.json"):
        call_command("api_schema", "--check")
    call_command("api_schema", "--write", stdout=StringIO())
    call_command("api_schema", "--check")


def test_every_operation_says_what_it_does_who_may_and_how_it_is_refused() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for name, operation in operations():
        assert operation.get("description"), name
        assert set(operation["tags"]) <= tags, name
        assert operation["summary"][0].isupper(), name
        statuses = set(operation["responses"])
        assert {"500", "503", "429"} <= statuses, name
        if operation["security"]:
            assert "401" in statuses, name
            unsafe = not name.startswith("get")
            assert all("csrf" in way for way in operation["security"] if "session" in way) or not unsafe, name
        for status, response in responses(operation):
            assert response["description"], (name, status)
            if int(status) >= 400:
                assert response["content"]["application/json"]["example"], (name, status)
            if status == "429":
                assert "Retry-After" in response["headers"]
            if status == "200" and name.startswith("get") and "application/json" in response.get("content", {}):
                assert "ETag" in response["headers"], name
                assert "304" in statuses, name


def errors_of(schema: dict[str, Any], value: Any) -> list[str]:
    rooted = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(rooted).iter_errors(value)]


def data_schema(event: str) -> dict[str, Any]:
    for shape in DOCUMENT["components"]["schemas"]["ReplyEvent"]["oneOf"]:
        if shape["properties"]["event"]["const"] == event:
            schema: dict[str, Any] = shape["properties"]["data"]["contentSchema"]
            return schema
    raise AssertionError(event)


def test_every_body_and_answer_has_an_example_that_its_schema_allows() -> None:
    checked = 0
    for name, operation in operations():
        for media_type, media in contents(operation):
            examples = (
                [media["example"]] if "example" in media else [one["value"] for one in media["examples"].values()]
            )
            assert examples, name
            for example in examples:
                if media_type == "text/event-stream":
                    # The schema is of one event; the example is what is on the wire.
                    decoder = SSEDecoder()
                    events = decoder.decode(example.encode())
                    assert len(events) > 1, name
                    assert decoder.flush() == []
                    for event in events:
                        assert errors_of(media["schema"], {"event": event.event, "data": event.data}) == []
                        if "ReplyEvent" in str(media["schema"]):
                            assert errors_of(data_schema(event.event), json.loads(event.data)) == []
                else:
                    assert errors_of(media["schema"], example) == [], (name, example)
                checked += 1
    assert checked > 100


def test_who_may_call_is_said_of_tokens_keys_and_sessions() -> None:
    paths = DOCUMENT["paths"]
    assert paths["/api/v1/auth/token"]["post"]["security"] == []
    assert {"apiKey": ["chat"]} in paths["/api/v1/chat"]["post"]["security"]
    assert {"apiKey": ["read"]} in paths["/api/v1/conversations"]["get"]["security"]
    assert paths["/api/v1/api-keys"]["get"]["security"] == [{"token": []}, {"session": []}]
    assert {"session": [], "csrf": []} in paths["/api/v1/api-keys"]["post"]["security"]


def test_a_send_is_described_in_its_three_ways() -> None:
    sent = DOCUMENT["paths"]["/api/v1/chat"]["post"]
    finished = sent["responses"]["200"]
    assert set(finished["content"]) == {"application/json", "text/event-stream"}
    assert {"X-Generation-Id", "X-Conversation-Id"} <= set(finished["headers"])
    assert "Location" in sent["responses"]["202"]["headers"]
    assert {"500", "502", "504"} <= set(sent["responses"])
    assert "ReplyEvent" in str(finished["content"]["text/event-stream"]["schema"])
    assert len(DOCUMENT["components"]["schemas"]["ReplyEvent"]["oneOf"]) == len(EVENT_DATA)


@pytest.mark.django_db(transaction=True)
async def test_it_is_served_to_everybody_and_the_old_addresses_lead_to_it(server: Server) -> None:
    client = server.client()
    served = await client.get("/api/openapi.json")
    assert served.headers["Content-Type"] == "application/json"
    assert served.json() == json.loads(json.dumps(DOCUMENT))
    for old, new in (("/api.json", "/api/openapi.json"), ("/swagger/", "/api/docs")):
        assert (await client.get(old)).headers["Location"] == new
    page = await client.get("/api/docs")
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "//" not in page.text.replace("</", ""), "nothing of it is from elsewhere"
