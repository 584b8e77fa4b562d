"""The tests that ask the most of a database run once more, with every database on PostgreSQL.

The others see the same whatever the database is: large bodies, slow readers, browsers, metrics, lines of the log. With
CHAT_TEST_DATABASE_URL, these run there too.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.chat_server import ROOT
from tests.external_services import POSTGRES_URL, REDIS_URL, usable

IN_PROCESS = (
    "tests/rest/test_account.py::test_an_account_is_gone_with_all_that_it_had_and_nothing_of_others",
    "tests/rest/test_conversations.py",
    "tests/rest/test_search.py",
    "tests/rest/test_transfers.py",
    "tests/services",
    "tests/test_access.py",
    "tests/test_accounts.py",
    "tests/test_api_keys.py",
    "tests/admin",
    "tests/test_tokens.py",
)
SERVER_PROCESSES = (
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
PATIENCE = 600
"""Seconds until a run of them is given up."""


@pytest.mark.postgres
@pytest.mark.parametrize("tests", [IN_PROCESS, SERVER_PROCESSES], ids=["in process", "server processes"])
def test_they_pass_there(tests: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "CHAT_TEST_DATABASE_URL": POSTGRES_URL}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
