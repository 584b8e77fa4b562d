"""The settings of a server process that is asked for thousands of things: the product's own, with fast passwords."""

from __future__ import annotations

from django.conf.global_settings import PASSWORD_HASHERS as SLOW

from chatsite.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *SLOW]
