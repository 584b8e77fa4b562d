"""The settings of the tests: the product's own, with a database of their own and fast passwords.

The database is a file of SQLite, or on the PostgreSQL server of CHAT_TEST_DATABASE_URL.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from typing import Any

os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 50)
os.environ.setdefault("LOG_FORMAT", "console")

from chatsite.settings import *  # noqa: F403
from chatsite.settings import DATABASES, VAR_DIR, env, with_connection_options
from tests.external_services import DATABASE_URL

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def database() -> dict[str, Any]:
    """With a name that no other run has: two at once do not meet."""
    if DATABASE_URL:
        return {**env.db_url_config(DATABASE_URL), "TEST": {"NAME": f"chat_tests_{uuid.uuid4().hex[:12]}"}}
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(VAR_DIR / "tests.sqlite3"),
        # A file, not memory: the reading and the writing threads have connections of their own.
        "TEST": {"NAME": os.path.join(tempfile.mkdtemp(prefix="chat-tests-"), "tests.sqlite3")},
    }


DATABASES["default"] = with_connection_options(database())
