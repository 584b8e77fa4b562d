"""`manage.py rundaphne`: serves everything in one process, in the foreground."""

from __future__ import annotations

import sys
from typing import Any

from daphne.endpoints import build_endpoint_description_strings
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from chatsite.asgi import application
from chatsite.patient_daphne import PatientServer

PING_SECONDS = 20
PONG_SECONDS = 30


class Command(BaseCommand):
    help = "Serves the site with daphne."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        server = PatientServer(
            application,
            endpoints=build_endpoint_description_strings(host=host, port=port),
            ping_interval=PING_SECONDS,
            ping_timeout=PONG_SECONDS,
            websocket_timeout=-1,
            websocket_max_message_size=settings.CHAT_FRAME_BYTES or 0,
            websocket_max_frame_size=settings.CHAT_FRAME_BYTES or 0,
            verbosity=0,
            server_name="",
        )
        self.stdout.write(f"Serving on http://{host}:{port}/ (stop with Ctrl-C)")
        sys.stdout.flush()
        server.run()
        if not server.listening_addresses:
            self.stderr.write(f"Port {port} on {host} cannot be used.")
            sys.exit(1)
