"""Django settings, and the only reader of the environment.

Every variable is checked here, at the start of every process: a bad one is printed as ``NAME: what is wrong`` and the
process exits with status 2, without a traceback.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import structlog

from scheduler_project import database, environment, logs, production
from scheduler_project.admin_site import UNFOLD  # noqa: F401
from tasks_app import conf, inherited  # noqa: F401 - inherited looks at TZ before Django sets it

BASE_DIR = Path(__file__).resolve().parent.parent
#: Where development keeps what it makes: in a checkout; for an installed wheel, never among the installed packages.
HOME_DIR = BASE_DIR if (BASE_DIR / "manage.py").exists() else Path.home() / ".local" / "share" / "task-scheduler"

FROM_FILE: frozenset[str] = frozenset()
if (os.environ.get("SCHEDULER_PROFILE") or "dev") == "dev":
    FROM_FILE = environment.read_file(HOME_DIR / ".env")

try:
    VERSION = version("task-scheduler")
except PackageNotFoundError:  # a checkout that was not installed
    VERSION = "0.1.0"

problems: dict[str, str] = {}
try:
    SCHEDULER = conf.load(os.environ)
except conf.ConfigErrors as error:
    problems |= error.problems
    # For the checks below alone: the process ends behind them.
    SCHEDULER = conf.load({name: os.environ.get(name, "") for name in {"SCHEDULER_PROFILE"} - set(problems)})
IS_PROD = SCHEDULER.profile == conf.Profile.PROD


def _flag(name: str) -> bool:
    try:
        return conf.parse_bool(os.environ.get(name) or "false")
    except ValueError as error:
        problems[name] = str(error)
        return False


def _development_secret() -> str:
    """A key of this checkout's own, made once: sessions survive restarts, and all web processes agree."""
    path = HOME_DIR / ".data" / "secret_key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    except OSError:  # a read-only checkout: sessions end with the process
        return secrets.token_urlsafe(48)
    return path.read_text() or secrets.token_urlsafe(48)


DEBUG = _flag("DEBUG")
SECRET_KEY = os.environ.get("SECRET_KEY") or ""
TASK_TOKEN_KEY = os.environ.get("TASK_TOKEN_KEY") or ""
if problem := production.problem_of_token_key(TASK_TOKEN_KEY):
    problems["TASK_TOKEN_KEY"] = problem
ALLOWED_HOSTS = list(conf.words(os.environ.get("ALLOWED_HOSTS", "")))
CSRF_TRUSTED_ORIGINS = list(conf.words(os.environ.get("CSRF_TRUSTED_ORIGINS", "")))
if IS_PROD:
    problems |= production.refusals(
        secret_key=SECRET_KEY,
        debug=DEBUG,
        allowed_hosts=ALLOWED_HOSTS,
        trusted_proxies=SCHEDULER.trusted_proxies,
    )
else:
    ALLOWED_HOSTS = ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]", "testserver"]
    SECRET_KEY = SECRET_KEY or _development_secret()

try:
    DATABASE = database.choose(os.environ, HOME_DIR, embedded_allowed=not IS_PROD)
    DATABASES = {"default": DATABASE.django}
except database.DatabaseSettingError as error:
    problems[error.name] = str(error)

_strangers = environment.strangers(os.environ)
problems |= environment.refused(_strangers, on_embedded="DATABASE_URL" in problems or DATABASE.embedded is not None)
if problems:
    sys.stderr.write("".join(f"{name}: {text}\n" for name, text in problems.items()))
    sys.exit(2)

INSTALLED_APPS = [
    "scheduler_project",
    "monitoring_app",
    "workers_app",
    "schedules_app",
    "flow_app",
    "workflows_app",
    "tasks_app",
    "access_app",
    "unfold",
    "scheduler_project.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular_sidecar",
    "django_structlog",
    "axes",
]

MIDDLEWARE = [
    "scheduler_project.content_security.ContentSecurityPolicy",
    "monitoring_app.middleware.ProbesByAnyHost",
    "access_app.http.middleware.RequestGateMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "scheduler_project.unseen.ShowUnseen",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "scheduler_project.accounts.trail.ActorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "axes.middleware.AxesMiddleware",
    "scheduler_project.error_pages.DatabaseFaults",
]
if SCHEDULER.metrics_enabled:
    INSTALLED_APPS.append("django_prometheus")
    MIDDLEWARE = [
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        *MIDDLEWARE,
        "monitoring_app.request_metrics.RequestMetrics",
    ]
MIDDLEWARE = ["scheduler_project.web.proxies.TrustedProxies", *MIDDLEWARE]

ROOT_URLCONF = "scheduler_project.urls"
WSGI_APPLICATION = "scheduler_project.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "flow_app.admin.banner.incident",
            ],
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
# The first refuses whoever failed too often, before the second checks a password. Limits: scheduler_project/accounts.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "scheduler_project.accounts.backends.StaffBackend"]
SESSION_COOKIE_AGE = int(SCHEDULER.session_lifetime.total_seconds())
AXES_HANDLER = "scheduler_project.accounts.throttle.LoginThrottle"
AXES_FAILURE_LIMIT = 1
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_CALLABLE = "scheduler_project.accounts.throttle.name_of"
AXES_CLIENT_IP_CALLABLE = "scheduler_project.accounts.throttle.network_of"
AXES_LOCKOUT_CALLABLE = "scheduler_project.accounts.throttle.refuse"
# Our own log and audit trail have it. What a form sent is not kept; these are not even written for a moment.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = [
    "username",
    "ip_address",
    "csrfmiddlewaretoken",
    "old_password",
    "new_password1",
    "new_password2",
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
# Collected for prod alone: elsewhere files are served from where they are, and a stale collection would win.
STATIC_ROOT = BASE_DIR / "staticfiles" if IS_PROD else None
WHITENOISE_USE_FINDERS = not IS_PROD
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if IS_PROD
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# Largest request bodies, in bytes: one task or a form, and a bulk call. Larger ones are refused with 413.
MAX_BODY = 2 * 1024 * 1024
MAX_BULK_BODY = 32 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY

# The API's own viewsets name everything themselves. Default deny: any other view of DRF refuses everybody.
REST_FRAMEWORK = {"DEFAULT_PERMISSION_CLASSES": ["access_app.http.permissions.TableDecides"]}

if IS_PROD:
    # Of all headers that proxies write, only this one of a proxy in TRUSTED_PROXIES is left when Django looks.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "scheduler_project.error_pages.csrf_failure"

LOGGING_CONFIG = None
logs.configure(level=SCHEDULER.log_level, json=SCHEDULER.log_format == conf.LogFormat.JSON)
for _stranger in _strangers:
    structlog.get_logger(__name__).warning("unknown_variable", variable=_stranger.name, nearest=_stranger.nearest)
DJANGO_STRUCTLOG_TRUST_UPSTREAM_CORRELATION_ID = True
# The address is bound for every line of a request, not only for the last: access_app.http.middleware.
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
# Naming the user would load the session of every request that carries a cookie, of health checks too.
DJANGO_STRUCTLOG_USER_ID_FIELD = None
# A client's mistake is no warning of ours.
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = logging.INFO
