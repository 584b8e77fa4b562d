"""What is wrong with an upstream, and what to do, in one sentence for the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from chat.errors import Cause, ErrorCode, UpstreamError
from chat.providers.declaration import Declaration
from chat.providers.request_paths import asked_path

Words = str | Promise

_BY_CONNECTION: Mapping[str, Words] = {
    "unknown": gettext_lazy("There is no host %(host)s, as far as this machine's DNS knows: correct base_url."),
    "refused": gettext_lazy(
        "Nothing listens at %(host)s: correct the host or the port of base_url, or start what should answer there."
    ),
    "tls": gettext_lazy(
        "%(host)s shows no certificate that this machine trusts: correct base_url or the clock, or name the authority "
        "in SSL_CERT_FILE."
    ),
    "no_tls": gettext_lazy(
        "What listens at %(host)s speaks no TLS: let base_url begin with %(plain)s://, or correct its port."
    ),
}
_UNREACHABLE = gettext_lazy("%(host)s cannot be reached: correct base_url, or let this machine out to it.")

_BY_CAUSE: Mapping[str, Words] = {
    Cause.QUOTA: gettext_lazy("The quota or the credit at %(host)s is used up: top it up, or declare another key."),
    Cause.MODEL: gettext_lazy("%(host)s knows no model “%(model)s”: correct models, or have it opened for this key."),
    Cause.CONTEXT: gettext_lazy("The question is longer than “%(model)s” takes: shorten it, or choose a larger model."),
    Cause.PARAMETERS: gettext_lazy(
        "%(host)s refuses a parameter for “%(model)s”: leave out temperature, top_p or max_tokens."
    ),
    Cause.PICTURES: gettext_lazy(
        "“%(model)s” takes no such pictures: choose a model with vision, or smaller pictures."
    ),
}
_BY_TIMEOUT: Mapping[str, Words] = {
    "connect": gettext_lazy(
        "%(host)s accepts no connection within %(connect)g s: correct base_url, or see what a firewall drops."
    ),
    "first_token": gettext_lazy(
        "%(host)s says nothing within %(first_token)g s: raise timeout.first_token for a slow model, or see whether a "
        "proxy on the way holds streams back."
    ),
    "idle": gettext_lazy(
        "%(host)s fell silent for %(idle)g s in mid-answer: raise timeout.idle, or see what a proxy holds back."
    ),
    "total": gettext_lazy("%(host)s was not done after %(total)g s: raise timeout.total, or choose a faster model."),
}
_BY_CODE: Mapping[ErrorCode, Words] = {
    ErrorCode.UPSTREAM_REJECTED: gettext_lazy(
        "%(host)s refuses the request%(status)s: see whether kind, model and parameters are right for it."
    ),
    ErrorCode.CONTENT_FILTERED: gettext_lazy("%(host)s declines what was said as unfit: rephrase it."),
    ErrorCode.EMPTY_REPLY: gettext_lazy(
        "%(host)s ended its answer without a word: try again, or choose another model."
    ),
    ErrorCode.UPSTREAM_PROTOCOL: gettext_lazy(
        "What %(host)s sends is no whole stream of kind “%(kind)s”: correct kind or base_url, or see what a proxy "
        "makes of it."
    ),
}
_KEY = gettext_lazy("%(host)s does not accept the key%(status)s: see %(keys)s.")
_MODEL_OR_PATH = gettext_lazy(
    "%(host)s knows no model “%(model)s”, or nothing at %(path)s%(status)s: correct models or base_url, or have the "
    "model opened for this key."
)
_NO_KEY = gettext_lazy("%(host)s wants a key%(status)s, and none is declared: declare one.")
_NO_API = gettext_lazy("%(host)s has no API at %(path)s%(status)s: correct the path of base_url.")
_CLOCK = gettext_lazy("%(host)s refuses the date of our signature: have this machine's clock set by NTP.")
_BEHIND = gettext_lazy(
    "This machine's clock is %(skew)d s behind %(host)s, which refuses our signature: have it set by NTP."
)
_AHEAD = gettext_lazy(
    "This machine's clock is %(skew)d s ahead of %(host)s, which refuses our signature: have it set by NTP."
)
_RATE = gettext_lazy("%(host)s has had too many requests of this key: wait a while, or have its limits raised.")
_RATE_SECONDS = gettext_lazy(
    "%(host)s has had too many requests of this key: wait %(seconds).0f s, or have its limits raised."
)
_TROUBLE = gettext_lazy("%(host)s has trouble of its own%(status)s: try again later, and see what its vendor says.")
_BROKE_OFF = gettext_lazy("%(host)s broke off the connection: try again, and see what a proxy on the way cuts short.")
_OURS = gettext_lazy("Something went wrong on our side: see the server's log.")

_NOT_AN_API = frozenset({301, 302, 303, 307, 308, 404, 405, 410, 426})
"""Statuses that say: not at this path."""

_NO_SUCH_METHOD = 3
"""Of Qianfan's codes: the last part of the path, which names the model, leads nowhere."""

