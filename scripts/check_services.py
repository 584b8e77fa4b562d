"""Says which of the services that the tests want does not answer, and how to start it: PostgreSQL and Redis."""

import os
import sys

import psycopg
import redis

POSTGRES_URL = os.environ.get("CHAT_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS_URL = os.environ.get("CHAT_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
PATIENCE_SECONDS = 5

POSTGRES_HELP = """\
PostgreSQL does not answer on 127.0.0.1:5432 for the user postgres without a password. To start one:
  docker run -d -p 127.0.0.1:5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres:16
or, where it is installed: service postgresql start (with `trust` for 127.0.0.1 in pg_hba.conf)
"""
REDIS_HELP = """\
Redis does not answer on 127.0.0.1:6379. To start one:
  docker run -d -p 127.0.0.1:6379:6379 redis:7
or, where it is installed: redis-server --daemonize yes
"""


def check_postgres() -> str | None:
    try:
        with psycopg.connect(POSTGRES_URL, connect_timeout=PATIENCE_SECONDS) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return POSTGRES_HELP
    return None


def check_redis() -> str | None:
    client = redis.Redis.from_url(REDIS_URL, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS)
    try:
        client.ping()
    except redis.RedisError:
        return REDIS_HELP
    finally:
        client.close()
    return None


if __name__ == "__main__":
    problems = [problem for problem in (check_postgres(), check_redis()) if problem]
    sys.stderr.write("".join(problems))
    sys.exit(1 if problems else 0)
