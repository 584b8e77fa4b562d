"""The description of the whole HTTP API, OpenAPI 3.1: one document of all its parts.

django-ninja makes each operation's part from its code. What holds for all of them is added here: the shape of every
refusal, headers, how one signs in, streams, examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from chat.api import openapi_bodies as bodies
from chat.api import openapi_words as words
from chat.api.openapi_examples import Examples
from chat.dialects.openai_errors import plain_error
from chat.events import EVENT_DATA

SCHEMAS = "#/components/schemas/"
ERROR_SCHEMAS = ("ErrorBody", "OpenAIErrorBody")
JSON, EVENT_STREAM = "application/json", "text/event-stream"
UNSAFE = frozenset({"post", "put", "patch", "delete"})


class Part(OpenAPISchema):
    """One API's part, with who may call each operation."""

    def operation_security(self, operation: Operation) -> list[dict[str, list[str]]] | None:
        if not operation.auth_callbacks:
            return None
        unsafe = any(method.lower() in UNSAFE for method in operation.methods)
        scopes = words.KEY_SCOPES.get(getattr(operation.auth_callbacks[0], "__name__", ""))
        scope = None if scopes is None else scopes[unsafe]
        ways: list[dict[str, list[str]]] = [{"token": []}]
        if scope is not None:
            ways.append({"apiKey": [scope]})
        ways.append({"session": [], "csrf": []} if unsafe else {"session": []})
        return ways


def document(apis: Iterable[NinjaAPI]) -> dict[str, Any]:
    """The first API's title and version stand for all."""
    apis = list(apis)
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = event_schemas()
    for api in apis:
        part = plain(Part(api, api.get_root_path({})))
        for path, methods in part["paths"].items():
            paths.setdefault(path, {}).update(methods)
        for name, schema in part["components"]["schemas"].items():
            _add(schemas, name, schema)
    described = {path: dict(sorted(methods.items())) for path, methods in sorted(paths.items())}
    components: dict[str, Any] = {
        "schemas": schemas,
        "responses": {},
        "parameters": words.PARAMETERS,
        "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in words.HEADERS.items()},
        "securitySchemes": words.SECURITY_SCHEMES,
    }
    for methods in described.values():
        for method, operation in methods.items():
            _describe(method, operation, components)
    components["schemas"] = dict(sorted(schemas.items()))
    components["responses"] = dict(sorted(components["responses"].items()))
    return {
        "openapi": "3.1.0",
        "info": {"title": words.TITLE, "version": apis[0].version, "description": words.DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in words.TAGS.items()],
        "paths": described,
        "components": components,
    }


