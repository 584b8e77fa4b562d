"""`/api/docs`: Swagger UI, from this server's own files, for whoever is signed in on this browser or has a token."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI, Swagger

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class DocsPage(Swagger):
    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        token = request.COOKIES.get(settings.CSRF_COOKIE_NAME, "")
        context = {
            "swagger_settings": json.dumps({**self.settings, "url": self.get_openapi_url(api, kwargs)}),
            "api": api,
            "csrf_token": token,  # which is what the page sends back: a session needs it
            "add_csrf": bool(token),
        }
        response = render(request, self.template, context)
        response.headers["Content-Security-Policy"] = POLICY
        return response
