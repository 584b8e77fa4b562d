"""Keys: UUIDv7, so that new rows land beside each other in an index and sort by age."""

from __future__ import annotations

import uuid

import uuid_utils.compat


def new_id() -> uuid.UUID:
    return uuid_utils.compat.uuid7()
