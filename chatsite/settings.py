"""Every setting, from the environment; README lists those that an operator meets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from csp.constants import NONCE, NONE, SELF
from django.utils.translation import gettext_lazy as _

from chat import logs
from chatsite.channel_hosts import channel_hosts
from chatsite.configured_cache import cache_for
from chatsite.env import BASE_DIR, VAR_DIR, database_address, env, number, rate, seconds, secret_key, size

# The process

SECRET_KEY, SECRET_KEY_GENERATED = secret_key()
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
REDIS_URL = env.str("REDIS_URL", default="")
CHAT_REDIS_PREFIX = env.str("CHAT_REDIS_PREFIX", default="chat")  # what our keys in Redis begin with
WORKERS = env.int("WORKERS", default=1)
ROOT_URLCONF = "chatsite.urls"
ASGI_APPLICATION = "chatsite.asgi.application"

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "channels",
    "allauth",
    "allauth.account",
    "allauth.headless",
    "csp",
    "ninja",
    "chat.apps.ChatConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "chat.pages.permissions_policy.permissions_policy",
    "csp.middleware.CSPMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "chatsite.request_log.note_user",
]
"""For pages and the admin. The API has its own short chain: chat.api.handler."""

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# The database: SQLite in var/ unless DATABASE_URL names another

VAR_DIR.mkdir(exist_ok=True)
DATABASE_CONNECTIONS = env.int("CHAT_DATABASE_CONNECTIONS", default=20)  # of one process to PostgreSQL, at most
DATABASES: dict[str, dict[str, Any]] = {"default": database_address(f"sqlite:///{VAR_DIR / 'chat.sqlite3'}")}


def with_connection_options(database: dict[str, Any]) -> dict[str, Any]:
    """SQLite: write-ahead log, and a write lock from a transaction's start (a lock taken later can fail at once).
    PostgreSQL: a pool, which a page's request borrows a connection of; the threads of Database keep theirs."""
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;",
        }
    elif database["ENGINE"] == "django.db.backends.postgresql":
        # Who waits for a database that is away gives up soon, and tries anew: the pool itself would wait ever longer.
        pool = {"min_size": 0, "max_size": DATABASE_CONNECTIONS, "timeout": 2, "reconnect_timeout": 1, "name": "chat"}
        if env.str("CHAT_DATABASE_POOL", default="on") == "on":  # manage.py turns it off for its commands
            database["OPTIONS"] = {"pool": pool, **database.get("OPTIONS", {})}
            database["CONN_HEALTH_CHECKS"] = True
    database["CONN_MAX_AGE"] = 0
    return database


with_connection_options(DATABASES["default"])
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Groups carry nudges ("something changed in conversation X"), never tokens

CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        # Not the layer of stored queues: a nudge that nobody waits for is not kept, and nothing expires after a day.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": channel_hosts(REDIS_URL), "prefix": CHAT_REDIS_PREFIX},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}
}

CACHES: dict[str, dict[str, Any]] = {"default": cache_for(REDIS_URL, CHAT_REDIS_PREFIX)}

# Accounts

