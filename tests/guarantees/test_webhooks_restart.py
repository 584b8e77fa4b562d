"""A killed server still owes its webhooks what it has not delivered, and the end of the replies it was writing."""

from __future__ import annotations

from tests.webhook_sink import WebhookSink


async def test_what_a_killed_server_had_not_delivered_comes_after_its_restart(serve) -> None:
    sink = WebhookSink()
    sink.answers.append("hang")
    await sink.start()
    server = await serve("tokens-3-0", "tokens-3000-20", CHAT_WEBHOOK_HOSTS=sink.url, CHAT_WEBHOOK_SECONDS="2")
    try:
        async with await server.client() as client:
            webhook = (await client.post("/webhooks", json={"url": f"{sink.url}/hook"})).json()
            later = {"Prefer": "respond-async"}
            running = await client.post("/chat", json={"message": "b", "model": "tokens-3000-20"}, headers=later)
            ended = await client.post("/chat", json={"message": "a", "model": "tokens-3-0"}, headers=later)
        await sink.until(1)  # which hangs, and so its delivery stands nowhere
        server.kill()
        await server.start()
        first, *others = await sink.until(3, seconds=40)
        told = {one.said["data"]["generation"]: one for one in others}
        assert told.keys() == {running.json()["generation"], ended.json()["generation"]}
        again = told[ended.json()["generation"]]
        assert (again.headers["webhook-id"], again.body) == (first.headers["webhook-id"], first.body)
        lost = told[running.json()["generation"]].said
        assert (lost["type"], lost["data"]["status"]) == ("generation.failed", "interrupted")
        assert all(one.is_signed_with(webhook["secret"]) for one in (first, *others))
    finally:
        await sink.aclose()
