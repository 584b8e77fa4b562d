"""What the search knows of: a row for each title and each message that it has taken in."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.conversation import Conversation
from chat.models.message import Message


class SearchEntry(models.Model):
    """The words themselves are beside it, by its `place`, in what the database has for full text (the migration
    `search` makes it: an FTS5 table, or a table of tsvectors); a trigger takes them away with their entry.

    `place` sorts by age. Without a `message` it is the conversation's title, and `seen_at` is the conversation's
    `updated_at` when all of it was taken in: any other shows that there may be more. `generation` is the one that had
    filled the message.
    """

    place = models.BigIntegerField(primary_key=True)
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("conversation"),
        db_index=False,  # search_entry_of begins with it
    )
    message = models.OneToOneField(
        Message, on_delete=models.CASCADE, null=True, related_name="+", verbose_name=_("message")
    )
    generation = models.UUIDField(null=True)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("search entry")
        verbose_name_plural = _("search entries")
        indexes = [models.Index(fields=["conversation", "message"], name="search_entry_of")]

    def __str__(self) -> str:
        return str(self.place)
