"""The number that older clients know an account by: staff give it, and no two accounts have the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import User

pytestmark = pytest.mark.django_db


def test_staff_give_an_account_its_number_once(reviewer_client: Callable[..., Client], owner: User) -> None:
    client = reviewer_client("view_user", "change_user")
    other = User.objects.create_user("other")
    for account in (owner, other):
        address = reverse("admin:chat_user_change", args=[account.pk])
        client.post(address, {"username": account.username, "is_active": "on", "number": "10086"})
    assert list(User.objects.exclude(number=None).values_list("username", "number")) == [("owner", 10086)]


def test_an_account_is_found_by_its_number(admin_client: Client, owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(number=10086)
    User.objects.create_user("other", number=100867)
    for words, found in (("10086", True), ("1008", False), ("owner", True), ("no number", False), ("9" * 40, False)):
        response = admin_client.get(reverse("admin:chat_user_changelist"), {"q": words})
        assert response.status_code == 200
        assert ("owner@example.com" in response.content.decode()) is found
