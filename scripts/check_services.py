"""Says which of the services that the tests want does not answer: PostgreSQL and Redis on this machine."""

import os
import sys

import psycopg
import redis

POSTGRES = os.environ.get("CHAT_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("CHAT_TEST_REDIS", "redis://127.0.0.1:6379/0")
PATIENCE_SECONDS = 5


def check_postgres() -> str | None:
    try:
        with psycopg.connect(POSTGRES, connect_timeout=PATIENCE_SECONDS) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error:
        return "PostgreSQL does not answer on 127.0.0.1:5432 for the user postgres without a password."
    return None


def check_redis() -> str | None:
    client = redis.Redis.from_url(REDIS, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS)
    try:
        client.ping()
    except redis.RedisError:
        return "Redis does not answer on 127.0.0.1:6379."
    finally:
        client.close()
    return None


if __name__ == "__main__":
    problems = [problem for problem in (check_postgres(), check_redis()) if problem]
    for problem in problems:
        sys.stderr.write(problem + "\n")
    sys.exit(1 if problems else 0)
