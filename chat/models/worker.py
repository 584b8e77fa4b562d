"""The processes that serve: a row each, while they live."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

WORKER_CHARS = 64


class Worker(models.Model):
    """`heartbeat` is the database's time, as of about a second ago while the worker lives."""

    id = models.CharField(_("worker"), primary_key=True, max_length=WORKER_CHARS)
    version = models.CharField(_("version"), max_length=20)
    started_at = models.DateTimeField(_("started"))
    heartbeat = models.DateTimeField(_("heartbeat"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return self.id
