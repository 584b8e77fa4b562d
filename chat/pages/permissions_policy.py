"""`Permissions-Policy` on every page: what no page here uses, and so no script that got into one either."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def permissions_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    if iscoroutinefunction(get_response):

        async def respond(request: HttpRequest) -> Any:
            response = await get_response(request)
            response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
            return response

        return respond

    def respond_now(request: HttpRequest) -> Any:
        response = get_response(request)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        return response

    return respond_now
