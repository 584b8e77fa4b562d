"""The page: who may have the installation examined, and what they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from chat.models import User
from tests.chat_server import ChatServer


@pytest.fixture
def signed_in(db: None) -> Callable[..., Client]:
    """`signed_in(is_staff=True, rights=("view_generation",))`."""

    def sign_in(rights: tuple[str, ...] = (), **fields: Any) -> Client:
        user = User.objects.create_user("somebody", "somebody@example.com", "their-password", **fields)
        user.user_permissions.set(Permission.objects.filter(codename__in=rights, content_type__app_label="chat"))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.mark.django_db
def test_nobody_and_ordinary_users_are_sent_to_the_login(signed_in: Callable[..., Client]) -> None:
    for client in (Client(), signed_in()):
        for answer in (client.get("/admin/doctor/"), client.post("/admin/doctor/")):
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("admin:login"))


def test_staff_without_the_right_are_refused(signed_in: Callable[..., Client]) -> None:
    client = signed_in(is_staff=True, rights=("view_conversation",))
    assert client.get("/admin/doctor/").status_code == 403
    assert client.post("/admin/doctor/").status_code == 403
    assert "/admin/doctor/" not in client.get("/admin/").content.decode()


@pytest.mark.parametrize("fields", [{"is_superuser": True}, {"rights": ("view_generation",)}])
def test_staff_have_the_installation_examined(
    signed_in: Callable[..., Client], chat_server: ChatServer, settings: Settings, fields: dict[str, Any]
) -> None:
    settings.CHAT_PUBLIC_URL = chat_server.url
    client = signed_in(is_staff=True, **fields)
    assert client.get("/admin/").content.decode().count('href="/admin/doctor/"') >= 2, "in the list and beside it"
    before = client.get("/admin/doctor/").content.decode()
    assert 'id="findings"' not in before, "looking at the page examines nothing"
    page = client.post("/admin/doctor/").content.decode()
    assert 'title="http.plain"' in page
    assert "bg-orange-100" in page
    assert "warning" in page
    assert "is plain HTTP" in page
    assert "The parts of an event stream arrive when they are sent." in page