AUTH_USER_MODEL = "chat.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = env.str("CHAT_EMAIL_VERIFICATION", default="none")
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_LOGOUT_ON_GET = False  # a link, or a picture's address, must not sign anybody out
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_SESSION_REMEMBER = True  # asks nothing: a session lasts SESSION_COOKIE_AGE
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# The page and the API count password attempts by the same rate; an account's own limit stays unless all is lifted.
_LOGIN_RATE = rate("CHAT_LOGIN_RATE", "10/m")
ACCOUNT_RATE_LIMITS = {"login": f"{_LOGIN_RATE}/ip"} if _LOGIN_RATE else {"login": None, "login_failed": None}
# Behind the proxy, the last address of X-Forwarded-For is the one that it saw itself.
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if env.bool("CHAT_TRUST_PROXY", default=False) else 0
EMAIL_CONFIG: dict[str, Any] = env.email("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="chat@localhost")
SESSION_COOKIE_AGE = int(timedelta(days=30).total_seconds())

HEADLESS_TOKEN_STRATEGY = "allauth.headless.tokens.strategies.jwt.JWTTokenStrategy"  # noqa: S105 (a class)
HEADLESS_JWT_ALGORITHM = "HS256"
HEADLESS_JWT_STATEFUL_VALIDATION_ENABLED = True
HEADLESS_JWT_ROTATE_REFRESH_TOKEN = True
HEADLESS_JWT_ACCESS_TOKEN_EXPIRES_IN = number("CHAT_ACCESS_TOKEN_SECONDS", 3600)
HEADLESS_JWT_REFRESH_TOKEN_EXPIRES_IN = number("CHAT_REFRESH_TOKEN_SECONDS", 30 * 24 * 3600)

UNFOLD = {
    "SITE_TITLE": _("Chat: administration"),
    "SITE_HEADER": _("Chat: administration"),
    "SITE_URL": "/",
    "SITE_SYMBOL": "forum",
    "SHOW_HISTORY": False,
}

# Languages

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# Static files, served by the process itself

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG
SERVESTATIC_ALLOW_ALL_ORIGINS = False

# Security

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_TRUSTED_PROXY = env.bool("CHAT_TRUST_PROXY", default=False)
if SECURE_TRUSTED_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("CHAT_SECURE_COOKIES", default=SECURE_TRUSTED_PROXY)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF, "ws:", "wss:"],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
    },
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
}
SECURE_HSTS_SECONDS = env.int("CHAT_HSTS_SECONDS", default=0)  # how long browsers insist on TLS; 0: they do not
PERMISSIONS_POLICY = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
CHAT_CORS_ORIGINS: list[str] = env.list("CHAT_CORS_ORIGINS", default=[])  # sites whose pages may call the API

# Limits; each `off` lifts one. The reasons stand beside them.

