"""How many connections a browser may open: six to a host over HTTP/1.1, one for any number of streams over HTTP/2."""

from __future__ import annotations

import socket
import ssl

from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import SECONDS, PublicAddress


def look(address: PublicAddress | None) -> list[Finding]:
    if address is None:
        return []
    if not address.encrypted:
        sentence = _(
            "%(address)s is plain HTTP: everything travels unencrypted, and a browser opens six connections to it."
        )
        remedy = _("Have a proxy in front end TLS and offer HTTP/2.")
        return [Finding("http.plain", Level.WARNING, sentence % {"address": address}, remedy)]
    try:
        offered = _protocol(address)
    except OSError as error:
        sentence = _("The protocols of %(address)s cannot be asked for: %(error)s.")
        words = sentence % {"address": address, "error": type(error).__name__}
        return [Finding("http.unknown", Level.WARNING, words, _("Try again, from another place too."))]
    if offered == "h2":
        return [Finding("http", Level.OK, _("HTTP/2 is offered: a browser may read any number of streams."))]
    sentence = _("HTTP/2 is not offered: a browser opens at most six connections, and each stream over SSE takes one.")
    remedy = _("Turn it on in the proxy (in nginx, http2 on), or keep WebSocket as the way of the pages.")
    return [Finding("http.1", Level.WARNING, sentence, remedy)]


def _protocol(address: PublicAddress) -> str | None:
    """What the server chooses by ALPN when a browser's choices are offered. Raises OSError, of which ssl.SSLError is
    one."""
    context = address.tls_context()
    assert isinstance(context, ssl.SSLContext), "the address is encrypted"
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((address.host, address.port), timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=address.host) as encrypted,
    ):
        return encrypted.selected_alpn_protocol()
