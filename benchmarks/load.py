"""Opens many streams at once and reports, as one JSON line, what arrived and when. A process of its own.

python -m benchmarks.load < job.json
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

import msgspec
import uvloop

from benchmarks import detached_reply, sse_client, websocket_client
from benchmarks.job import Elsewhere, Job, Report
from benchmarks.receipt import Receipt

Client = sse_client.SseClient | websocket_client.WebSocketClient


async def run(job: Job) -> Report:
    began = time.monotonic()
    streams = [
        asyncio.create_task(_stream(job, number, began + job.ramp_seconds * number / job.streams))
        for number in range(job.streams)
    ]
    receipts = await asyncio.gather(*streams)
    return _report(receipts, time.monotonic() - began)


async def _stream(job: Job, number: int, starts: float) -> Receipt:
    await asyncio.sleep(max(0.0, starts - time.monotonic()))
    receipt = Receipt(job.tokens, time.monotonic(), repeats=job.repeats)
    headers = {"Authorization": f"Bearer {job.bearers[number % len(job.bearers)]}"} if job.bearers else {}
    body = msgspec.json.encode(job.body)

    try:
        async with asyncio.timeout(job.timeout_seconds):
            place = job.elsewhere[number % len(job.elsewhere)] if job.elsewhere else Elsewhere(job.url)
            if place.follow:
                await _follow(place, body, headers, receipt)
            else:
                await _ask(place.send, body, headers, receipt)
    except TimeoutError:
        receipt.fail("not finished in time")
    except detached_reply.Refused as error:
        receipt.fail(str(error))
    except OSError as error:
        receipt.fail(f"no connection: {error!r}")
    return receipt


async def _ask(url: str, body: bytes, headers: dict[str, str], receipt: Receipt) -> None:
    address = urlsplit(url)
    if address.scheme == "ws":
        handshake = websocket_client.handshake(address.netloc, address.path, headers)
        await _read(address, lambda: websocket_client.WebSocketClient(handshake, body, receipt))
    else:
        request = sse_client.request(address.netloc, address.path, body, headers)
        await _read(address, lambda: sse_client.SseClient(request, receipt))


async def _follow(place: Elsewhere, body: bytes, headers: dict[str, str], receipt: Receipt) -> None:
    generation = await detached_reply.start(place.send, body, headers)
    address = urlsplit(f"{place.follow}/{generation}/events")
    question = sse_client.question(address.netloc, address.path, headers)
    await _read(address, lambda: sse_client.SseClient(question, receipt))


async def _read(address: SplitResult, client: Callable[[], Client]) -> None:
    """Until its stream has ended."""
    assert address.hostname is not None
    assert address.port is not None
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(client, address.hostname, address.port)
    try:
        await protocol.done
    finally:
        transport.abort()


def _report(receipts: list[Receipt], seconds: float) -> Report:
    firsts = sorted(receipt.first_token_ms for receipt in receipts if receipt.first_token_ms is not None)
    delays = sorted(delay for receipt in receipts for delay in receipt.delays_ms)
    return Report(
        streams=len(receipts),
        good=sum(receipt.problem is None for receipt in receipts),
        tokens=len(delays),
        events=sum(receipt.events for receipt in receipts),
        first_token_ms_p50=_percentile(firsts, 0.50),
        first_token_ms_p99=_percentile(firsts, 0.99),
        delay_ms_p50=_percentile(delays, 0.50),
        delay_ms_p99=_percentile(delays, 0.99),
        seconds=round(seconds, 2),
        problems=dict(Counter(receipt.problem for receipt in receipts if receipt.problem is not None)),
    )


def _percentile(ordered: list[float], part: float) -> float:
    return round(ordered[int(part * (len(ordered) - 1))], 1) if ordered else -1.0


if __name__ == "__main__":
    report = uvloop.run(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Job)))
    print(msgspec.json.encode(report).decode())