CHAT_SEND_RATE = rate("CHAT_SEND_RATE", "30/m")  # sends of one user
CHAT_LOGIN_RATE = rate("CHAT_LOGIN_RATE", "10/m")  # password attempts from one address
CHAT_API_KEYS_PER_USER = number("CHAT_API_KEYS_PER_USER", 20)  # that one user may have
CHAT_KEY_SEND_RATE = rate("CHAT_KEY_SEND_RATE", "off")  # sends with one API key; they are its user's too
CHAT_ADDRESS_SEND_RATE = rate("CHAT_ADDRESS_SEND_RATE", "off")  # sends from one address
CHAT_ACCOUNT_LOGIN_RATE = rate("CHAT_ACCOUNT_LOGIN_RATE", "20/h")  # wrong passwords for one account, from anywhere
CHAT_STREAMS_PER_USER = number("CHAT_STREAMS_PER_USER", 8)  # live generations of one user, on all workers
CHAT_TOKENS_PER_DAY = number("CHAT_TOKENS_PER_DAY", "off")  # in and out, of one user
CHAT_LIMITS_REMEMBERED = number("CHAT_LIMITS_REMEMBERED", 100_000)  # users and addresses whose limits are in memory
CHAT_IDEMPOTENCY_SECONDS = seconds("CHAT_IDEMPOTENCY_SECONDS", 24 * 3600)  # how long an answer to a key is kept
CHAT_MESSAGE_CHARS = number("CHAT_MESSAGE_CHARS", 100_000)  # one message
CHAT_BODY_BYTES = size("CHAT_BODY_BYTES", "12MiB")  # one request body: a 10 MiB image with its frame
CHAT_FRAME_BYTES = size("CHAT_FRAME_BYTES", "1MiB")  # one WebSocket frame from a client
CHAT_FRAMES_WAITING = number("CHAT_FRAMES_WAITING", 64)  # client frames not yet handled: more is a flood
CHAT_REPLY_CHARS = number("CHAT_REPLY_CHARS", 8_000_000)  # one reply; then it ends with finish_reason `length`
CHAT_HISTORY_MESSAGES = number("CHAT_HISTORY_MESSAGES", 1000)  # in one request of a client that sends them all
CHAT_CONTEXT_CHARS = number("CHAT_CONTEXT_CHARS", 400_000)  # history sent upstream, newest turns first
CHAT_CACHE_BYTES = size("CHAT_CACHE_BYTES", "16MiB")  # replies kept for the same question; `off` keeps none
CHAT_LOG_BYTES = size("CHAT_LOG_BYTES", "2MiB")  # events of one generation; older cursors get a snapshot
CHAT_LOG_TOTAL_BYTES = size("CHAT_LOG_TOTAL_BYTES", "256MiB")  # events of all; then the oldest ended ones go
CHAT_LOG_SECONDS = seconds("CHAT_LOG_SECONDS", 600)  # how long a finished generation's events stay
CHAT_DRAIN_SECONDS = seconds("CHAT_DRAIN_SECONDS", 20)  # how long a stopping worker lets generations finish
CHAT_STALL_SECONDS = seconds("CHAT_STALL_SECONDS", 10)  # how long a client may take no byte before it is dropped
CHAT_PING_SECONDS = seconds("CHAT_PING_SECONDS", 15)  # silence on an event stream before a ping
CHAT_PAUSE_SECONDS = seconds("CHAT_PAUSE_SECONDS", 300)  # how long a pause lasts before it ends by itself
CHAT_UNSTORED_SECONDS = seconds("CHAT_UNSTORED_SECONDS", 600)  # how long an ended reply with `store: false` stays
CHAT_TICK_SECONDS = seconds("CHAT_TICK_SECONDS", 0.05)  # the clock at rest
CHAT_TICK_CROWDED_SECONDS = seconds("CHAT_TICK_CROWDED_SECONDS", 0.125)  # the clock with two hundred streams or more
CHAT_TICK_STRETCHED_SECONDS = seconds("CHAT_TICK_STRETCHED_SECONDS", 0.25)  # the clock under load
CHAT_SAVE_SECONDS = seconds("CHAT_SAVE_SECONDS", 1.0)  # between two writes of the partial text
CHAT_WRITES_WAITING = number("CHAT_WRITES_WAITING", 10_000)  # database writes not yet done: more is refused
CHAT_READS_WAITING = number("CHAT_READS_WAITING", 10_000)  # database reads not yet done: more is refused
CHAT_READ_THREADS = env.int("CHAT_READ_THREADS", default=4)  # threads, and connections, that read the database
CHAT_SEARCH_SECONDS = seconds("CHAT_SEARCH_SECONDS", 10)  # a search, for history that it has to take in first
CHAT_IMPORT_MESSAGES = number("CHAT_IMPORT_MESSAGES", 20_000)  # of one import, which is checked in memory
CHAT_ON_DISCONNECT = env.str("CHAT_ON_DISCONNECT", default="continue")  # or `stop`
CHAT_DISCONNECT_GRACE_SECONDS = seconds("CHAT_DISCONNECT_GRACE_SECONDS", 30)  # without readers, before `stop`
CHAT_WEBHOOK_HOSTS: list[str] = env.list("CHAT_WEBHOOK_HOSTS", default=[])  # where webhooks may go; none: no webhooks
CHAT_WEBHOOKS_PER_USER = number("CHAT_WEBHOOKS_PER_USER", 10)  # that one user may have
CHAT_WEBHOOKS_AT_ONCE = number("CHAT_WEBHOOKS_AT_ONCE", 20)  # deliveries under way in one worker
CHAT_WEBHOOK_SECONDS = env.float("CHAT_WEBHOOK_SECONDS", default=10.0)  # one attempt to deliver
CHAT_WEBHOOK_RETRY_SECONDS: list[float] = env.list(
    "CHAT_WEBHOOK_RETRY_SECONDS", cast=float, default=[5, 30, 120, 600, 3600, 21600]
)  # before each further attempt; then it is given up
CHAT_WEBHOOK_KEEP_SECONDS = seconds("CHAT_WEBHOOK_KEEP_SECONDS", 7 * 24 * 3600)  # how long what was delivered is listed
CHAT_PUBLIC_URL = env.str("CHAT_PUBLIC_URL", default="")  # the address that people type, for `manage.py doctor`
CHAT_PROVIDERS_FILE = env.str("CHAT_PROVIDERS_FILE", default="")
DATA_UPLOAD_MAX_MEMORY_SIZE = CHAT_BODY_BYTES

# Metrics

CHAT_METRICS = env.str("CHAT_METRICS", default="on")  # or `off`
CHAT_METRICS_ALLOW: list[str] = env.list("CHAT_METRICS_ALLOW", default=["127.0.0.1", "::1"])  # who may read them

# Traces

CHAT_TRACES = env.str("CHAT_TRACES", default="off")  # or `on`; the rest is OpenTelemetry's own OTEL_*

# Logs

CHAT_REQUEST_LOG = env.str("CHAT_REQUEST_LOG", default="on")  # or `off`: no line for each request and each generation
LOG_FORMAT = env.str("LOG_FORMAT", default="console" if DEBUG else "json")
LOGGING_CONFIG = None  # chat.logs configures structlog and the standard library together
logs.configure(LOG_FORMAT, DEBUG)
