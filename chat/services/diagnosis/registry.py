"""Every examination."""

from __future__ import annotations

from chat.services.diagnosis import (
    browser_connections,
    clocks,
    database,
    event_stream,
    open_files,
    providers,
    reachability,
    redis_server,
    settings_checks,
    static_files,
    websocket,
)
from chat.services.diagnosis.base import Examination

FIRST = Examination("address", reachability.look)
"""Where it finds a problem, the others are not told of the address: each would say the same again."""

EXAMINATIONS = (
    Examination("settings", settings_checks.look),
    Examination("database", database.look),
    Examination("redis", redis_server.look),
    Examination("providers", providers.look),
    Examination("clock", clocks.look),
    Examination("stream", event_stream.look),
    Examination("websocket", websocket.look),
    Examination("http", browser_connections.look),
    Examination("static", static_files.look),
    Examination("files", open_files.look),
)
