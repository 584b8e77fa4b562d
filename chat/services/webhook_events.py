"""What webhooks are told: that a reply has ended, and how; ids and a status, no word of the reply itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from django.db import connections

from chat.engine.terminal import timestamp
from chat.events import ENDED, Status
from chat.models import Generation, Webhook, WebhookDelivery
from chat.services.statements import execute

COMPLETED = "generation.completed"
FAILED = "generation.failed"
EVENTS = (COMPLETED, FAILED)

EVENT_OF: Mapping[Status, str] = {
    Status.COMPLETED: COMPLETED,
    Status.CANCELLED: COMPLETED,  # a good end, with the text that there is: `status` says so
    Status.FAILED: FAILED,
    Status.INTERRUPTED: FAILED,
}
assert EVENT_OF.keys() == ENDED

_THEIRS = "SELECT id FROM chat_webhook WHERE user_id = %s"
_KEPT = f"{_THEIRS} FOR KEY SHARE"
"""Until the transaction ends: a delivery whose webhook another worker deletes meanwhile would fail it at its commit,
with all that shares it. SQLite has one writer."""


def tell(using: str, user: Any, generation: str, status: Status, ended_at: datetime) -> None:
    """In the transaction that ends a generation: a delivery for each of its user's webhooks that wants to hear of it.
    Most users have none, which is all that their replies pay for. `user` is as the database has it."""
    theirs = _KEPT if connections[using].vendor == "postgresql" else _THEIRS
    if execute(using, theirs, [user]).fetchone() is None:
        return
    event = EVENT_OF[status]
    webhooks = Webhook.objects.using(using).filter(user_id=user)
    WebhookDelivery.objects.using(using).bulk_create(
        [
            WebhookDelivery(webhook=webhook, event=event, generation=generation, due_at=ended_at)
            for webhook in webhooks
            if event in webhook.events
        ],
        ignore_conflicts=True,
    )


def payload(delivery: WebhookDelivery, generation: Generation) -> bytes:
    """The body, the same at each attempt."""
    assert generation.finished_at is not None, "an ended generation has its time"
    return msgspec.json.encode(
        {
            "id": str(delivery.id),
            "type": delivery.event,
            "created_at": timestamp(generation.finished_at),
            "data": {
                "generation": str(generation.id),
                "conversation": str(generation.conversation_id),
                "message": str(generation.message_id),
                "status": generation.status,
                "finish_reason": generation.finish_reason or None,
                "code": generation.error_code or None,
            },
        }
    )
