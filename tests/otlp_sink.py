"""A collector of traces: takes OTLP over HTTP/protobuf, and remembers it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

PATIENCE = 30.0
"""Seconds until a test gives a condition up."""


@dataclass(frozen=True)
class Span:
    """`parent` is empty for a root; `links` are (trace, span)."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    events: list[str]
    links: list[tuple[str, str]]
    failed: bool
    service: str
    start: int
    end: int

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace}-{self.id}-01"


class Sink:
    """`spans` are those that have come, in the order of their ends; `raw` is every byte of them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.raw = b""
        # A thread of its own: it must answer a server that is being waited for.
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def named(self, name: str, **attributes: Any) -> list[Span]:
        """Attributes are those of `chat.`, or `http_route`."""
        wanted = {("http.route" if key == "http_route" else f"chat.{key}"): value for key, value in attributes.items()}
        return [span for span in self.spans if span.name == name and wanted.items() <= span.attributes.items()]

    async def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, [(span.name, span.attributes) for span in self.spans]
            await asyncio.sleep(0.02)

    async def one(self, name: str, **attributes: Any) -> Span:
        """Waits for it."""
        await self.until(lambda: self.named(name, **attributes))
        [span] = self.named(name, **attributes)
        return span

    def take(self, body: bytes) -> None:
        self.raw += body
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource_spans.resource.attributes)["service.name"]
            for scope_spans in resource_spans.scope_spans:
                self.spans += [_span(span, service) for span in scope_spans.spans]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, sink: Sink, *arguments: Any) -> None:
        self._sink = sink
        super().__init__(*arguments)

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        assert self.headers["content-type"] == "application/x-protobuf"
        self._sink.take(self.rfile.read(int(self.headers["content-length"])))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Tests have nothing to say on standard error."""


def _span(span: ProtoSpan, service: str) -> Span:
    return Span(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _attributes(span.attributes),
        [event.name for event in span.events],
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        span.status.code == 2,
        service,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@pytest.fixture
def sink() -> Iterator[Sink]:
    """To be named before the server that sends to it, which ends first then."""
    sink = Sink()
    sink.start()
    yield sink
    sink.close()
