"""Generations: what each run did, how long it took, and how it ended."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chat.admin.history import HistoryAdmin
from chat.admin.note_words import note_lines
from chat.models import Generation


@admin.register(Generation)
class GenerationAdmin(HistoryAdmin):
    list_display = (
        "id",
        "status",
        "user",
        "provider",
        "model",
        "seq",
        "outcome",
        "usage",
        "first_token_ms",
        "duration_ms",
        "created_at",
    )
    list_filter = ("status", "error_code", "finish_reason", "provider", "upstream", "created_at")
    list_select_related = ("user",)
    search_fields = ("conversation__title", "user__username", "user__email", "model", "error_code", "owner")
    search_help_text = _(
        "Title, user, e-mail address, model, error code, worker, "
        "or the id of the generation, its message or its conversation"
    )
    id_fields = ("conversation_id", "message_id", "user_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at", "-id")
    fieldsets = (
        (None, {"fields": (("status", "seq"), ("user", "conversation"), ("message", "user_message"))}),
        (_("Upstream"), {"fields": (("provider", "model", "upstream"), "told", "params", "language")}),
        (
            _("End"),
            {"fields": ("finish_reason", ("error_code", "error_message"), "error_details", "usage", "finished_at")},
        ),
        (_("Timing"), {"fields": (("first_token_ms", "duration_ms"), ("created_at", "heartbeat"))}),
        (_("Worker"), {"fields": (("owner", "epoch"), "key", "id")}),
    )
    readonly_fields = ("id", "usage", "told")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Generation]:
        rows: QuerySet[Generation] = super().get_queryset(request)
        if request.resolver_match is not None and request.resolver_match.url_name == "chat_generation_changelist":
            return rows
        texts = ("message__text", "message__reasoning", "user_message__text", "user_message__reasoning")
        return rows.select_related("user", "conversation", "message", "user_message").defer(*texts)

    @admin.display(description=_("outcome"))
    def outcome(self, generation: Generation) -> str:
        return generation.error_code or generation.finish_reason

    @admin.display(description=_("notes"))
    def told(self, generation: Generation) -> str:
        return "; ".join(note_lines(generation.notes))

    @admin.display(description=_("tokens in / out"))
    def usage(self, generation: Generation) -> str | None:
        if generation.input_tokens is None or generation.output_tokens is None:
            return None
        estimated = "≈ " if generation.usage_estimated else ""
        return f"{estimated}{generation.input_tokens} / {generation.output_tokens}"
