"""TLS to upstreams over bytes that somebody else reads and writes: a client's side, without I/O.

Python's event loops wrap a TLS connection in layers of their own, which cost a stream more than the cipher does. Here
the connection stays a plain one, read by its pace; what it reads is decrypted on the way. Sessions are resumed, which
spares the server its signature and this side its check: a start costs half.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from contextlib import suppress
from typing import cast

RECORDS = 64 * 1024
"""Plain bytes taken at once: four of TLS's largest records."""

SESSIONS = 64
"""Upstreams whose last session is kept, the latest used."""

_PLAIN = bytearray(RECORDS)
_VIEW = memoryview(_PLAIN)


class SessionCache:
    """The last session with each server, of one context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self._sessions: OrderedDict[tuple[str, int], ssl.SSLSession] = OrderedDict()

    def get(self, server: tuple[str, int]) -> ssl.SSLSession | None:
        return self._sessions.get(server)

    def keep(self, server: tuple[str, int], session: ssl.SSLSession) -> None:
        self._sessions[server] = session
        self._sessions.move_to_end(server)
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)


class TlsClient:
    """One connection's TLS. What `outgoing` gives is to be written after every other call."""

    def __init__(self, sessions: SessionCache, host: str, port: int) -> None:
        self._sessions = sessions
        self._server = (host, port)
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = sessions.context.wrap_bio(
            self._received, self._to_send, server_hostname=host, session=sessions.get(self._server)
        )
        self.ended = False
        """The server has said goodbye: the orderly end, whether or not it closes the connection too."""
        self.failure: ssl.SSLError | None = None
        """What has come after what `decrypt` gave is not of this connection."""

    def shake_hands(self, data: bytes = b"") -> bool:
        """Goes on with what the server sent; True when the handshake is done. Raises ssl.SSLError."""
        self._received.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, data: bytes) -> bytes:
        """What this completes, b"" where it completes nothing. Sets `ended` or `failure` where nothing follows."""
        received, tls = self._received, self._tls
        received.write(data)
        plain: list[bytes] = []
        # Not until it wants more: that would be an exception for each read.
        while received.pending or tls.pending():
            try:
                size = cast(int, tls.read(RECORDS, _PLAIN))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.ended = True
                break
            except ssl.SSLError as error:
                self.failure = error
                break
            if not size:
                self.ended = True
                break
            plain.append(bytes(_VIEW[:size]))
        return plain[0] if len(plain) == 1 else b"".join(plain)

    def encrypt(self, data: bytes) -> None:
        self._tls.write(data)

    def outgoing(self) -> bytes:
        return self._to_send.read() if self._to_send.pending else b""

    def say_goodbye(self) -> None:
        """Before the connection is closed; keeps the session, which a connection without a goodbye would spoil."""
        session = self._tls.session
        with suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()
        if session is not None:
            self._sessions.keep(self._server, session)
