"""What every answer of the API says to browsers for safety's sake. Pages have the same by Django's own middleware."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of data: a browser that shows an answer as a page loads and runs nothing."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": NOTHING,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",  # minds no request by CORS, only what pages embed
    "Permissions-Policy": settings.PERMISSIONS_POLICY,
}


def security_headers(request: HttpRequest) -> dict[str, str]:
    if settings.SECURE_HSTS_SECONDS and request.is_secure():
        return {**SECURITY_HEADERS, "Strict-Transport-Security": f"max-age={settings.SECURE_HSTS_SECONDS}"}
    return SECURITY_HEADERS
