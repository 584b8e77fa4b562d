"""A conversation in the order that iFlytek Spark insists on.

Source: iFlytek's "星火认知大模型 WebSocket 接口文档" and, for pictures, its "图片理解 API 文档".
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from chat.providers.alternation import alternating, instructed
from chat.providers.base import Picture, Turn
from chat.providers.continuing import CONTINUE

PICTURE_BYTES = 4 << 20
"""4 MB of a file, before Base64 …"""

PICTURE_TYPES = frozenset({"image/jpeg", "image/png"})
"""… and what it may be."""

Message = dict[str, str]


def turns_for_spark(turns: Sequence[Turn], *, system: bool) -> list[Message]:
    """System at most once and first, then user and assistant by turns, at the end the user. Where the product knows no
    `system` role, its words open the first question."""
    instructions, asked = alternating(turns)
    if not asked or asked[-1].role == "assistant":
        asked.append(Turn("user", CONTINUE))
    return [{"role": turn.role, "content": turn.text} for turn in instructed(instructions, asked, system=system)]


def newest_picture(turns: Iterable[Turn]) -> Picture | None:
    """The one that the conversation is about: Spark looks at one at a time."""
    pictures = [picture for turn in turns for picture in turn.pictures]
    return pictures[-1] if pictures else None


def is_acceptable(picture: Picture) -> bool:
    return picture.content_type in PICTURE_TYPES and len(picture.data) <= PICTURE_BYTES


def with_picture(messages: Iterable[Message], picture: Picture) -> list[Message]:
    """It stands before everything, in each request anew, also where it was sent with a later question."""
    first = {"role": "user", "content": base64.b64encode(picture.data).decode(), "content_type": "image"}
    return [first, *({**message, "content_type": "text"} for message in messages)]
