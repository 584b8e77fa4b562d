"""One turn of a conversation. Messages are a tree: an edited or regenerated turn is a sibling of the first."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.events import Status
from chat.models.conversation import Conversation
from chat.models.identifier import new_id

STATUS_CHOICES = [
    (Status.QUEUED.value, _("queued")),
    (Status.STREAMING.value, _("streaming")),
    (Status.PAUSED.value, _("paused")),
    (Status.COMPLETED.value, _("completed")),
    (Status.CANCELLED.value, _("cancelled")),
    (Status.FAILED.value, _("failed")),
    (Status.INTERRUPTED.value, _("interrupted")),
]


class Role(models.TextChoices):
    USER = "user", _("user")
    ASSISTANT = "assistant", _("assistant")


class Message(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="messages",
        verbose_name=_("conversation"),
        db_index=False,  # message_oldest begins with it
    )
    parent = models.ForeignKey(
        "self", on_delete=models.CASCADE, null=True, blank=True, related_name="children", verbose_name=_("parent")
    )
    role = models.CharField(_("role"), max_length=10, choices=Role.choices)
    text = models.TextField(_("text"), blank=True)
    reasoning = models.TextField(_("reasoning"), blank=True)
    status = models.CharField(_("status"), max_length=12, choices=STATUS_CHOICES, default=Status.COMPLETED.value)
    # The latest generation that fills this message; a plain id, since generations already refer to messages.
    latest_generation = models.UUIDField(_("latest generation"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        indexes = [models.Index(fields=["conversation", "id"], name="message_oldest")]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"
