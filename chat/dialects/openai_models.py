"""`/v1/models`: what can be chosen, as OpenAI's clients ask for it.

Source: the OpenAI API reference, "Models".
"""

from __future__ import annotations

from typing import Any, Literal

from django.http import HttpRequest
from ninja import Router, Schema

from chat import runtime
from chat.dialects.openai_errors import REFUSALS
from chat.services.model_names import named, names

router = Router(tags=["OpenAI"])


class OpenAIModel(Schema):
    """`created`: when a model was made is not known here, and 0; `owned_by`: the provider's id."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class OpenAIModels(Schema):
    object: Literal["list"]
    data: list[OpenAIModel]


@router.get("/models", response={200: OpenAIModels, **REFUSALS})
async def index(request: HttpRequest) -> dict[str, Any]:
    """All models that can be chosen, by the names under which they are asked for."""
    data = [_model(model.name, model.provider) for model in names(runtime.current().registry)]
    return {"object": "list", "data": data}


@router.get("/models/{path:id}", response={200: OpenAIModel, **REFUSALS})
async def show(request: HttpRequest, id: str) -> dict[str, Any]:
    """One model, by its id or by "provider/model"."""
    provider, _model_id = named(runtime.current().registry, id)
    return _model(id, provider)


def _model(name: str, provider: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": provider}
