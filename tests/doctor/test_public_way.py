"""The way through the proxy: each ailment of a real proxy is found by its name, and health is left alone."""

from __future__ import annotations

import asyncio
import gzip
import re
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from chat.services.diagnosis.base import Level
from tests.chat_server import ChatServer, free_port
from tests.doctor.examined import SECRET, examined, problems, through
from tests.doctor.public_proxy import PublicProxy


async def test_a_proxy_that_passes_all_on_is_left_alone(chat_server: ChatServer) -> None:
    found = await through(PublicProxy(chat_server.port), "stream", "websocket", "static", "clock")
    assert set(found) == {"address", "stream", "websocket", "static", "clock"}
    assert not problems(found)


async def test_a_proxy_that_holds_the_stream_back_is_found(chat_server: ChatServer) -> None:
    found = await through(PublicProxy(chat_server.port, buffers=True), "stream")
    assert problems(found) == {"stream.buffered"}
    assert found["stream.buffered"].level is Level.PROBLEM
    assert "proxy_buffering" in found["stream.buffered"].remedy


async def test_a_proxy_that_takes_the_header_away_is_mentioned(chat_server: ChatServer) -> None:
    def without(piece: bytes) -> bytes:
        return re.sub(rb"(?i)\r\nx-accel-buffering: no", b"", piece)

    found = await through(PublicProxy(chat_server.port, changed=without), "stream")
    assert "stream.header" in found
    assert not problems(found)


async def test_a_proxy_that_compresses_the_stream_is_found(chat_server: ChatServer) -> None:
    def compressed(answer: bytes) -> bytes:
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"text/event-stream" not in head:
            return answer
        events = b"".join(re.findall(rb"id: .*?\n\n", body, re.DOTALL))
        head = re.sub(rb"(?i)\r\ntransfer-encoding: chunked", b"\r\nContent-Encoding: gzip", head)
        return head + b"\r\n\r\n" + gzip.compress(events)

    found = await through(PublicProxy(chat_server.port, buffers=True, changed=compressed), "stream")
    assert problems(found) == {"stream.buffered", "stream.compressed"}


async def test_a_proxy_that_passes_no_upgrade_on_is_found(chat_server: ChatServer) -> None:
    found = await through(PublicProxy(chat_server.port, upgrades=False), "websocket")
    assert problems(found) == {"websocket.refused"}
    assert "400" in found["websocket.refused"].sentence


async def test_a_proxy_that_changes_the_hosts_name_is_found(chat_server: ChatServer) -> None:
    found = await through(PublicProxy(chat_server.port, keeps_host=False), "websocket")
    assert problems(found) == {"websocket.origin"}


async def test_a_proxy_with_other_static_files_is_found(chat_server: ChatServer) -> None:
    def aged(answer: bytes) -> bytes:
        return answer.replace(b"import", b"impart")

    found = await through(PublicProxy(chat_server.port, buffers=True, changed=aged), "static")
    assert problems(found) == {"static.other"}
    assert "chat/main.js" in found["static.other"].sentence


@pytest.mark.parametrize(("seconds", "level"), [(10, Level.WARNING), (3600, Level.PROBLEM), (-3600, Level.PROBLEM)])
async def test_a_clock_that_is_wrong_is_found(chat_server: ChatServer, seconds: int, level: Level) -> None:
    def dated(piece: bytes) -> bytes:
        told = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        return re.sub(rb"(?i)(\r\ndate: )[^\r]*", rb"\g<1>" + told.encode(), piece)

    found = await through(PublicProxy(chat_server.port, changed=dated), "clock")
    assert problems(found) == {"clock.skew"}
    assert found["clock.skew"].level is level
    assert ("behind" if seconds < 0 else "ahead") in found["clock.skew"].sentence


@pytest.mark.parametrize(("offered", "expected"), [(["http/1.1"], {"http.1"}), (["h2", "http/1.1"], set())])
async def test_what_a_browser_may_open_is_asked_for(
    chat_server: ChatServer,
    certificate: Path,
    server_tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    offered: list[str],
    expected: set[str],
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server_tls.set_alpn_protocols(["http/1.1"])
    proxy = PublicProxy(chat_server.port, tls=server_tls)
    if "h2" in offered:
        # Who offers no h2 itself, as our other examinations, must still get HTTP/1.1.
        server_tls.set_alpn_protocols(offered)
    found = await through(proxy, "http", "stream", "websocket")
    assert problems(found) == expected


async def test_a_certificate_that_nobody_vouches_for_is_found(
    chat_server: ChatServer, server_tls: ssl.SSLContext
) -> None:
    found = await through(PublicProxy(chat_server.port, tls=server_tls), "stream", "http")
    assert set(found) == {"address.certificate"}, "nothing else is said of an address that cannot be reached"


def test_plain_http_is_a_warning(chat_server: ChatServer) -> None:
    assert problems(examined("http", url=chat_server.url)) == {"http.plain"}


async def test_an_address_that_sends_people_on_is_found(chat_server: ChatServer) -> None:
    def moved(piece: bytes) -> bytes:
        return piece.replace(b"200 OK\r\n", b"301 Moved Permanently\r\nLocation: https://localhost/\r\n")

    assert problems(await through(PublicProxy(chat_server.port, changed=moved), "stream")) == {"address.redirect"}


@pytest.mark.parametrize(
    "url", ["chat.example.com", "ftp://chat.example.com", "https://chat.example.com/a", "http://[", "https://xn--ü"]
)
def test_what_is_no_address_is_said(url: str) -> None:
    assert set(examined("stream", url=url)) == {"address.form"}


def test_an_address_where_nobody_answers_is_said_once() -> None:
    found = examined("stream", "websocket", "http", url=f"http://me:{SECRET}@127.0.0.1:{free_port()}")
    assert set(found) == {"address.away"}
    assert SECRET not in found["address.away"].sentence


async def test_the_measuring_stream_is_for_few_at_once(chat_server: ChatServer) -> None:
    async with httpx.AsyncClient(base_url=chat_server.url) as client:
        answers = await asyncio.gather(*(client.get("/healthz/stream") for _ in range(12)))
        statuses = [answer.status_code for answer in answers]
        assert 1 <= statuses.count(200) < 12
        assert set(statuses) == {200, 503}
        for answer in answers:
            if answer.status_code == 200:
                assert answer.text.count("event: part") == 5
                assert answer.headers["x-accel-buffering"] == "no"
            else:
                assert answer.headers["retry-after"] == "1"
        assert (await client.post("/healthz/stream")).status_code == 405
