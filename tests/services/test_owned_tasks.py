"""Work that outlives who waits for it, and what is heard of it then."""

from __future__ import annotations

import asyncio
import gc

import pytest

from chat.errors import NotFound
from chat.services.owned_tasks import OwnedTasks


@pytest.mark.parametrize("error", [NotFound("not there"), RuntimeError("a bug")])
async def test_who_has_left_hears_of_no_refusal_and_the_log_of_a_failure_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    tasks, go_on = OwnedTasks(), asyncio.Event()

    async def fail() -> None:
        await go_on.wait()
        raise error

    leaving = asyncio.create_task(tasks.to_its_end(fail()))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    go_on.set()
    await tasks.aclose()
    await asyncio.sleep(0)
    gc.collect()
    told = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert told == ([error] if isinstance(error, RuntimeError) else [])
