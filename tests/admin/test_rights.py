"""Staff of the admin do what their rights say, and nothing by which they would get more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, User
from tests.admin.reviewed import LISTS, converse, page

pytestmark = pytest.mark.django_db


def test_staff_without_rights_see_nothing(reviewer_client: Callable[..., Client], owner: User) -> None:
    conversation = converse(owner, turns=1)
    client = reviewer_client()
    assert client.get(reverse("admin:index")).status_code == 200
    for address in (page(conversation), *(reverse(name) for name in LISTS)):
        response = client.get(address)
        assert response.status_code == 403
        assert b"question" not in response.content


def test_staff_who_may_see_conversations_alone_see_no_word_of_them(
    reviewer_client: Callable[..., Client], owner: User
) -> None:
    response = reviewer_client("view_conversation").get(page(converse(owner, turns=1)))
    assert response.status_code == 200
    assert "question 0" not in response.content.decode()


def test_staff_who_may_see_messages_but_no_generations_read_the_words_alone(
    reviewer_client: Callable[..., Client], owner: User
) -> None:
    response = reviewer_client("view_conversation", "view_message").get(page(converse(owner, turns=1)))
    assert "question 0" in response.content.decode()
    assert "UPSTREAM_TIMEOUT" not in response.content.decode()


def test_staff_delete_no_conversation_whatever_their_rights(
    reviewer_client: Callable[..., Client], owner: User
) -> None:
    conversation = converse(owner, turns=1)
    client = reviewer_client("view_conversation", "delete_conversation", "delete_message", "delete_generation")
    response = client.post(reverse("admin:chat_conversation_delete", args=[conversation.pk]), {"post": "yes"})
    assert response.status_code == 403
    assert Conversation.objects.filter(pk=conversation.pk).exists()


def test_staff_cannot_raise_rights(reviewer_client: Callable[..., Client], owner: User) -> None:
    client = reviewer_client("view_user", "change_user")
    address = reverse("admin:chat_user_change", args=[owner.pk])
    client.post(address, {"username": "renamed", "email": "owner@example.com", "is_active": "on",
                          "is_staff": "on", "is_superuser": "on"})  # fmt: skip
    owner.refresh_from_db()
    assert owner.username == "renamed", "the change as such was accepted"
    assert not owner.is_superuser
    assert not owner.is_staff


def test_staff_cannot_set_a_superusers_password(reviewer_client: Callable[..., Client], admin_user: User) -> None:
    client = reviewer_client("view_user", "change_user")
    address = reverse("admin:auth_user_password_change", args=[admin_user.pk])
    response = client.post(address, {"password1": "taken-over-1", "password2": "taken-over-1"})
    assert response.status_code == 403
    admin_user.refresh_from_db()
    assert not admin_user.check_password("taken-over-1")


def test_staff_cannot_move_a_password_reset_to_an_address_of_their_own(
    reviewer_client: Callable[..., Client], admin_user: User
) -> None:
    address = EmailAddress.objects.create(user=admin_user, email=admin_user.email, primary=True)
    client = reviewer_client("view_user")
    rights = Permission.objects.filter(content_type__app_label="account")
    User.objects.get(username="reviewer").user_permissions.add(*rights)
    assert client.get(reverse("admin:account_emailaddress_changelist")).status_code == 200
    fields = {"user": str(admin_user.pk), "email": "mine@example.com", "primary": "on", "verified": "on"}
    for name, arguments in (("change", [address.pk]), ("add", [])):
        path = reverse(f"admin:account_emailaddress_{name}", args=arguments)
        assert client.post(path, fields).status_code == 403
    listed = reverse("admin:account_emailaddress_changelist")
    client.post(listed, {"action": "make_verified", "_selected_action": str(address.pk)})
    assert list(EmailAddress.objects.values_list("email", "verified")) == [(admin_user.email, False)]
