"""Opens many streams at once and reports, as one JSON line, what arrived and when. A process of its own.

python -m benchmarks.load < job.json
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

import msgspec
import uvloop

from benchmarks import sse_client, websocket_client
from benchmarks.job import Job, Report
from benchmarks.receipt import Receipt


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
    address = urlsplit(job.url)
    assert address.hostname is not None
    assert address.port is not None
    receipt = Receipt(job.tokens, time.monotonic(), repeats=job.repeats)
    headers = {"Authorization": f"Bearer {job.bearers[number % len(job.bearers)]}"} if job.bearers else {}
    body = msgspec.json.encode(job.body)

    def client() -> sse_client.SseClient | websocket_client.WebSocketClient:
        if address.scheme == "ws":
            handshake = websocket_client.handshake(address.netloc, address.path, headers)
            return websocket_client.WebSocketClient(handshake, body, receipt)
        return sse_client.SseClient(sse_client.request(address.netloc, address.path, body, headers), receipt)

    try:
        async with asyncio.timeout(job.timeout_seconds):
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.create_connection(client, address.hostname, address.port)
            try:
                await protocol.done
            finally:
                transport.abort()
    except TimeoutError:
        receipt.fail("not finished in time")
    except OSError as error:
        receipt.fail(f"no connection: {error!r}")
    return receipt


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
