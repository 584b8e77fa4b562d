"""One run that fills one assistant message from one upstream."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.events import LIVE, LOG_VERSION, Status
from chat.models.conversation import Conversation
from chat.models.identifier import new_id
from chat.models.message import STATUS_CHOICES, Message
from chat.models.worker import WORKER_CHARS

KEY_CHARS = 255
LIVE_VALUES = sorted(status.value for status in LIVE)


class Generations(models.QuerySet["Generation"]):
    def live(self) -> Generations:
        """Those that can still change. In the words of the index `generation_running`, since SQLite prepares a
        statement before it has the values, and would go through the whole table."""
        values = ", ".join(f"'{value}'" for value in LIVE_VALUES)
        where = [f'"{self.model._meta.db_table}"."status" IN ({values})']
        return cast(Generations, self.extra(where=where))  # noqa: S610 (no input)


class Generation(models.Model):
    """`owner` is the worker that runs it, `epoch` counts its owners: a write of an older epoch changes nothing.

    `log_version` is that of the events in the shared log; `wanted` is a command that its owner has still to obey.

    `text_offset` and `text_length` are characters of the message's text: a continued message holds the texts of
    several generations, one after the other. `text_length` is null while the generation is live.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="generations",
        verbose_name=_("user"),
        db_index=False,  # the key's constraint begins with it
    )
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="generations", verbose_name=_("conversation")
    )
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, related_name="generations", verbose_name=_("message")
    )
    user_message = models.ForeignKey(
        Message, on_delete=models.CASCADE, null=True, related_name="+", verbose_name=_("user's message")
    )
    provider = models.CharField(_("provider"), max_length=100)
    model = models.CharField(_("model"), max_length=200)
    upstream = models.CharField(_("upstream"), max_length=12)
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True, default="")

    status = models.CharField(_("status"), max_length=12, choices=STATUS_CHOICES, default=Status.QUEUED.value)
    seq = models.PositiveIntegerField(_("last event"), default=0)
    owner = models.CharField(_("owner"), max_length=WORKER_CHARS)
    epoch = models.PositiveIntegerField(_("epoch"), default=1)
    # With defaults in the database too: a worker of the version before does not know them.
    log_version = models.PositiveSmallIntegerField(default=LOG_VERSION, db_default=LOG_VERSION)
    wanted = models.CharField(max_length=6, blank=True, default="", db_default="")
    traceparent = models.CharField(max_length=55, blank=True, default="")  # its span, for those who follow it later
    heartbeat = models.DateTimeField(_("heartbeat"))

    text_offset = models.PositiveIntegerField(default=0)
    text_length = models.PositiveIntegerField(null=True)
    reasoning_offset = models.PositiveIntegerField(default=0)
    reasoning_length = models.PositiveIntegerField(null=True)

    # As the engine's notes are; with a default in the database too, as above.
    notes = models.JSONField(_("notes"), default=list, db_default=[], blank=True)
    finish_reason = models.CharField(_("finish reason"), max_length=20, blank=True)
    error_code = models.CharField(_("error code"), max_length=40, blank=True)
    error_message = models.TextField(_("error"), blank=True)
    error_details = models.JSONField(_("error details"), default=dict, blank=True)
    input_tokens = models.PositiveIntegerField(_("input tokens"), null=True)
    output_tokens = models.PositiveIntegerField(_("output tokens"), null=True)
    usage_estimated = models.BooleanField(_("usage estimated"), default=False)
    first_token_ms = models.PositiveIntegerField(_("time to first token, ms"), null=True)
    duration_ms = models.PositiveIntegerField(_("duration, ms"), null=True)

    # Idempotency: one key of one user starts one generation; the digest tells the same request from another.
    key = models.CharField(_("key"), max_length=KEY_CHARS, null=True, blank=True)  # noqa: DJ001 (null: no key)
    request_digest = models.CharField(max_length=64, blank=True)

    created_at = models.DateTimeField(_("created"))
    finished_at = models.DateTimeField(_("finished"), null=True)

    objects = Generations.as_manager()

    class Meta:
        verbose_name = _("generation")
        verbose_name_plural = _("generations")
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="generation_key_once")]
        indexes = [
            # Not by heartbeat, which each live one changes once a second: of all that live, the reaper looks at each.
            models.Index(
                fields=["conversation"], name="generation_running", condition=models.Q(status__in=LIVE_VALUES)
            ),
            models.Index(fields=["-created_at"], name="generation_newest"),
            models.Index(fields=["owner"], name="generation_wanted", condition=~models.Q(wanted="")),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.status}"
