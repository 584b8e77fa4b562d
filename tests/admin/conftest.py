"""The cast of the admin: `owner` has talked with the AI; a superuser (`admin_client`); `reviewer`, staff with chosen
rights; and `stranger`, signed in and no staff."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from chat.models import User


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner", "owner@example.com", "secret-of-owner")


@pytest.fixture
def stranger_client() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("stranger", "stranger@example.com", "secret-of-stranger"))
    return client


@pytest.fixture
def reviewer_client() -> Callable[..., Client]:
    def with_rights(*rights: str) -> Client:
        reviewer = User.objects.create_user("reviewer", "reviewer@example.com", "secret-of-reviewer", is_staff=True)
        reviewer.user_permissions.set(Permission.objects.filter(codename__in=rights, content_type__app_label="chat"))
        client = Client()
        client.force_login(reviewer)
        return client

    return with_rights
