"""Takes traces and forgets them: 200 to every POST. GET answers how many came, as JSON.

python -m benchmarks.trace_sink PORT
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class TraceSink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    posts = 0
    received_bytes = 0

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        self.rfile.read(size)
        if self.path == "/v1/traces":
            TraceSink.posts += 1
            TraceSink.received_bytes += size
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(json.dumps({"posts": TraceSink.posts, "bytes": TraceSink.received_bytes}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what arrives is counted."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), TraceSink).serve_forever()
