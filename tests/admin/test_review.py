"""The admin: what staff see of conversations, that they change nothing of it, and that strangers are sent away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from chat.admin.transcript import CHARS_A_MESSAGE, MESSAGES_A_PAGE
from chat.models import Conversation, Message, User
from tests.admin.reviewed import LISTS, converse, page

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert('owned')</script> **bold**"
QUERIES_MOST = 20
"""Session, user, rights, facets and the page itself: far from one query a row."""


@pytest.mark.parametrize("name", LISTS)
def test_a_list_shows_its_rows_and_costs_no_query_a_row(
    name: str, admin_client: Client, owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(QUERIES_MOST + 5):
        converse(owner, turns=1)
    with django_assert_max_num_queries(QUERIES_MOST):
        response = admin_client.get(reverse(name))
    assert response.status_code == 200
    assert "owner" in response.content.decode()


@pytest.mark.parametrize("name", LISTS)
def test_a_stranger_is_sent_away_from_every_list(name: str, stranger_client: Client, owner: User) -> None:
    converse(owner, turns=1)
    response = stranger_client.get(reverse(name))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("admin:login"))


def test_a_stranger_is_sent_away_from_a_transcript(stranger_client: Client, owner: User) -> None:
    response = stranger_client.get(page(converse(owner, turns=1)))
    assert response.status_code == 302
    assert b"question" not in response.content


def test_the_transcript_says_who_said_what_by_which_model_and_how_it_ended(admin_client: Client, owner: User) -> None:
    text = admin_client.get(page(converse(owner, turns=1))).content.decode()
    for expected in ("question 0: hello", "answer 0: hello", "demo · echo-1", "UPSTREAM_TIMEOUT", "assistant"):
        assert expected in text
    assert text.index("question 0: hello") < text.index("answer 0: hello")


def test_what_was_said_is_never_html(admin_client: Client, owner: User) -> None:
    conversation = converse(owner, turns=1, text=SCRIPT)
    conversation.title = SCRIPT
    conversation.save()
    message = conversation.messages.first()
    assert message is not None
    addresses = [page(conversation), reverse("admin:chat_message_change", args=[message.pk])]
    addresses += [reverse(name) for name in LISTS]
    for address in addresses:
        assert "<script>alert" not in admin_client.get(address).content.decode()
    assert "&lt;script&gt;alert" in admin_client.get(addresses[0]).content.decode()


def test_the_lines_of_a_message_are_kept(admin_client: Client, owner: User) -> None:
    text = admin_client.get(page(converse(owner, turns=1, text="one\n  two <br> three"))).content.decode()
    assert (
        '<div class="break-words" style="white-space: pre-wrap">question 0: one\n  two &lt;br&gt; three</div>' in text
    )


def test_a_long_thread_is_paged_at_a_bounded_cost(
    admin_client: Client, owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    conversation = converse(owner, turns=MESSAGES_A_PAGE)
    with django_assert_max_num_queries(QUERIES_MOST):
        first = admin_client.get(page(conversation)).content.decode()
    assert first.count('<li class="border') == MESSAGES_A_PAGE
    assert f"answer {MESSAGES_A_PAGE - 1}:" in first, "the newest come first"
    assert f"{2 * MESSAGES_A_PAGE} messages in all" in first
    assert "question 0:" not in first
    for number in (2, 999):
        earlier = admin_client.get(page(conversation), {"page": number}).content.decode()
        assert earlier.index("question 0:") < earlier.index("answer 0:")


def test_a_huge_message_is_cut_and_leads_to_its_own_page(admin_client: Client, owner: User) -> None:
    conversation = converse(owner, turns=1, text="x" * (CHARS_A_MESSAGE + 500))
    text = admin_client.get(page(conversation)).content.decode()
    assert "x" * CHARS_A_MESSAGE not in text
    assert f"{len('question 0: ') + 500} more characters" in text
    answer = conversation.messages.get(role="assistant")
    whole = admin_client.get(reverse("admin:chat_message_change", args=[answer.pk])).content.decode()
    assert "x" * (CHARS_A_MESSAGE + 500) in whole


def test_what_was_told_beside_a_reply_stands_at_its_generation_and_in_the_transcript(
    admin_client: Client, owner: User
) -> None:
    conversation = converse(owner, turns=1)
    conversation.generations.update(
        notes=[
            {"note": "trimmed", "details": {"left_out": 12}},
            {"note": "fallback", "details": {"provider": "qwen", "model": "<b>plus</b>"}},
            {"note": "fallback", "details": {"provider": "spark", "model": "x", "asked": "deepseek"}},
            {"note": "cached", "details": {"seconds": 180}},
            {"note": "of a later version", "details": {}},
        ]
    )
    generation = reverse("admin:chat_generation_change", args=[conversation.generations.get().pk])
    for address in (page(conversation), generation):
        shown = admin_client.get(address).content.decode()
        assert "the oldest 12 messages left out" in shown
        assert "answered by qwen · &lt;b&gt;plus&lt;/b&gt; instead" in shown
        assert "answered by spark · x instead of deepseek" in shown
        assert "an answer given 180 s before" in shown
        assert "of a later version" in shown


@pytest.mark.parametrize("model", ["conversation", "message", "generation"])
def test_nobody_adds_or_changes_history(model: str, admin_client: Client, owner: User) -> None:
    conversation = converse(owner, turns=1)
    rows = {
        "conversation": conversation,
        "message": conversation.messages.first(),
        "generation": conversation.generations.first(),
    }
    row = rows[model]
    assert row is not None
    assert admin_client.get(reverse(f"admin:chat_{model}_add")).status_code == 403
    changed = admin_client.post(reverse(f"admin:chat_{model}_change", args=[row.pk]), {"text": "x", "title": "x"})
    assert changed.status_code == 403
    conversation.refresh_from_db()
    assert conversation.title == "About tea"


def test_a_superuser_deletes_a_conversation_with_its_messages(admin_client: Client, owner: User) -> None:
    conversation, kept = converse(owner, turns=2), converse(owner, turns=1)
    address = reverse("admin:chat_conversation_delete", args=[conversation.pk])
    assert admin_client.get(address).status_code == 200
    assert Conversation.objects.count() == 2, "looking at the confirmation deletes nothing"
    admin_client.post(address, {"post": "yes"})
    assert list(Conversation.objects.all()) == [kept]
    assert Message.objects.count() == 2


def test_a_superuser_deletes_an_account_with_its_history(admin_client: Client, owner: User) -> None:
    converse(owner, turns=2)
    admin_client.post(reverse("admin:chat_user_delete", args=[owner.pk]), {"post": "yes"})
    assert not User.objects.filter(pk=owner.pk).exists()
    assert not Message.objects.exists()


@pytest.mark.parametrize("model", ["conversation", "message", "generation"])
def test_the_search_finds_by_id_and_by_user_and_survives_nonsense(
    model: str, admin_client: Client, owner: User
) -> None:
    conversation = converse(owner, turns=1)
    other = converse(User.objects.create_user("someone"), turns=1)
    address = reverse(f"admin:chat_{model}_changelist")
    for term in (str(conversation.pk), "owner@example"):
        text = admin_client.get(address, {"q": term}).content.decode()
        rows = conversation.messages.all() if model == "message" else conversation.generations.all()
        wanted = [conversation.pk] if model == "conversation" else [row.pk for row in rows]
        assert all(str(pk) in text for pk in wanted)
        assert str(other.pk) not in text
    assert admin_client.get(address, {"q": "' OR 1=1 -- %_\\"}).status_code == 200


@pytest.mark.parametrize("model", ["conversation", "generation"])
def test_the_search_finds_by_title(model: str, admin_client: Client, owner: User) -> None:
    conversation, other = converse(owner, turns=1), converse(owner, turns=1)
    Conversation.objects.filter(pk=conversation.pk).update(title="The platypus")
    text = admin_client.get(reverse(f"admin:chat_{model}_changelist"), {"q": "platypus"}).content.decode()
    found, hidden = ((row.pk if model == "conversation" else row.generations.get().pk) for row in (conversation, other))
    assert str(found) in text
    assert str(hidden) not in text


def test_a_conversation_is_found_once_by_what_was_said_by_those_alone_who_may_read_it(
    admin_client: Client, reviewer_client: Callable[..., Client], owner: User
) -> None:
    address = reverse("admin:chat_conversation_changelist")
    conversation, other = converse(owner, turns=3, text="a platypus"), converse(owner, turns=1)
    text = admin_client.get(address, {"q": "platypus"}).content.decode()
    assert text.count(f'value="{conversation.pk}"') == 1
    assert str(other.pk) not in text
    refused = reviewer_client("view_conversation").get(address, {"q": "platypus"}).content.decode()
    assert str(conversation.pk) not in refused


def test_the_admin_signs_in_through_the_accounts_page(stranger_client: Client) -> None:
    response = Client().get("/admin/", follow=True)
    assert response.redirect_chain[-1][0].startswith(reverse("account_login"))
    assert stranger_client.get("/admin/", follow=True).status_code == 403


def test_a_wrong_id_is_no_error(admin_client: Client) -> None:
    response = admin_client.get("/admin/chat/conversation/not-an-id/change/")
    assert response.status_code == 302


def test_a_superuser_adds_an_account_that_can_sign_in(admin_client: Client) -> None:
    password = "walk-in-park-9"
    fields = {"username": "newcomer", "email": "new@example.com", "password1": password, "password2": password}
    admin_client.post(reverse("admin:chat_user_add"), {**fields, "usable_password": "true"})
    assert Client().login(username="newcomer", password=password)
