"""The providers as an operator sees them: what is declared, in what state each is, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from chat.providers.base import Model
from chat.providers.registry import Registry
from chat.providers.resilience.breaker import BreakerState
from chat.services.provider_switches import Switched

ListedState = Literal["ready", "degraded", "off", "switched_off"]


@dataclass(frozen=True, slots=True)
class Listed:
    """`address`: the host, and a port where one is given. `keys`: how many are declared, to be used by turns;
    `keys_missing`: how many of them are not there; `resting`: how many were refused a while ago. `reason` and `remedy`:
    sentences, translated, "" where all is well."""

    id: str
    label: str
    kind: str
    upstream: str
    address: str
    models: tuple[Model, ...]
    fallback: tuple[str, ...]
    retries: int
    concurrency: int | None
    queue: int
    cache_seconds: float
    keys: int
    keys_missing: int
    resting: int
    state: ListedState
    reason: str = ""
    remedy: str = ""

    @property
    def keys_there(self) -> int:
        return self.keys - self.keys_missing


def listed(registry: Registry, switches: Mapping[str, Switched], now: float) -> list[Listed]:
    """All, in the order of their declaration. `switches`: who has switched off what; the registry knows that it is.
    `now`: the loop's time."""
    return [_listed(registry, provider, switches.get(provider), now) for provider in registry.providers]


def _listed(registry: Registry, id: str, switched: Switched | None, now: float) -> Listed:
    provider, declaration = registry.providers[id], registry.declaration(id)
    profile = declaration.profile
    state, reason, remedy = _state(registry, id, switched)
    secrets = [[secret for secret in several if secret.source != "none"] for several in declaration.secrets.values()]
    keys = max((len(several) for several in secrets), default=0)
    return Listed(
        id=id,
        label=provider.label,
        kind=declaration.kind,
        upstream=provider.upstream,
        address=urlsplit(declaration.base_url).netloc.rpartition("@")[2],
        models=provider.models,
        fallback=provider.fallback,
        retries=provider.retries,
        concurrency=profile.concurrency,
        queue=profile.queue,
        cache_seconds=profile.cache_seconds,
        keys=keys,
        keys_missing=keys if registry.missing_key(id) is not None else len(registry.keys_left_out(id)),
        resting=provider.resting(now),
        state=state,
        reason=reason,
        remedy=remedy,
    )


def _state(registry: Registry, id: str, switched: Switched | None) -> tuple[ListedState, str, str]:
    """The state, its reason, and a remedy."""
    if (missing := registry.missing_key(id)) is not None:
        return "off", f"{missing}.", _("Put the key there, and start the server again.")
    if registry.is_switched_off(id):
        return "switched_off", _of_switch(switched), _("Switch it on at /admin/providers/ when it is wanted again.")
    if registry.state(id) == "degraded":
        return "degraded", _of_breakers(registry, id), _("See what a check says; a reply that succeeds makes it ready.")
    if left_out := registry.keys_left_out(id):
        reason = _("It goes without some of its keys: %(reasons)s.") % {"reasons": "; ".join(left_out.values())}
        return "ready", reason, _("Put the key there, and start the server again.")
    return "ready", "", ""


def _of_breakers(registry: Registry, id: str) -> str:
    failing = [
        f"{model} ({breaker.last_failure})"
        for model, breaker in sorted(registry.breakers(id).items())
        if breaker.state is not BreakerState.CLOSED
    ]
    return _("The last replies failed, and others are asked first: %(models)s.") % {"models": ", ".join(failing)}


def _of_switch(switched: Switched | None) -> str:
    if switched is None:
        return _("It was switched off.")
    values = {"who": switched.by or "?", "when": date_format(localtime(switched.at), "DATETIME_FORMAT")}
    return _("%(when)s: %(who)s switched it off.") % values
