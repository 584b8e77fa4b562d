"""The settings of the tests: the product's own, with the databases in files of their own and fast passwords."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 50)
os.environ.setdefault("LOG_FORMAT", "console")

from chatsite.settings import *  # noqa: F403
from chatsite.settings import DATABASES, VAR_DIR, with_connection_options

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
DATABASES["default"] = with_connection_options(
    {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(VAR_DIR / "tests.sqlite3"),
        # A file, not memory: the reading and the writing threads have connections of their own.
        "TEST": {"NAME": os.path.join(tempfile.mkdtemp(prefix="chat-tests-"), "tests.sqlite3")},
    }
)
