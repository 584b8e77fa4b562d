"""The processes that serve: a row each, while they live."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

WORKER_CHARS = 64


class Worker(models.Model):
    """`beat` counts up about once a second: others see that it does, and need no clock in common. `heartbeat` is for
    people."""

    id = models.CharField(_("worker"), primary_key=True, max_length=WORKER_CHARS)
    version = models.CharField(_("version"), max_length=20)
    beat = models.PositiveBigIntegerField(_("beat"), default=0)
    started_at = models.DateTimeField(_("started"))
    heartbeat = models.DateTimeField(_("heartbeat"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.id
