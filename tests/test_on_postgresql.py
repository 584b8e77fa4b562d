"""The tests that ask the most of a database run once more, with every database on PostgreSQL.

The others see the same whatever the database is: large bodies, slow readers, browsers, metrics, lines of the log. With
CHAT_TEST_DATABASE_URL, these run there too.
"""

from __future__ import annotations

import pytest

from tests.on_postgresql import run_there

TESTS = (
    "tests/rest/test_account.py::test_an_account_is_gone_with_all_that_it_had_and_nothing_of_others",
    "tests/rest/test_conversations.py",
    "tests/rest/test_search.py",
    "tests/rest/test_transfers.py",
    "tests/services",
    "tests/test_access.py",
    "tests/test_accounts.py",
    "tests/test_api_keys.py",
    "tests/test_idempotency.py",
    "tests/test_sign_out_everywhere.py",
    "tests/admin",
    "tests/test_tokens.py",
)


@pytest.mark.postgres
def test_they_pass_there() -> None:
    run_there(*TESTS)
