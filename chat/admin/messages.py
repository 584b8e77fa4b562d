"""Messages, to find what was said; each with its whole text."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Length, Substr
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chat.admin.history import HistoryAdmin
from chat.models import Message

BEGINNING_CHARS = 80


@admin.register(Message)
class MessageAdmin(HistoryAdmin):
    list_display = ("beginning", "role", "status", "characters", "judgement", "user", "created_at")
    list_filter = ("role", "status", "feedback__value", "created_at")
    search_fields = ("text", "conversation__user__username", "conversation__user__email")
    search_help_text = _("Text, user, e-mail address, or the id of the message, the conversation or the generation")
    id_fields = ("conversation_id", "latest_generation")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = (
        ("conversation", "parent"),
        ("role", "status", "created_at"),
        "text",
        "reasoning",
        ("judgement", "comment"),
        ("id", "latest_generation"),
    )
    readonly_fields = ("id", "judgement", "comment")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        rows: QuerySet[Message] = super().get_queryset(request)
        if request.resolver_match is not None and request.resolver_match.url_name == "chat_message_changelist":
            # A list of replies must not load their texts.
            return (
                rows.select_related("conversation__user", "feedback")
                .defer("text", "reasoning", "conversation__system", "feedback__comment")
                .annotate(text_start=Substr("text", 1, BEGINNING_CHARS), text_chars=Length("text"))
            )
        return rows.select_related("conversation", "parent", "feedback").defer("parent__text", "parent__reasoning")

    @admin.display(description=_("message"))
    def beginning(self, message: Message) -> str:
        return getattr(message, "text_start", "") or "…"

    @admin.display(description=_("characters"))
    def characters(self, message: Message) -> int:
        return getattr(message, "text_chars", None) or 0

    @admin.display(description=_("user"))
    def user(self, message: Message) -> str:
        return str(message.conversation.user)

    @admin.display(description=_("feedback"))
    def judgement(self, message: Message) -> str:
        """What the conversation's owner thinks of it."""
        feedback = getattr(message, "feedback", None)
        return "" if feedback is None else str(feedback.get_value_display())

    @admin.display(description=_("comment"))
    def comment(self, message: Message) -> str:
        feedback = getattr(message, "feedback", None)
        return "" if feedback is None else str(feedback.comment)
