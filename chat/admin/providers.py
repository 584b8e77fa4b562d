"""The providers' page: staff see in what state each is, switch it off and on, and have it checked."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast
from urllib.parse import quote

from asgiref.sync import async_to_sync
from django.apps import apps as django_apps
from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from chat import runtime
from chat.models import User
from chat.services.provider_check import Checked, check_all
from chat.services.provider_listing import Listed, ListedState, listed
from chat.services.provider_switches import switches

LOOK, CHANGE = "chat.view_providerswitch", "chat.change_providerswitch"
"""The rights to look, and to switch and check: a check may cost money."""

LOOKS: dict[ListedState, str] = {"ready": "success", "degraded": "warning", "off": "danger", "switched_off": "default"}
"""Of unfold's labels."""

_checking = threading.Lock()
"""One provider at a time in a process: each check takes a thread for as long as the upstream does."""


@require_http_methods(["GET", "HEAD", "POST"])
def providers(request: HttpRequest) -> HttpResponse:
    """A POST of `action` (`on`, `off` or `check`) and `provider` does that to it."""
    if not _may_look(request):
        raise PermissionDenied
    checked: list[Checked] = []
    if request.method == "POST":
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        action, provider = request.POST.get("action"), request.POST.get("provider", "")
        if runtime.current().registry.get(provider) is None:
            raise Http404
        if action in ("on", "off"):
            _switch(request, provider, on=action == "on")
            return redirect(f"{reverse('admin:providers')}#provider-{quote(provider)}")
        if action != "check":
            raise BadRequest
        checked = _check(request, provider)
    words = _state_words()
    rows = [
        (LOOKS[row.state], words[row.state], row, [one for one in checked if one.provider == row.id])
        for row in async_to_sync(_rows)()
    ]
    context = {
        **admin.site.each_context(request),
        "title": _("Providers"),
        "rows": rows,
        "may_change": request.user.has_perm(CHANGE),
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/chat/providers.html", context)


def _may_look(request: HttpRequest) -> bool:
    return request.user.has_perm(LOOK) or request.user.has_perm(CHANGE)


def _state_words() -> dict[ListedState, str]:
    return {"ready": _("ready"), "degraded": _("degraded"), "off": _("off"), "switched_off": _("switched off")}


# In the server's event loop, whose the registry is


async def _rows() -> list[Listed]:
    server = runtime.current()
    switched = await server.database.read(switches)
    return listed(server.registry, switched, asyncio.get_running_loop().time())


def _switch(request: HttpRequest, provider: str, *, on: bool) -> None:
    account = cast(User, request.user).id
    async_to_sync(runtime.current().switches.switch)(provider, on, account)
    label = runtime.current().registry.providers[provider].label
    words = _("%(provider)s is switched on.") if on else _("%(provider)s is switched off; its replies go on.")
    messages.success(request, words % {"provider": label})


def _check(request: HttpRequest, provider: str) -> list[Checked]:
    """Of its first model; nothing while somebody else has one checked."""
    if not _checking.acquire(blocking=False):
        messages.warning(request, _("A check is running already. Please try again in a moment."))
        return []
    try:
        registry = runtime.current().registry
        known = registry.providers[provider]
        return async_to_sync(check_all)(registry, [(known, known.models[0])])
    finally:
        _checking.release()


_other_urls = admin.site.get_urls
_other_apps = admin.site.get_app_list


def _urls() -> list[URLPattern | URLResolver]:
    return [path("providers/", admin.site.admin_view(providers), name="providers"), *_other_urls()]


def _apps(request: HttpRequest, app_label: str | None = None) -> list[Any]:
    """The models, and among the chat's a link to the page."""
    apps = _other_apps(request, app_label)
    if _may_look(request) and app_label in (None, "chat"):
        link = {
            "name": _("Providers"),
            "object_name": "Providers",
            "admin_url": reverse("admin:providers"),
            "add_url": None,
            "view_only": True,
            "perms": {"view": True},
        }
        _app_of_the_chat(apps)["models"].append(link)
    return apps


def _app_of_the_chat(apps: list[Any]) -> Any:
    """Who may see none of the models has no such app yet."""
    for app in apps:
        if app["app_label"] == "chat":
            return app
    name = django_apps.get_app_config("chat").verbose_name
    address = reverse("admin:app_list", kwargs={"app_label": "chat"})
    apps.append({"name": name, "app_label": "chat", "app_url": address, "has_module_perms": True, "models": []})
    return apps[-1]


admin.site.get_urls = _urls  # type: ignore[method-assign]
admin.site.get_app_list = _apps  # type: ignore[method-assign]
