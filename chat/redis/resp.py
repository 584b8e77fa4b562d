"""Redis's protocol, as far as we write it: a command is an array of bulk strings, in RESP2 and RESP3 alike.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from typing import Any

Argument = bytes | bytearray | str | int


def pack(*arguments: Argument) -> bytes:
    """One command."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes | bytearray) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), bytes(data)))
    return b"".join(parts)


def head_of_append(key: bytes) -> bytes:
    """What all `XADD`s of one entry to this stream begin with."""
    return b"*5\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n" % (len(key), key)


def pack_append(head: bytes, entry_id: bytes, field: bytes, value: Any) -> bytes:
    """The path of every token: no loop, no lookup. `value`: bytes or a bytearray."""
    return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
        head, len(entry_id), entry_id, len(field), field, len(value), value,
    )  # fmt: skip
