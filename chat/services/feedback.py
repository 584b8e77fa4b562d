"""What the owner of a conversation thinks of its answers. Synchronous, for `Database.write`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from chat.errors import Conflict, InvalidRequest
from chat.models import Feedback
from chat.models.feedback import COMMENT_CHARS
from chat.models.message import Role
from chat.services import access
from chat.services.requests import check_text, whole_number

VALUES = (1, 0, -1)


def checked(value: Any, comment: Any) -> tuple[int, str]:
    """Raises InvalidRequest, TooLarge."""
    judged = whole_number(value)
    if judged not in VALUES:
        raise InvalidRequest(_("This must be 1, 0 or -1."), {"field": "value"}, status=422)
    return judged, "" if comment is None else check_text(comment, "comment", COMMENT_CHARS)


def give(user: uuid.UUID, message_id: str, value: int, comment: str) -> None:
    """`value`: 1 for good, -1 for bad, 0 takes back what was given before; a `comment` goes with it. Raises NotFound;
    Conflict for a message that is no answer."""
    message = access.message(user, message_id, locked=True)  # its row stays until the feedback's is committed
    if message.role != Role.ASSISTANT:
        raise Conflict(_("Only an answer can be judged."))
    if value == 0:
        Feedback.objects.filter(message=message).delete()
    else:
        fields = {"value": value, "comment": comment, "updated_at": datetime.now(UTC)}
        Feedback.objects.update_or_create(message=message, defaults=fields)
