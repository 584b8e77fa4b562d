"""A conversation as the messages of OpenAI's Chat Completions, in the order that a vendor insists on.

Source: the OpenAI API reference, "Chat Completions", and the documents named in `openai_vendors`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from chat.providers.alternation import alternating, instructed
from chat.providers.base import Picture, Turn
from chat.providers.continuing import CONTINUE
from chat.providers.openai_vendors import Prefill, Vendor


def messages_of(turns: Sequence[Turn], vendor: Vendor, prefill: Prefill) -> list[dict[str, Any]]:
    if vendor.alternates or not vendor.system:
        instructions, asked = alternating(turns)
        turns = instructed(instructions, asked or [Turn("user", CONTINUE)], system=vendor.system)
    if turns and turns[-1].role == "assistant" and prefill == "no":
        turns = [*turns, Turn("user", CONTINUE)]
    messages: list[dict[str, Any]] = [{"role": turn.role, "content": _content(turn)} for turn in turns]
    if turns and turns[-1].role == "assistant" and prefill in ("prefix", "partial"):
        messages[-1][prefill] = True
    return messages


def data_uri(picture: Picture) -> str:
    return f"data:{picture.content_type};base64,{base64.b64encode(picture.data).decode('ascii')}"


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    """A text alone stands alone: not every server reads lists."""
    if not turn.pictures:
        return turn.text
    parts: list[dict[str, Any]] = [{"type": "text", "text": turn.text}] if turn.text else []
    return parts + [{"type": "image_url", "image_url": {"url": data_uri(picture)}} for picture in turn.pictures]
