"""`/providers`: what can be chosen."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from chat import runtime
from chat.api.generations import ERRORS
from chat.api.schemas import ProvidersBody

router = Router(tags=["providers"])


@router.get("", response={200: ProvidersBody, **ERRORS})
async def index(request: HttpRequest) -> dict[str, Any]:
    """The first ready one is the default."""
    registry = runtime.current().registry
    items = [
        {
            "id": provider.id,
            "label": provider.label,
            "kind": provider.kind,
            "upstream": provider.upstream,
            "state": registry.state(provider.id),
            "models": [
                {"id": model.id, "label": model.label, "vision": model.vision, "reasoning": model.reasoning}
                for model in provider.models
            ],
        }
        for provider in registry.providers.values()
    ]
    return {"items": items, "next": None}
