"""A WebSocket through the public address: whether a proxy passes the upgrade on, and the host's name with it."""

from __future__ import annotations

import asyncio

from django.utils.translation import gettext as _
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Origin

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import SECONDS, PublicAddress

PATH = "/ws/chat/"

SIGN_IN = 4401
WRONG_ORIGIN = 4403
"""The codes with which the chat closes a socket of nobody, and one of another site."""


def look(address: PublicAddress | None) -> list[Finding]:
    if address is None:
        return []
    try:
        # Not the threaded client: its two threads use one TLS connection at once, which hangs at times.
        code = asyncio.run(_close_code(address))
    except InvalidStatus as error:
        status = error.response.status_code
        sentence = _("A WebSocket is refused on its way (status %(status)d).") % {"status": status}
        return [Finding("websocket.refused", Level.PROBLEM, sentence, _passed_on())]
    except (WebSocketException, OSError) as error:
        sentence = _("A WebSocket cannot be opened: %(error)s.") % {"error": type(error).__name__}
        return [Finding("websocket.refused", Level.PROBLEM, sentence, _passed_on())]
    if code == SIGN_IN:
        return [Finding("websocket", Level.OK, _("A WebSocket reaches the chat."))]
    if code == WRONG_ORIGIN:
        sentence = _(
            "The chat takes the sockets of its own pages for another site's: the proxy changes the host's name."
        )
        remedy = _(
            "Pass the name on: in nginx, proxy_set_header Host $http_host; or list %(address)s in CSRF_TRUSTED_ORIGINS."
        )
        return [Finding("websocket.origin", Level.PROBLEM, sentence, remedy % {"address": address})]
    sentence = _("A WebSocket is closed on its way (code %(code)s).") % {"code": code}
    return [Finding("websocket.closed", Level.PROBLEM, sentence, _passed_on())]


async def _close_code(address: PublicAddress) -> int | None:
    """Opens a socket as a page would, without a sign-in. None: the other side says nothing. Raises OSError,
    WebSocketException."""
    async with connect(
        address.websocket(PATH),
        origin=Origin(str(address)),
        ssl=address.tls_context(),
        proxy=None,
        compression=None,
        open_timeout=SECONDS,
        close_timeout=1,
    ) as socket:
        try:
            async with asyncio.timeout(SECONDS):
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None
        except TimeoutError:
            pass
        return None


def _passed_on() -> str:
    return _("Have the proxy speak HTTP/1.1 to the server and pass Upgrade and Connection on, for /ws/ at least.")
