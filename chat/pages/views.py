"""The chat page. It is a shell: what it shows, its scripts fetch from the API."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.utils.translation import get_language
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

WEBSOCKET_PATH = "/ws/chat/"


@require_safe
@login_required
@ensure_csrf_cookie
async def chat(request: HttpRequest, conversation: uuid.UUID | None = None) -> HttpResponse:
    """A new conversation, or a given one. Whether it exists, and is the person's, the API says."""
    user = await request.auser()
    page = {
        "user": {"id": str(user.pk), "username": user.get_username()},
        "conversation": None if conversation is None else str(conversation),
        "language": get_language() or settings.LANGUAGE_CODE,
        "csrfCookie": settings.CSRF_COOKIE_NAME,
        "websocketPath": WEBSOCKET_PATH,
        "loginUrl": resolve_url(settings.LOGIN_URL),
    }
    # The name is handed over: a template that reads `user` would query the database from the event loop.
    response = render(request, "chat/chat.html", {"page": page, "username": user.get_username()})
    response.headers["Cache-Control"] = "private, no-store"
    return response
