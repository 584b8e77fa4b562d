"""What all pages of history have in common: they show and find, and change nothing."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from chat.models import Message


class HistoryAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Read-only. The search also finds a row by its id, or by the id of what `id_fields` name."""

    id_fields: tuple[str, ...] = ()
    show_full_result_count = False  # a second count of a large table, on every page
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        try:
            wanted = uuid.UUID(search_term.strip())
        except ValueError:
            found: tuple[QuerySet[Any], bool] = super().get_search_results(request, queryset, search_term)
            return found
        rows = queryset.filter(id=wanted)
        for name in self.id_fields:
            rows |= queryset.filter(**{name: wanted})
        return rows, False


Deleted = tuple[list[str], dict[str, int], set[str], list[str]]
"""What Django's confirmation page shows: names, counts, rights that are missing, and what stands in the way."""


def deleted_with_history(objects: list[Any], messages: QuerySet[Message]) -> Deleted:
    """Names the objects and counts their messages: a long history is not listed row by row, and that it is
    read-only must not keep it when its owner goes."""
    names = {str(item._meta.verbose_name_plural): len(objects) for item in objects[:1]}
    return (
        [str(item) for item in objects],
        {**names, str(Message._meta.verbose_name_plural): messages.count()},
        set(),
        [],
    )
