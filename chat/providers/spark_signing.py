"""The signed address of an iFlytek Spark WebSocket.

Source: iFlytek's "通用鉴权 URL 生成说明": HMAC-SHA256 over host, date and request line, in the query.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import time
from urllib.parse import urlencode, urlsplit


def sign(host: str, date: str, path: str, api_secret: str) -> str:
    """The signature in Base64. `host` as it stands in the query, `path` without the query."""
    signed = f"host: {host}\ndate: {date}\nGET {path} HTTP/1.1"
    return base64.b64encode(hmac.digest(api_secret.encode(), signed.encode(), hashlib.sha256)).decode()


def signed_url(base_url: str, api_key: str, api_secret: str, *, now: float | None = None) -> str:
    """`base_url` is ws(s):// or http(s)://; `now` is a Unix time in seconds. The result holds the key: never log it."""
    parts = urlsplit(base_url)
    path = parts.path or "/"
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    date = email.utils.formatdate(time.time() if now is None else now, usegmt=True)
    signature = sign(parts.netloc, date, path, api_secret)
    origin = f'api_key="{api_key}", algorithm="hmac-sha256", headers="host date request-line", signature="{signature}"'
    query = urlencode({"authorization": base64.b64encode(origin.encode()).decode(), "date": date, "host": parts.netloc})
    return f"{scheme}://{parts.netloc}{path}?{query}"
