"""The doctor's page: staff who may look at generations have the installation examined, and read the findings."""

from __future__ import annotations

import threading
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from chat.services.diagnosis.base import Finding, Level
from chat.services.diagnosis.level_words import word

RIGHT = "chat.view_generation"
"""Of the rights there are, the nearest: generations, too, show workers, upstreams and what went wrong."""

LOOKS = {Level.OK: "success", Level.WARNING: "warning", Level.PROBLEM: "danger"}
"""Of unfold's labels."""

_examining = threading.Lock()
"""One examination at a time in a process: each takes a dozen threads for some seconds."""


@require_http_methods(["GET", "HEAD", "POST"])
def doctor(request: HttpRequest) -> HttpResponse:
    """A POST examines."""
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied
    found = _examine() if request.method == "POST" else None
    rows = [(LOOKS[finding.level], word(finding.level), finding) for finding in found or ()]
    context = {
        **admin.site.each_context(request),
        "title": _("Examination of the installation"),
        "rows": rows,
        "busy": request.method == "POST" and found is None,
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/chat/doctor.html", context)


def _examine() -> list[Finding] | None:
    """None while somebody else has it done."""
    if not _examining.acquire(blocking=False):
        return None
    from chat.services.diagnosis.examine import diagnose  # noqa: PLC0415 (it loads the clients of all that it looks at)

    try:
        return diagnose(getattr(settings, "CHAT_PUBLIC_URL", ""))
    finally:
        _examining.release()


_urls_of_models = admin.site.get_urls
_apps_of_models = admin.site.get_app_list


def _urls() -> list[URLPattern | URLResolver]:
    return [path("doctor/", admin.site.admin_view(doctor), name="doctor"), *_urls_of_models()]


def _apps(request: HttpRequest, app_label: str | None = None) -> list[Any]:
    """The models, and among the chat's a link to the page."""
    apps = _apps_of_models(request, app_label)
    if request.user.has_perm(RIGHT):
        link = {
            "name": _("Examination of the installation"),
            "object_name": "Doctor",
            "admin_url": reverse("admin:doctor"),
            "add_url": None,
            "view_only": True,
            "perms": {"view": True},
        }
        for app in apps:
            if app["app_label"] == "chat":
                app["models"].append(link)
    return apps


admin.site.get_urls = _urls  # type: ignore[method-assign]
admin.site.get_app_list = _apps  # type: ignore[method-assign]
