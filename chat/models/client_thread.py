"""Conversations by the names that clients give them, where a wire format has the client name them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.conversation import Conversation

THREAD_CHARS = 255
FORMAT_CHARS = 20


class ClientThread(models.Model):
    """`format`: the wire format, whose names are its own; `name`: any string of the client's."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="client_threads",
        verbose_name=_("user"),
        db_index=False,  # the constraint begins with it
    )
    format = models.CharField(_("format"), max_length=FORMAT_CHARS)
    name = models.CharField(_("name"), max_length=THREAD_CHARS)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="client_threads", verbose_name=_("conversation")
    )

    class Meta:
        verbose_name = _("client's thread")
        verbose_name_plural = _("clients' threads")
        constraints = [models.UniqueConstraint(fields=["user", "format", "name"], name="client_thread_once")]

    def __str__(self) -> str:
        return f"{self.format} {self.name}"
