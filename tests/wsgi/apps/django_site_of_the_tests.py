"""A Django project in one file: models, the admin, uploads, streams, static files by WhiteNoise."""

# mypy: disable-error-code="import-untyped"
import os
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings

FOLDER = Path(os.environ["SITE_FOLDER"])

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=50_000_000,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "site.sqlite3"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    FILE_UPLOAD_MAX_MEMORY_SIZE=100_000,
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="secret",
    STATIC_ROOT=FOLDER / "static",
    STATIC_URL="/static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import FileResponse, HttpRequest, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


def users(request: HttpRequest) -> JsonResponse:
    """Asks the database."""
    return JsonResponse({"users": list(User.objects.values_list("username", flat=True))})


def upload(request: HttpRequest) -> JsonResponse:
    """Takes a file and a field."""
    file: Any = request.FILES["file"]
    return JsonResponse({"size": sum(map(len, file.chunks())), "note": request.POST["note"]})


def body(request: HttpRequest) -> JsonResponse:
    """Tells how much came."""
    return JsonResponse({"size": len(request.body)})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Answers in pieces."""
    return StreamingHttpResponse((f"{number}\n" for number in range(1000)), content_type="text/plain")


def file(request: HttpRequest) -> FileResponse:
    """Answers with this file."""
    return FileResponse(Path(__file__).open("rb"))


urlpatterns = [
    path("admin/", admin.site.urls),
    path("users", users),
    path("upload", csrf_exempt(upload)),
    path("body", csrf_exempt(body)),
    path("stream", stream),
    path("file", file),
]

if "prepare" in sys.argv:
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    User.objects.create_superuser("ada", "ada@example.org", "lovelace")
else:
    application = get_wsgi_application()
