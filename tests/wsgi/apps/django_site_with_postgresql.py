"""A Django project that asks PostgreSQL, with connections that live as long as the environment says."""

# mypy: disable-error-code="import-untyped"
import os
import threading
import time
from pathlib import Path

import django
from django.conf import settings

FOLDER = Path(os.environ["SITE_FOLDER"])

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["SITE_DATABASE"],
            "NAME": "postgres",
            "USER": "postgres",
            "CONN_MAX_AGE": int(os.environ["SITE_CONN_MAX_AGE"]),
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"application_name": os.environ["SITE_NAME"]},
        }
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="secret",
    # Only as another example of what lives as long as a request.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()

from asgiref.local import Local  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from werkzeug.local import LocalStack  # noqa: E402

request_local = Local()
stack: LocalStack[str] = LocalStack()


def ask() -> int:
    """The process id of the connection's backend."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def backend(request: HttpRequest) -> JsonResponse:
    """Asks the database; a few milliseconds, so that several threads do."""
    pid = ask()
    time.sleep(0.005)
    return JsonResponse({"backend": pid, "again": ask(), "thread": threading.get_ident()})


def stuck(request: HttpRequest) -> JsonResponse:
    """Asks the database, and then does not come back before a file is there."""
    pid = ask()
    (FOLDER / f"stuck-{pid}").touch()
    while not (FOLDER / "go-on").exists():
        time.sleep(0.01)
    return JsonResponse({"backend": pid, "again": ask()})


def broken(request: HttpRequest) -> JsonResponse:
    """Fails in the middle of a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    return JsonResponse({})


def locals_of(request: HttpRequest) -> JsonResponse:
    """What earlier requests have left in the locals of asgiref and of werkzeug."""
    left = [getattr(request_local, "user", None), stack.top]
    request_local.user = request.GET["user"]
    stack.push(request.GET["user"])
    return JsonResponse({"left": left, "thread": threading.get_ident()})


urlpatterns = [
    path("backend", backend),
    path("stuck", stuck),
    path("broken", broken),
    path("locals", locals_of),
]
application = get_wsgi_application()
