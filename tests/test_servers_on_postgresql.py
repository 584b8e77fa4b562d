"""The same for tests of whole server processes: a module of its own, so that the two run side by side."""

from __future__ import annotations

import pytest

from tests.external_services import REDIS_URL, usable
from tests.on_postgresql import run_there

TESTS = (
    "tests/guarantees/test_database_away.py",
    "tests/guarantees/test_database_cut_off.py",
    "tests/guarantees/test_faults.py::test_each_fault_ends_in_its_code_and_the_next_send_works[sse]",
    "tests/guarantees/test_following.py",
    "tests/guarantees/test_restart.py::test_after_sigkill_the_generation_is_interrupted_its_text_kept_and_it_can_go_on",
    *(["tests/guarantees/test_services.py"] if usable(REDIS_URL) else []),
    "tests/guarantees/test_stopping.py",
    "tests/test_metrics.py::test_replies_that_die_with_their_process_are_counted_and_told_of_by_the_next",
    "tests/test_traces.py::test_later_requests_are_linked_to_the_generation_at_any_worker",
)


@pytest.mark.postgres
def test_they_pass_there() -> None:
    run_there(*TESTS)
