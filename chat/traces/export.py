"""Where finished spans go: by OTLP over HTTP to whatever the standard variables name, in batches, by a thread."""

from __future__ import annotations

import os
import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

USUAL_NAME = "chat"
"""Of the service, where OTEL_SERVICE_NAME names none."""

USUAL_PART = 0.1
"""Of the traces that nobody above has decided on, where OTEL_TRACES_SAMPLER says nothing: three spans cost as much as a
fifteenth of a reply, and one in ten shows what a busy server does."""

FLUSH_SECONDS = 5.0
"""How long an ending process waits for a collector that is away, before what is left is given up."""


class Export:
    """Reads OTEL_EXPORTER_OTLP_*, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER and OTEL_BSP_*."""

    def __init__(self) -> None:
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: USUAL_NAME}))
        self._exporter = OTLPSpanExporter()
        # None: as the variable says.
        sampler = None if os.environ.get("OTEL_TRACES_SAMPLER") else ParentBased(TraceIdRatioBased(USUAL_PART))
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))

    def tracer(self) -> Tracer:
        return self._provider.get_tracer("chat")

    def close(self) -> None:
        """Sends what is left. Blocks, for FLUSH_SECONDS and one request at most."""
        give_up = threading.Timer(FLUSH_SECONDS, self._exporter.shutdown)
        give_up.daemon = True
        give_up.start()
        self._provider.shutdown()
        give_up.cancel()
