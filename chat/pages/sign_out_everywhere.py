"""The button that ends all sign-ins of an account."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from chat import runtime


@require_POST
@login_required
async def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    """In this browser too. API keys stay: they are no sign-ins of a person's."""
    user = await request.auser()
    assert user.pk is not None, "it takes a sign-in"
    await runtime.current().sign_ins.end_all(user.pk, api_keys=False)
    return redirect("account_login")
