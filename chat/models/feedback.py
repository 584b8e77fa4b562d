"""What the owner of a conversation thinks of an answer."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.message import Message

COMMENT_CHARS = 2000


class Feedback(models.Model):
    """One a message; taken back, the row goes."""

    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, primary_key=True, related_name="feedback", verbose_name=_("message")
    )
    value = models.SmallIntegerField(_("value"), choices=[(1, _("good")), (-1, _("bad"))])
    comment = models.TextField(_("comment"), blank=True, max_length=COMMENT_CHARS)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("feedback")
        verbose_name_plural = _("feedback")

    def __str__(self) -> str:
        return f"{self.value:+d}"
