"""Signatures by which a webhook's receiver knows that a message is ours, and unchanged.

Source: Standard Webhooks, specification 1.0.0, "Verifying webhook authenticity": HMAC-SHA256 over
`<id>.<timestamp>.<body>`, with a secret that is written `whsec_` and Base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature_headers(secret: str, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """`message`: its id; `timestamp`: of this attempt, in seconds since 1970."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, b"%s.%d.%s" % (message.encode(), timestamp, body), hashlib.sha256).digest()
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
