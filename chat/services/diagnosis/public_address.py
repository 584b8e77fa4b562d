"""The address that people type, and connections to it as a browser makes them: past no other proxy than its own."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

SECONDS = 5.0
"""To connect, and between two parts of an answer."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """`credentials`, such as `user:password@` of a site that is not yet open to all, are sent and never shown."""

    scheme: str
    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> PublicAddress:
        """Of `https://host` or `https://host:port`. Raises ValueError, without words."""
        parts = urlsplit(url)
        try:
            _ = httpx.URL(url).host  # which minds more than urlsplit
        except httpx.InvalidURL:
            raise ValueError from None
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError
        credentials, at, _ = parts.netloc.rpartition("@")
        return cls(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], credentials + at)

    def __str__(self) -> str:
        return f"{self.scheme}://{self._place}"

    @property
    def encrypted(self) -> bool:
        return self.scheme == "https"

    def websocket(self, path: str) -> str:
        """With the credentials: to connect with, never to show."""
        return f"{'wss' if self.encrypted else 'ws'}://{self.credentials}{self._place}{path}"

    def client(self) -> httpx.Client:
        """HTTP/1.1, without redirects. To be closed, by `with` for one."""
        return httpx.Client(
            base_url=f"{self.scheme}://{self.credentials}{self._place}",
            verify=self.tls_context() or False,
            timeout=SECONDS,
            trust_env=False,
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """None where nothing is encrypted. It trusts what `SSL_CERT_FILE` names, else the usual authorities."""
        return httpx.create_ssl_context() if self.encrypted else None

    @property
    def _place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"
