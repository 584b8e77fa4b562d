"""A conversation for staff to review, and the pages that they review it on."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from chat.models import Conversation, Generation, Message, User


def converse(owner: User, turns: int, text: str = "hello") -> Conversation:
    now = timezone.now()
    conversation = Conversation.objects.create(
        user=owner, title="About tea", provider="demo", model="echo", message_count=2 * turns,
        created_at=now, updated_at=now,
    )  # fmt: skip
    parent: Message | None = None
    for turn in range(turns):
        at = now + timedelta(seconds=turn)
        asked = Message.objects.create(
            conversation=conversation, parent=parent, role="user", text=f"question {turn}: {text}", created_at=at
        )
        parent = Message.objects.create(
            conversation=conversation, parent=asked, role="assistant", text=f"answer {turn}: {text}", created_at=at
        )
        generation = Generation.objects.create(
            user=owner, conversation=conversation, message=parent, user_message=asked, provider="demo", model="echo-1",
            upstream="sse", status="failed", error_code="UPSTREAM_TIMEOUT", seq=7, owner="worker-1", heartbeat=at,
            input_tokens=11, output_tokens=22, first_token_ms=33, duration_ms=44, created_at=at, finished_at=at,
        )  # fmt: skip
        parent.latest_generation = generation.id
        parent.save()
    return conversation


def page(conversation: Conversation) -> str:
    return reverse("admin:chat_conversation_change", args=[conversation.pk])


LISTS = [f"admin:chat_{model}_changelist" for model in ("conversation", "message", "generation", "user")]
