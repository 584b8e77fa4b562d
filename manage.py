#!/usr/bin/env python
"""Django's command line. What an operator can mend is said in a line, not in a traceback."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
    if "rundaphne" not in sys.argv:
        # A command has one connection, and its failure says what is wrong; a pool would only say that it took too long.
        os.environ.setdefault("CHAT_DATABASE_POOL", "off")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"A setting is wrong: {error}")
    except OperationalError as error:
        sys.exit(f"The database of DATABASE_URL cannot be used: {str(error).strip()}")