_WITHOUT_TLS = {"https": "http", "wss": "ws"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, for which model, and with which of several keys, from 1 on; None where that is not known."""

    declaration: Declaration
    model: str
    key: int | None = None

    @property
    def host(self) -> str:
        """With its port, where that is given."""
        return urlsplit(self.declaration.base_url).netloc

    @property
    def keys(self) -> str:
        """Where they come from; "" where none is wanted."""
        sources = [
            f"{name} ({secret.source})"
            for name, secrets in self.declaration.secrets.items()
            for number, secret in enumerate(secrets, 1)
            if secret.source != "none" and (len(secrets) == 1 or self.key in (None, number))
        ]
        return ", ".join(sources)

    @property
    def key_source(self) -> str:
        """Where this one of several comes from; "" where it is the only one."""
        if self.key is None:
            return ""
        several = [secrets for secrets in self.declaration.secrets.values() if len(secrets) > 1]
        return ", ".join(secrets[self.key - 1].source for secrets in several)


def sentence(asked: Asked, error: UpstreamError) -> str:
    """Translated; it holds no secret and nothing of what the upstream said."""
    timeouts = asked.declaration.profile.timeouts
    return str(_words(asked, error)) % {
        "host": asked.host,
        "path": asked_path(asked.declaration.kind, asked.declaration.base_url),
        "plain": _WITHOUT_TLS.get(urlsplit(asked.declaration.base_url).scheme, "http"),
        "model": asked.model,
        "kind": asked.declaration.kind,
        "keys": asked.keys,
        "status": _status(error),
        "seconds": error.retry_after or 0.0,
        "skew": abs(error.details.get("skew", 0)),
        "connect": timeouts.connect,
        "first_token": timeouts.first_token,
        "idle": timeouts.idle,
        "total": timeouts.total,
    }


def _words(asked: Asked, error: UpstreamError) -> Words:
    cause, status = error.details.get("cause"), error.details.get("status")
    if cause == Cause.KEY or (cause is None and error.error_code is ErrorCode.UPSTREAM_AUTH):
        return _KEY if asked.keys else _NO_KEY
    if cause == Cause.CLOCK:
        return _of_clock(error.details.get("skew"))
    if cause == Cause.MODEL and _may_be_the_path(asked, error):
        return _MODEL_OR_PATH
    if (words := _BY_CAUSE.get(str(cause))) is not None:
        return words
    answered = status is not None or error.error_code is ErrorCode.UPSTREAM_PROTOCOL
    if status in _NOT_AN_API or (cause == Cause.ADDRESS and answered):
        return _NO_API
    if cause == Cause.ADDRESS:
        return _BY_CONNECTION.get(error.details.get("connection", ""), _UNREACHABLE)
    return _by_code(error)


def _may_be_the_path(asked: Asked, error: UpstreamError) -> bool:
    """What is not found there is the model, or all of it."""
    code = error.details.get("upstream_code")
    return error.details.get("status") == 404 or (asked.declaration.kind == "qianfan_v1" and code == _NO_SUCH_METHOD)


def _of_clock(ahead: float | None) -> Words:
    """`ahead`: of the upstream's clock, in seconds."""
    if ahead is None:
        return _CLOCK
    return _AHEAD if ahead > 0 else _BEHIND


def _by_code(error: UpstreamError) -> Words:
    """Where nobody has said what the operator can do about it."""
    code = error.error_code
    if code is ErrorCode.UPSTREAM_TIMEOUT:
        return _BY_TIMEOUT.get(error.details.get("timeout", "connect"), _UNREACHABLE)
    if code is ErrorCode.UPSTREAM_RATE_LIMITED:
        return _RATE_SECONDS if error.retry_after else _RATE
    if code is ErrorCode.UPSTREAM_UNAVAILABLE:
        return _BROKE_OFF if error.details.get("connection") == "died" else _TROUBLE
    return _BY_CODE.get(code, _OURS)


def _status(error: UpstreamError) -> str:
    """In brackets, what a vendor's table of errors is to be searched for."""
    for name in ("status", "upstream_code"):
        if (number := error.details.get(name)) is not None:
            return f" ({number})"
    return ""
