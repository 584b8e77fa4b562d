"""`/healthz` and `/readyz`, for whoever operates the server: no sign-in, no redirect."""

from __future__ import annotations

import logging

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from chat import runtime

logger = logging.getLogger(__name__)


async def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up."""
    return HttpResponse("ok\n", content_type="text/plain")


async def readyz(request: HttpRequest) -> HttpResponse:
    """The process can take work: 200, else 503, and what was looked at."""
    current = runtime.current()
    checks = {"started": current.started, "draining": current.engine.draining, "database": False, "migrated": False}
    checks["log"] = current.log.is_open
    try:
        checks["migrated"] = await current.database.read(_migrated)
        checks["database"] = True
    except Exception:
        logger.warning("not ready: the database does not answer", exc_info=True)
    ready = checks["started"] and checks["database"] and checks["migrated"] and not checks["draining"]
    return JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)


_known_migrated = False


def _migrated() -> bool:
    """Once migrated, only that the database answers is asked again."""
    global _known_migrated
    connection = connections[DEFAULT_DB_ALIAS]
    if _known_migrated:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return True
    executor = MigrationExecutor(connection)
    _known_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _known_migrated
