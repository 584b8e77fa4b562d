"""Errors in the upstream's own words, and what becomes of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from httpx import AsyncBaseTransport

from chat.errors import ErrorCode
from chat.providers import http_adapter
from chat.providers.sse_reply import MAX_OBJECT
from tests.providers.openai_upstream import DONE, answer, block, delta, fail

SECRET = "sk-live-0123456789 of somebody"
IN_STREAM = [
    ({"error": {"message": SECRET, "type": "server_error", "param": None, "code": None}}, "UPSTREAM_UNAVAILABLE"),
    ({"error": {"message": SECRET, "type": "overloaded_error"}}, "UPSTREAM_UNAVAILABLE"),
    ({"error": {"message": SECRET, "type": "requests", "code": "rate_limit_exceeded"}}, "UPSTREAM_RATE_LIMITED"),
    ({"error": {"message": SECRET, "type": "rate_limit_reached_error"}}, "UPSTREAM_RATE_LIMITED"),
    ({"error": {"message": SECRET, "code": 429}}, "UPSTREAM_RATE_LIMITED"),
    ({"error": {"message": SECRET, "code": "1302"}}, "UPSTREAM_RATE_LIMITED"),
    ({"error": {"message": SECRET, "code": "insufficient_quota"}}, "UPSTREAM_AUTH"),
    ({"error": {"message": SECRET, "type": "invalid_request_error", "code": "invalid_api_key"}}, "UPSTREAM_AUTH"),
    ({"error": {"message": SECRET, "type": "invalid_request_error", "code": None}}, "UPSTREAM_REJECTED"),
    ({"error": {"message": SECRET, "code": "context_length_exceeded"}}, "UPSTREAM_REJECTED"),
    ({"error": {"message": SECRET, "code": "content_filter"}}, "CONTENT_FILTERED"),
    ({"error": {"message": SECRET, "code": "data_inspection_failed"}}, "CONTENT_FILTERED"),
    ({"error": {"message": SECRET, "code": 503}}, "UPSTREAM_UNAVAILABLE"),
    ({"error": SECRET}, "UPSTREAM_UNAVAILABLE"),
    ({"code": 11200, "message": SECRET, "sid": "x"}, "UPSTREAM_AUTH"),
    ({"code": 10013, "message": SECRET, "sid": "x"}, "CONTENT_FILTERED"),
    ({"error": {"message": SECRET, "code": "1261"}}, "UPSTREAM_REJECTED"),
    ({"error": {"message": SECRET, "code": "1002"}}, "UPSTREAM_AUTH"),
    ({"error": {"message": SECRET, "code": "characters_too_long"}}, "UPSTREAM_REJECTED"),
    ({"error": {"message": SECRET, "code": "unsupported_value"}}, "UPSTREAM_REJECTED"),
    ({"object": "error", "message": SECRET, "type": "BadRequestError", "code": 400}, "UPSTREAM_REJECTED"),
]


@pytest.mark.parametrize(("error", "code"), IN_STREAM, ids=[f"{code}-{at}" for at, (_, code) in enumerate(IN_STREAM)])
async def test_an_error_object_in_the_stream_has_its_code(
    client: AsyncBaseTransport, error: dict[str, Any], code: str
) -> None:
    failure = await fail(client, answer(block(delta("Hi")), block(error), DONE), said="Hi")
    assert failure.error_code == code
    assert SECRET not in f"{failure!r} {failure} {failure.details}"


@pytest.mark.parametrize("head", ["application/json", "text/event-stream", "text/plain"])
@pytest.mark.parametrize("start", ["", "\n\n\n"], ids=["at-once", "after-blank-lines"])
async def test_an_error_in_place_of_the_stream_has_its_code(client: AsyncBaseTransport, head: str, start: str) -> None:
    body = (start + json.dumps(IN_STREAM[2][0], indent=1)).encode()
    pieces = f"HTTP/1.1 200 OK\r\nContent-Type: {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body
    assert (await fail(client, *pieces)).error_code is ErrorCode.UPSTREAM_RATE_LIMITED


async def test_json_without_end_in_place_of_the_stream_is_given_up(client: AsyncBaseTransport) -> None:
    endless = answer("{" + " " * MAX_OBJECT)
    error = await asyncio.wait_for(fail(client, endless, end="hold"), 10)
    assert error.error_code is ErrorCode.UPSTREAM_PROTOCOL


async def test_the_beginning_of_a_long_refusal_is_read(client: AsyncBaseTransport) -> None:
    """It need not end: what there is of it says enough."""
    body = json.dumps({"error": {"type": "insufficient_quota", "message": SECRET}}).encode()
    head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n\r\n"
    error = await fail(client, head + body, b" " * http_adapter.MAX_ERROR_BODY, end="hold")
    assert (error.error_code, error.attempt_again) == (ErrorCode.UPSTREAM_AUTH, False)


async def test_a_whole_reply_in_place_of_the_stream_is_a_broken_protocol(client: AsyncBaseTransport) -> None:
    whole = json.dumps({"object": "chat.completion", "choices": [{"message": {"content": "Hi"}}]})
    assert (await fail(client, answer(whole))).error_code is ErrorCode.UPSTREAM_PROTOCOL


async def test_an_error_event_has_its_code(client: AsyncBaseTransport) -> None:
    inspected = "event:error\n:HTTP_STATUS/400\n" + block({"code": "DataInspectionFailed", "message": SECRET})
    assert (await fail(client, answer(inspected))).error_code is ErrorCode.CONTENT_FILTERED
    throttled = "event:error\n" + block({"code": "Throttling.RateQuota", "message": SECRET})
    assert (await fail(client, answer(throttled))).error_code is ErrorCode.UPSTREAM_RATE_LIMITED
    prose = "event: error\ndata: something went wrong\n\n"
    assert (await fail(client, answer(prose))).error_code is ErrorCode.UPSTREAM_UNAVAILABLE


STATUSES = [
    (400, {"type": "invalid_request_error", "code": None}, "UPSTREAM_REJECTED", False),
    (400, {"type": "invalid_request_error", "code": "content_filter"}, "CONTENT_FILTERED", False),
    (400, {"code": "1301"}, "CONTENT_FILTERED", False),
    (400, {"code": "Arrearage"}, "UPSTREAM_AUTH", False),
    (403, {"code": "system_unsafe"}, "CONTENT_FILTERED", False),
    (401, {"code": "invalid_api_key"}, "UPSTREAM_AUTH", False),
    (402, {"type": "unknown_error"}, "UPSTREAM_AUTH", False),
    (403, {}, "UPSTREAM_AUTH", False),
    (404, {"code": "model_not_found"}, "UPSTREAM_REJECTED", False),
    (408, {}, "UPSTREAM_UNAVAILABLE", False),
    (409, {}, "UPSTREAM_UNAVAILABLE", False),
    (413, {}, "UPSTREAM_REJECTED", False),
    (422, {}, "UPSTREAM_REJECTED", False),
    (429, {"code": "rate_limit_exceeded"}, "UPSTREAM_RATE_LIMITED", True),
    (429, {"type": "insufficient_quota", "code": "insufficient_quota"}, "UPSTREAM_AUTH", False),
    (429, {"type": "exceeded_current_quota_error"}, "UPSTREAM_AUTH", False),
    (429, {"code": "Throttling.AllocationQuota"}, "UPSTREAM_RATE_LIMITED", True),
    (500, {"type": "server_error"}, "UPSTREAM_UNAVAILABLE", True),
    (503, {"code": 503, "type": "unavailable_error"}, "UPSTREAM_UNAVAILABLE", True),
    (529, {}, "UPSTREAM_UNAVAILABLE", True),
    (302, {}, "UPSTREAM_PROTOCOL", False),
]


def refusal(status: int, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("status", "error", "code", "again"), STATUSES, ids=[f"{case[0]}-{index}" for index, case in enumerate(STATUSES)]
)
async def test_a_status_has_its_code(
    client: AsyncBaseTransport, status: int, error: dict[str, Any], code: str, again: bool
) -> None:
    body = json.dumps({"error": {"message": SECRET, **error}}).encode()
    failure = await fail(client, refusal(status, body))
    assert (failure.error_code, failure.attempt_again) == (code, again)
    assert (failure.details["provider"], failure.details["status"]) == ("raw", status)
    assert failure.details.keys() <= {"provider", "status", "cause"}
    assert SECRET not in f"{failure!r} {failure} {failure.details}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("7", 7.0), ("1.5", 1.5), ("-1", None), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
async def test_retry_after_is_handed_on(client: AsyncBaseTransport, value: str, seconds: float | None) -> None:
    failure = await fail(client, refusal(429, b"", f"Retry-After: {value}\r\n"))
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    ("value", "seconds"), [("250", 0.25), ("0", 0.0), ("soon", 7.0), ("-1", 7.0), ("nan", 7.0), ("inf", 86400.0)]
)
async def test_milliseconds_count_before_seconds(client: AsyncBaseTransport, value: str, seconds: float) -> None:
    failure = await fail(client, refusal(429, b"", f"Retry-After: 7\r\nretry-after-ms: {value}\r\n"))
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "value", "again"),
    [(429, "false", False), (503, "False", False), (503, "true", True), (503, "x", True), (409, "true", False)],
)
async def test_an_upstream_may_say_that_another_attempt_is_useless(
    client: AsyncBaseTransport, status: int, value: str, again: bool
) -> None:
    failure = await fail(client, refusal(status, b"{}", f"x-should-retry: {value}\r\n"))
    assert failure.attempt_again is again


ODD_BODIES = {
    "none": refusal(429, b""),
    "no JSON": refusal(429, b"<html>Too many</html>"),
    "cut short": refusal(429, b"{}")[:-1],
    "compressed": refusal(429, b"\x1f\x8b\x08\x00", "Content-Encoding: gzip\r\n"),
    "of megabytes": refusal(429, b"x" * (2 << 20)),
}


@pytest.mark.parametrize("pieces", ODD_BODIES.values(), ids=ODD_BODIES.keys())
async def test_a_status_counts_whatever_its_body_is(client: AsyncBaseTransport, pieces: bytes) -> None:
    assert (await fail(client, pieces)).error_code is ErrorCode.UPSTREAM_RATE_LIMITED


async def test_a_status_counts_though_its_body_never_comes(
    client: AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_adapter, "ERROR_BODY_SECONDS", 0.1)
    error = await fail(client, refusal(429, b"{}")[:-1], end="hold")
    assert error.error_code is ErrorCode.UPSTREAM_RATE_LIMITED


async def test_a_compressed_stream_is_refused(client: AsyncBaseTransport) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n"
    assert (await fail(client, head + b"\x1f\x8b\x08\x00")).error_code is ErrorCode.UPSTREAM_PROTOCOL


async def test_an_answer_that_is_not_http_is_a_broken_protocol(client: AsyncBaseTransport) -> None:
    assert (await fail(client, b"SSH-2.0-OpenSSH_9.2\r\n")).error_code is ErrorCode.UPSTREAM_PROTOCOL


CAUSES = [
    (401, {"code": "invalid_api_key"}, "key"),
    (402, {}, "quota"),
    (429, {"code": "insufficient_quota"}, "quota"),
    (429, {"code": "Throttling.AllocationQuota"}, None),
    (404, {"code": "model_not_found"}, "model"),
    (404, {"type": "api_error"}, "model"),
    (404, {"code": "unknown_url"}, "address"),
    (400, {"code": "context_length_exceeded"}, "context"),
    (400, {"code": "invalid_image_url"}, "pictures"),
    (400, {"code": "tokens_too_long"}, "context"),
    (400, {"type": "exceed_context_size_error"}, "context"),
    (400, {"code": "unsupported_parameter"}, "parameters"),
    (400, {"code": None, "param": "top_p"}, "parameters"),
    (400, {"code": None, "param": "messages"}, None),
    (400, {"code": None, "param": ["top_p"]}, None),
    (404, {"code": None, "param": "model"}, "model"),
    (400, {"code": "1211"}, "model"),
    (400, {"code": "Arrearage"}, "quota"),
    (400, {"code": "content_policy_violation_in_image"}, None),
    (500, {"type": "server_error"}, None),
]


@pytest.mark.parametrize(("status", "error", "cause"), CAUSES)
async def test_what_the_operator_can_mend_is_named(
    client: AsyncBaseTransport, status: int, error: dict[str, Any], cause: str | None
) -> None:
    body = json.dumps({"error": {"message": SECRET, **error}}).encode()
    assert (await fail(client, refusal(status, body))).details.get("cause") == cause


async def test_a_page_where_the_interface_should_be_is_a_wrong_address(client: AsyncBaseTransport) -> None:
    assert (await fail(client, refusal(404, b"<html>Not Found</html>"))).details.get("cause") == "address"
