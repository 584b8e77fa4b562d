"""A request that the framework itself refuses names the field, wherever that stands."""

from __future__ import annotations

import httpx
import pytest

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_wrong_field_is_named(owner: httpx.AsyncClient) -> None:
    of = {
        "limit": await owner.get("conversations", params={"limit": "many"}),
        "q": await owner.get("search"),
        "format": await owner.get("conversations/x/export", params={"format": "pdf"}),
        "password": await owner.post("auth/token", json={"username": "owner"}),
        "scopes.0": await owner.post("api-keys", json={"name": "one", "scopes": ["admin"]}),
    }
    for field, refused in of.items():
        assert (refused.status_code, refused.json()["details"]) == (422, {"field": field, "fields": [field]})
    bodiless = await owner.post("api-keys", json=None)
    assert (bodiless.status_code, bodiless.json()["details"]) == (422, {})
