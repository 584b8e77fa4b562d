"""A user's thread of messages."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.identifier import new_id

TITLE_CHARS = 200
SYSTEM_CHARS = 20_000


class Conversation(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="conversations",
        verbose_name=_("user"),
        db_index=False,  # conversation_newest begins with it
    )
    title = models.CharField(_("title"), max_length=TITLE_CHARS, blank=True)
    provider = models.CharField(_("provider"), max_length=100, blank=True)
    model = models.CharField(_("model"), max_length=200, blank=True)
    system = models.TextField(_("system prompt"), blank=True, max_length=SYSTEM_CHARS)
    pinned = models.BooleanField(_("pinned"), default=False)
    archived = models.BooleanField(_("archived"), default=False)
    # Not stored: its client keeps the history itself, and it goes some time after its reply has ended.
    stored = models.BooleanField(_("stored"), default=True, db_default=True)
    message_count = models.PositiveIntegerField(_("messages"), default=0)
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(_("updated"))

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        indexes = [models.Index(fields=["user", "-updated_at", "-id"], name="conversation_newest")]

    def __str__(self) -> str:
        return self.title or str(self.id)
