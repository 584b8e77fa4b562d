"""The chat page: an empty shell with what the browser must know; everything else comes from the API."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.csrf import ensure_csrf_cookie


@login_required
@ensure_csrf_cookie
def chat(request: HttpRequest, conversation: uuid.UUID | None = None) -> HttpResponse:
    page = {
        "user": {"id": str(request.user.pk), "username": request.user.get_username()},
        "language": get_language(),
        "conversation": None if conversation is None else str(conversation),
        "csrfCookie": settings.CSRF_COOKIE_NAME,
        "socket": "/ws/chat/",
        "messageChars": settings.CHAT_MESSAGE_CHARS,
    }
    return render(request, "chat/chat.html", {"page": page})
