"""Qianfan's models in its first interface: where each is found, and how long its answers may be.

Source: Baidu's "推理服务 API 列表", its table of the ERNIE models with their addresses and ranges of output, and the
models of its bce-qianfan-sdk.
"""

from __future__ import annotations

from collections.abc import Mapping

LEAST_OUTPUT = 2
"""Tokens that may be asked for at least."""

_PATHS: Mapping[str, str] = {
    "ernie-4.0-8k": "completions_pro",
    "ernie-4.0-8k-preview-0518": "completions_adv_pro",
    "ernie-3.5-8k": "completions",
    "ernie-speed-8k": "ernie_speed",
    "ernie-speed": "ernie_speed",
    "ernie-lite-8k-0922": "eb-instant",
    "ernie-lite-8k-0308": "ernie-lite-8k",
    "ernie-character-8k": "ernie-char-8k",
    "ernie-bot": "completions",
    "ernie-bot-4": "completions_pro",
    "ernie-bot-8k": "ernie_bot_8k",
    "ernie-bot-turbo": "eb-instant",
}
"""By the name in lower case; all other names of the vendor's own models, in lower case, are paths themselves."""


def path_of(model: str) -> str:
    """The last part of a model's address. What is no model of the vendor's own, a service of the operator's, is its
    own path."""
    name = model.lower()
    return _PATHS.get(name, name) if name.startswith("ernie-") else model


def most_output(model: str) -> int | None:
    """Tokens that may be asked for at most; None where nobody has said."""
    name = model.lower()
    if not name.startswith("ernie-"):
        return None
    return 4096 if name.endswith("-128k") else 2048
