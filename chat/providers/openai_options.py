"""Keys of a provider's table that all who speak to OpenAI-like services have: their key, and what goes along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from chat.providers.header_names import HeaderName, HeaderValue

FieldName = Annotated[
    str,
    msgspec.Meta(
        pattern="^(?!(model|messages|input|stream|background|store)$)",
        description="another name than model, messages, input, stream, background and store",
    ),
]

Headers = dict[HeaderName, HeaderValue]
"""Further headers of each request, such as Qianfan's `appid`."""

Extra = dict[FieldName, Any]
"""Further fields of each request's body, such as `enable_thinking`; they count before ours."""


def bearer(api_key: str | None, headers: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    """The headers of each request; no key for an upstream that wants none."""
    key = [] if api_key is None else [(b"Authorization", b"Bearer " + api_key.encode())]
    return key + [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
