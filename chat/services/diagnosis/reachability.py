"""The public address: whether this installation answers there, without a detour."""

from __future__ import annotations

import ssl

import httpx
from django.utils.translation import gettext as _

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.public_address import PublicAddress


def look(address: PublicAddress | None) -> list[Finding]:
    """A problem, where nothing else can be seen through the address."""
    if address is None:
        sentence = _("No public address is known, so the way through the proxy was not looked at.")
        return [Finding("address", Level.OK, sentence, _("Give --url, or set CHAT_PUBLIC_URL."))]
    try:
        with address.client() as client:
            answer = client.get("/healthz")
    except httpx.HTTPError as error:
        return [_unreachable(address, error)]
    if answer.is_redirect:
        sentence = _("%(address)s sends its visitors on to another address.") % {"address": address}
        return [Finding("address.redirect", Level.PROBLEM, sentence, _("Give the address that they end at."))]
    if answer.status_code != 200 or answer.text.strip() != "ok":
        sentence = _("%(address)s answers /healthz with %(status)d, as this server does not.")
        remedy = _("Have the proxy pass every path on to this server, and see whether the server runs.")
        words = sentence % {"address": address, "status": answer.status_code}
        return [Finding("address.other", Level.PROBLEM, words, remedy)]
    sentence = _("%(address)s leads to this server.") % {"address": address}
    return [Finding("address", Level.OK, sentence)]


def _unreachable(address: PublicAddress, error: httpx.HTTPError) -> Finding:
    if _is_certificate(error):
        sentence = _("The certificate of %(address)s is not valid for it.") % {"address": address}
        remedy = _("Renew it, or give the whole chain; an authority of your own is named in SSL_CERT_FILE.")
        return Finding("address.certificate", Level.PROBLEM, sentence, remedy)
    sentence = _("%(address)s does not answer: %(error)s.") % {"address": address, "error": type(error).__name__}
    remedy = _("See that the name leads to the proxy, that the proxy runs, and that this machine may reach it.")
    return Finding("address.away", Level.PROBLEM, sentence, remedy)


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
