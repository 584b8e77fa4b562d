"""Conversations, each with its transcript."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from chat import runtime
from chat.admin.history import Deleted, HistoryAdmin, deleted_with_history
from chat.admin.transcript import page_of
from chat.models import Conversation, Generation, Message


@admin.register(Conversation)
class ConversationAdmin(HistoryAdmin):
    """A superuser may delete one, with all that was said in it."""

    list_display = ("title_or_id", "user", "provider", "model", "message_count", "archived", "created_at", "updated_at")
    list_filter = ("archived", "pinned", "provider", "created_at", "updated_at")
    list_select_related = ("user",)
    search_fields = ("title", "user__username", "user__email")
    search_help_text = _("Title, user, e-mail address, words of a message, or the id of the conversation or the user")
    id_fields = ("user_id",)
    date_hierarchy = "created_at"
    ordering = ("-updated_at", "-id")
    fields = (
        ("title", "user"),
        ("provider", "model"),
        "system",
        ("pinned", "archived", "message_count"),
        ("created_at", "updated_at"),
        "id",
    )
    readonly_fields = ("id",)
    change_form_outer_after_template = "admin/chat/transcript.html"

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """A search is an answer too: what was said is found only by whom may read it."""
        may_read = request.user.has_perm("chat.view_message")
        return (*self.search_fields, "messages__text") if may_read else self.search_fields

    @admin.display(description=_("conversation"), ordering="title")
    def title_or_id(self, conversation: Conversation) -> str:
        return str(conversation)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        rows: QuerySet[Conversation] = super().get_queryset(request).select_related("user")
        return rows

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(getattr(request.user, "is_superuser", False) and request.user.is_active)

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        self._delete([obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        self._delete(list(queryset))

    def _delete(self, conversations: list[Conversation]) -> None:
        """It shows at once in every open tab of those who wrote them; their live replies end."""
        for conversation in conversations:
            user, id = conversation.user_id, str(conversation.id)
            running = Generation.objects.live().filter(conversation=conversation).values_list("id", "owner")
            owners = {str(generation): owner for generation, owner in running}
            conversation.delete()
            transaction.on_commit(partial(async_to_sync(_tell_of_deletion), user, id, owners))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deleted:
        return deleted_with_history(list(objs), Message.objects.filter(conversation__in=list(objs)))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), **self._transcript(request, object_id)}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def _transcript(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        """Nothing for whom may not see messages; `change_view` itself refuses whom may not see conversations."""
        if not (self.has_view_permission(request) and request.user.has_perm("chat.view_message")):
            return {}
        try:
            conversation = Conversation.objects.filter(id=object_id).only("id").first()
        except (ValidationError, ValueError):
            conversation = None
        if conversation is None:
            return {}
        may_see = request.user.has_perm("chat.view_generation")
        page, turns = page_of(conversation, request.GET.get("page", 1), with_generations=may_see)
        return {"transcript": turns, "transcript_page": page}


async def _tell_of_deletion(user: uuid.UUID, conversation: str, owners: dict[str, str]) -> None:
    current = runtime.current()
    for generation, owner in owners.items():
        await current.commands.wake(owner, generation, "stop")
    current.nudges.conversation_changed(user, "deleted", conversation)
