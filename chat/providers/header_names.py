"""Headers of a request that a provider's table may name: none that the connection itself is made of.

Source: RFC 9110, 7 and 8; RFC 9112, 6 and 9; RFC 6455, 4.1.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

OF_THE_CONNECTION = (
    "host|accept|accept-encoding|content-[a-z]+|transfer-encoding|te|trailer|connection|keep-alive|upgrade|expect"
    "|sec-websocket-[a-z]+"
)
"""A pattern, of names in lower case: twice, or otherwise than it is, each would break the request."""

_OF_A_KEY = "authorization|cookie|(x-)?api-key"

HeaderName = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"^(?!(?i:{OF_THE_CONNECTION}|{_OF_A_KEY})$)[A-Za-z0-9-]+$",
        description="a name of letters, digits and hyphens, and none that carries the key or belongs to the connection",
    ),
]
"""Of a header beside the key's: secrets have keys of their own, which do not stand in the file."""

HeaderValue = Annotated[str, msgspec.Meta(pattern="^[ -~]*$", description="a text of printable ASCII characters")]
