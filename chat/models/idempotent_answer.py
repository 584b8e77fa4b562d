"""What a request with an idempotency key was answered, so that the same request again is answered the same."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.generation import KEY_CHARS


class IdempotentAnswer(models.Model):
    """Of the calls that create something else than a reply, whose generation knows its key itself. `digest` tells the
    same request from another; `status` is null while it is being answered."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("user"),
        db_index=False,  # the constraint begins with it
    )
    key = models.CharField(_("key"), max_length=KEY_CHARS)
    digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.BinaryField(null=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = _("idempotent answer")
        verbose_name_plural = _("idempotent answers")
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotent_answer_once")]

    def __str__(self) -> str:
        return self.key