def plain(value: Any) -> Any:
    """As JSON has it, alike whoever generated it: a default of null says nothing, and whatever is referred to is among
    the components."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items() if not (key == "default" and one is None)}
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", SCHEMAS)
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def event_schemas(template: str = SCHEMAS + "{name}") -> dict[str, Any]:
    """The data of each event, and the stream as a whole."""
    data = [one for shapes in EVENT_DATA.values() for one in shapes]
    _refs, found = msgspec.json.schema_components(data, ref_template=template)
    schemas: dict[str, Any] = plain(found)
    schemas["ServerSentEvent"] = _event({"type": "string"}, {"type": "string"}, required=["data"])
    schemas["ReplyEvent"] = {
        "description": "One event of a stream: `id` is its `seq`, `data` one line of JSON. A `ping` has no id.",
        "oneOf": [
            _event({"const": event}, _json_text([{"$ref": SCHEMAS + one.__name__} for one in shapes]))
            for event, shapes in EVENT_DATA.items()
        ],
    }
    return schemas


def _event(name: dict[str, Any], data: dict[str, Any], required: Sequence[str] = ("event", "data")) -> dict[str, Any]:
    """As OpenAPI 3.2 describes an item of such a stream; 3.1 has no word of its own for it."""
    properties = {"id": {"type": "string"}, "event": name, "data": data}
    return {"type": "object", "properties": properties, "required": [*required]}


def _json_text(shapes: list[dict[str, Any]]) -> dict[str, Any]:
    schema = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    return {"type": "string", "contentMediaType": JSON, "contentSchema": schema}


def _describe(method: str, operation: dict[str, Any], components: dict[str, Any]) -> None:
    name, schemas = operation["operationId"], components["schemas"]
    examples = Examples(schemas)
    operation.setdefault("security", [])
    operation["summary"] = _first_sentence(operation.get("description", "")) or operation["summary"]
    responses = operation["responses"]
    if name in words.SENDS:
        responses["200"]["content"][EVENT_STREAM] = _stream()
    if name in words.STREAMS:
        responses["200"]["content"] = {EVENT_STREAM: _stream()}
        _parameters(operation, "Last-Event-ID", "after")
    if name in words.SENDS:
        _parameters(operation, "Prefer", "Idempotency-Key")
    elif (method == "post" and "201" in responses) or name in words.DIALECT_SENDS:
        _parameters(operation, "Idempotency-Key")
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if name in bodies.REQUESTS:
            media["example"] = bodies.REQUESTS[name]
        _finish(media, schemas, examples.of_request)
    _refusals(method, operation, components)
    for status, response in list(responses.items()):
        if "$ref" in response:
            continue
        for type, media in response.get("content", {}).items():
            if type == EVENT_STREAM and "$ref" not in media["schema"]:
                media["schema"] = {"$ref": SCHEMAS + "ServerSentEvent"}
                media["example"] = bodies.STREAMS.get(name, "")
            elif type in bodies.TEXTS:
                media.setdefault("example", bodies.TEXTS[type])
            _finish(media, schemas, examples.of)
        if headers := _headers(name, status):
            response.setdefault("headers", {}).update({one: {"$ref": f"#/components/headers/{one}"} for one in headers})
    if method == "get" and JSON in responses.get("200", {}).get("content", {}):
        _parameters(operation, "If-None-Match")
        responses["200"].setdefault("headers", {})["ETag"] = {"$ref": "#/components/headers/ETag"}
        responses["304"] = {"description": "Nothing has changed.", "headers": responses["200"]["headers"]}
    operation["responses"] = dict(sorted(responses.items()))


def _first_sentence(description: str) -> str:
    """What lists of operations show."""
    return " ".join(re.split(r"[.;:](?:\s|$)", description, maxsplit=1)[0].split())


def _stream() -> dict[str, Any]:
    return {"schema": {"$ref": SCHEMAS + "ReplyEvent"}, "example": bodies.STREAMS["generations_chat"]}


def _parameters(operation: dict[str, Any], *names: str) -> None:
    known = {parameter.get("name") for parameter in operation.setdefault("parameters", [])}
    operation["parameters"] += [{"$ref": f"#/components/parameters/{name}"} for name in names if name not in known]


def _headers(name: str, status: str) -> Sequence[str]:
    if not status.startswith("2"):
        return words.REPLY_HEADERS if name in words.SENDS and status in ("500", "502", "504") else ()
    found: list[str] = list(words.RATE_HEADERS) if name in words.COUNTED else []
    if name in words.SENDS or name in words.DIALECT_SENDS:
        found += words.REPLY_HEADERS
        if status == "202":
            found += ["Location", "Preference-Applied"]
    return found


def _refusals(method: str, operation: dict[str, Any], components: dict[str, Any]) -> None:
    """Each refusal is described once, and referred to. A fault of the server's own may end any request."""
    responses = operation["responses"]
    shape = next((found for one in responses.values() if (found := _error_schema(one))), ERROR_SCHEMAS[0])
    for status in [*responses, "500"]:
        if method == "get" and int(status) in words.NOT_OF_GET:
            responses.pop(status, None)
        elif status not in responses or _error_schema(responses[status]):
            name = f"{shape.removesuffix('Body')}{status}"
            components["responses"].setdefault(name, _refusal(shape, int(status)))
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    failed = responses["500"].get("content", {}).get(JSON)
    if failed is not None and shape not in str(failed["schema"]):
        # The reply that was waited for has failed, or the request itself.
        failed["schema"] = {"anyOf": [failed["schema"], {"$ref": SCHEMAS + shape}]}


def _error_schema(response: dict[str, Any]) -> str | None:
    schema = response.get("content", {}).get(JSON, {}).get("schema", {})
    name = schema.get("$ref", "").removeprefix(SCHEMAS) or schema.get("title", "")
    return name if name in ERROR_SCHEMAS else None


def _refusal(shape: str, status: int) -> dict[str, Any]:
    code, message, meaning = words.ERRORS[status]
    example: dict[str, Any] = {"error": message, "code": code, "details": {}}
    if shape != ERROR_SCHEMAS[0]:
        example = plain_error(status, message)
    headers = {401: ["WWW-Authenticate"], 429: ["Retry-After", *words.RATE_HEADERS], 503: ["Retry-After"]}
    return {
        "description": meaning,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers.get(status, ())},
        "content": {JSON: {"schema": {"$ref": SCHEMAS + shape}, "example": example}},
    }


def _finish(media: dict[str, Any], schemas: dict[str, Any], example: Callable[[dict[str, Any]], Any]) -> None:
    """Its schema among the components, and an example."""
    schema = media.get("schema", {})
    for name, inner in schema.pop("$defs", {}).items():
        _add(schemas, name, inner)
    if schema.get("type") == "object" and schema.get("properties") and schema.get("title", "").isidentifier():
        _add(schemas, schema["title"], schema)
        media["schema"] = schema = {"$ref": SCHEMAS + schema["title"]}
    if "example" not in media and "examples" not in media:
        media["example"] = example(schema)


def _add(schemas: dict[str, Any], name: str, schema: dict[str, Any]) -> None:
    """Two of one name must be one."""
    for inner_name, inner in schema.pop("$defs", {}).items():
        _add(schemas, inner_name, inner)
    if schemas.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas are called {name}")
