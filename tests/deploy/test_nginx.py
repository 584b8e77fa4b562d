"""What nginx with the shipped files does to requests, streams and sockets on their way."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.chat_server import PASSWORD, ChatServer, server_events
from tests.deploy.conftest import QUICK, SLOW, Site, StartSite
from tests.nginx_server import FILES, NginxServer, replaced

SHARED = pytest.mark.asyncio(loop_scope="module")

REQUESTS = 12
"""More than there are workers, so that each of them has its turn."""
PATIENCE = 30.0
"""Seconds until a wait is given up."""


def proxied(proxy: NginxServer) -> list[dict[str, str]]:
    """The lines of its log: one a request. It ends with that, so that all are written."""
    proxy.stop()
    return [json.loads(line) for line in (proxy.directory / "access.log").read_text().splitlines()]


@SHARED
async def test_an_event_stream_comes_event_by_event_and_says_so_to_the_next_proxy(shared_site: Site) -> None:
    headers = {**await shared_site.workers[0].headers(), "Accept-Encoding": "gzip"}
    async with shared_site.proxy.client(headers) as client:
        send = {"message": "hello", "model": SLOW}
        async with client.stream("POST", "/api/v1/chat", json=send) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            assert "content-encoding" not in answer.headers
            assert "no-transform" in answer.headers["cache-control"]
            deltas = 0
            async for event in server_events(answer):
                deltas += event.event == "message"
                if deltas == 3:
                    break
            generation = answer.headers["x-generation-id"]
        record = (await client.get(f"/api/v1/generations/{generation}")).json()
        # Nothing was held back until there was enough of it for a buffer.
        assert record["status"] in ("queued", "streaming")
        assert len(record["text"].split()) < 20


@SHARED
async def test_an_answer_without_a_stream_has_no_header_of_streams(shared_site: Site) -> None:
    async with shared_site.proxy.client() as client:
        assert "x-accel-buffering" not in (await client.get("/healthz")).headers


@SHARED
async def test_a_websocket_takes_commands_and_brings_events(shared_site: Site) -> None:
    address = f"wss://127.0.0.1:{shared_site.proxy.port}/ws/chat/"
    headers = await shared_site.workers[0].headers()
    async with connect(address, additional_headers=headers, ssl=shared_site.proxy.trust) as socket:
        await socket.send(json.dumps({"type": "send", "message": "hello", "model": QUICK}))
        async for frame in socket:
            event = json.loads(frame)
            if event.get("isFinal"):
                break
    assert (event["type"], event["finish_reason"]) == ("message", "stop")


@SHARED
async def test_what_is_plain_is_sent_to_tls(shared_site: Site) -> None:
    async with httpx.AsyncClient(base_url=shared_site.proxy.plain_url) as client:
        answer = await client.get("/accounts/login/?next=/")
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://127.0.0.1/accounts/login/?next=/"
    async with shared_site.proxy.client() as client:
        answer = await client.get("/accounts/login/")
    assert "max-age" in answer.headers["strict-transport-security"]
    # The server knows that the client came over TLS.
    assert "Secure" in answer.headers["set-cookie"]


@SHARED
@pytest.mark.parametrize(("language", "words"), [("en", "The request is too large."), ("zh-CN,zh;q=0.9", "请求过大。")])
async def test_a_body_over_the_limit_is_refused_as_the_api_does(shared_site: Site, language: str, words: str) -> None:
    limit = 12 << 20
    headers = {
        "Accept-Language": language,
        "Content-Type": "application/json",
        **await shared_site.workers[0].headers(),
    }
    async with shared_site.proxy.client(headers) as client:
        # Not a JSON object: the worker says so, where it gets to see the body.
        assert (await client.post("/api/v1/chat", content=b" " * limit)).status_code == 400
        refused = await client.post("/api/v1/chat", content=b" " * (limit + 1))
    assert refused.status_code == 413
    assert refused.json() == {"error": words, "code": "TOO_LARGE", "details": {}}
    assert all("status=413" not in worker.log() for worker in shared_site.workers), "nginx has refused it by itself"


@SHARED
async def test_json_pages_and_scripts_are_compressed(shared_site: Site) -> None:
    async with shared_site.proxy.client({"Accept-Encoding": "gzip"}) as client:
        for address in ("/api/openapi.json", "/accounts/login/", "/static/chat/open_conversation.js"):
            answer = await client.get(address)
            assert answer.status_code == 200, address
            assert answer.headers["content-encoding"] == "gzip", address
            assert "accept-encoding" in answer.headers["vary"].lower(), address


async def test_both_workers_work_and_what_one_refuses_to_take_the_other_gets(site: StartSite) -> None:
    started = await site()
    headers = await started.workers[0].headers()
    stopped, left = started.workers
    async with started.proxy.client(headers) as client:
        for _ in range(REQUESTS):
            assert (await client.get("/api/v1/conversations")).status_code == 200
        stopped.kill()
        for _ in range(REQUESTS):
            assert (await client.get("/api/v1/conversations")).status_code == 200
            answer = await client.post("/api/v1/conversations", json={})
            assert answer.status_code in (200, 201), answer.text
        left.kill()
        answer = await client.get("/api/v1/conversations")
        assert answer.status_code == 503
        assert answer.json()["code"] == "UNAVAILABLE"
        assert int(answer.headers["retry-after"]) > 0
    asked = {line["worker"] for line in proxied(started.proxy)[:REQUESTS]}
    assert asked == {worker.url.removeprefix("http://") for worker in started.workers}


async def test_a_worker_that_is_taken_out_keeps_its_streams_and_gets_nothing_new(site: StartSite) -> None:
    started = await site()
    headers = await started.workers[0].headers()
    async with started.proxy.client(headers) as client:
        send = {"message": "hello", "model": SLOW}
        async with client.stream("POST", "/api/v1/chat", json=send) as answer:
            events = server_events(answer)
            await anext(events)
            # Both have to be tried: nobody knows here which of them runs this reply.
            for worker, other in (started.workers, started.workers[::-1]):
                there = f"server {worker.url.removeprefix('http://')} "
                before = started.proxy.upstream_file.read_text()
                started.proxy.upstream_file.write_text(replaced(before, there, f"{there}down "))
                started.proxy.reload()
                await until_alone(other, client)
                started.proxy.upstream_file.write_text(before)
                assert (await anext(events)).event in ("message", "ping")


async def until_alone(worker: ChatServer, client: httpx.AsyncClient) -> None:
    """Until this worker answers one request after the other: a reload takes nginx a moment."""
    alone = 0
    async with asyncio.timeout(PATIENCE):
        while alone < REQUESTS:
            try:
                answer = await client.get("/api/v1/conversations")
            except httpx.RemoteProtocolError:
                continue  # of the nginx before the reload, which has just closed its idle connections
            assert answer.status_code == 200
            has_it = answer.headers["x-request-id"] in worker.log()
            alone = alone + 1 if has_it else 0


async def test_a_post_that_was_sent_is_never_sent_again_and_a_get_is(tmp_path: Path, certificate: Path) -> None:
    heard: list[bytes] = []

    async def hear_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n"))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    servers = [await asyncio.start_server(hear_and_hang_up, "127.0.0.1", 0) for _ in range(2)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    proxies = []
    try:
        for method, times in (("POST", 1), ("GET", 2)):
            heard.clear()
            directory = tmp_path / method
            directory.mkdir()
            proxy = NginxServer(directory, certificate, ports)
            proxies.append(proxy)
            await proxy.start()
            async with proxy.client() as client:
                answer = await client.request(method, "/api/v1/conversations")
            assert answer.status_code == 503
            assert [line.split()[0] for line in heard] == [method.encode()] * times
    finally:
        for proxy in proxies:
            proxy.stop()
        for server in servers:
            server.close()
            await server.wait_closed()


@SHARED
async def test_metrics_are_for_the_inside_alone(shared_site: Site) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{shared_site.workers[0].url}/metrics")).status_code == 200
    async with shared_site.proxy.client() as client:
        for address in ("/metrics", "//metrics", "/%6detrics", "/static/../metrics", "/metrics?x=1"):
            answer = await client.get(shared_site.proxy.url + address)
            assert answer.status_code == 404, address
            assert "chat_" not in answer.text
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).json()["ready"] is True


async def test_nobody_chooses_the_address_that_the_server_takes_them_for(site: StartSite) -> None:
    started = await site(CHAT_LOGIN_RATE="3/m")

    async def statuses(client: httpx.AsyncClient) -> list[int]:
        found = []
        for number in range(8):
            claims = {"X-Forwarded-For": f"10.9.8.{number}", "Forwarded": f"for=10.9.8.{number}"}
            wrong = {"username": f"owner{number}", "password": PASSWORD}
            found.append((await client.post("/api/v1/auth/token", json=wrong, headers=claims)).status_code)
        return found

    # The worker itself believes its proxy, and each claim is somebody new to it.
    async with httpx.AsyncClient(base_url=started.workers[0].url) as client:
        assert 429 not in await statuses(client)
    # Two workers count three each.
    async with started.proxy.client() as client:
        assert (await statuses(client))[6:] == [429, 429]


async def test_static_files_are_kept(site: StartSite) -> None:
    started = await site()
    address = "/static/chat/open_conversation.js"
    async with started.proxy.client() as client:
        first = await client.get(address)
        assert first.status_code == 200
        for worker in started.workers:
            worker.kill()
        assert (await client.get(address)).content == first.content


async def test_the_log_has_no_query_and_leads_to_the_workers_own(site: StartSite) -> None:
    started = await site()
    async with started.proxy.client() as client:
        answer = await client.get("/api/v1/conversations?token=hidden")
    (line,) = proxied(started.proxy)
    assert "hidden" not in str(line)
    assert (line["path"], line["status"]) == ("/api/v1/conversations", "401")
    assert line["request_id"] == answer.headers["x-request-id"]


# The other files of the folder


def check(proxy: NginxServer) -> None:
    done = subprocess.run([*proxy.command, "-t"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_containers_main_file_is_good(tmp_path: Path, certificate: Path) -> None:
    proxy = NginxServer(tmp_path, certificate, (8101, 8102))
    main = (FILES / "nginx.conf").read_text()
    main = replaced(main, "/etc/nginx/chat", str(tmp_path / "etc/chat"))
    main = replaced(main, "/etc/nginx/mime.types", str(tmp_path / "mime.types"))
    (tmp_path / "mime.types").write_text("types { text/html html; }")
    main = replaced(main, "/run/nginx.pid", str(tmp_path / "nginx.pid"))
    main = replaced(main, "/var/log/nginx", str(tmp_path))
    (tmp_path / "nginx.conf").write_text(main)
    check(proxy)


def test_the_workers_of_compose_are_those_of_one_machine_by_other_names() -> None:
    """An nginx older than `resolve` can run the tests: it is compared instead."""

    def directives(name: str) -> list[str]:
        lines = (line.strip() for line in (FILES / name).read_text().splitlines())
        return [line for line in lines if line and not line.startswith(("#", "resolver "))]

    of_machine = directives("chat-upstream.conf")
    of_compose = directives("chat-upstream-compose.conf")
    for number in (1, 2):
        of_compose = [line.replace(f"web-{number}:8000 resolve", f"127.0.0.1:800{number}") for line in of_compose]
    assert of_compose == of_machine
