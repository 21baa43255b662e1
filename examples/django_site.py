"""A Django site in one file: a guest book in SQLite.

    python -m examples.django_site migrate
    threadserve examples.django_site:application
    curl -d name=Ada http://127.0.0.1:8000/

$DATABASE is where the guests are kept. Each thread of the pool has a database connection of its own, as Django wants.
"""

# mypy: disable-error-code="import-untyped, misc"
import os
import sys

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", "guests.sqlite3")}
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "for the example alone"),
)
django.setup()


class Guest(models.Model):
    """Somebody who was here."""

    name = models.CharField(max_length=100)

    class Meta:
        app_label = "guests"


def guests(request: HttpRequest) -> JsonResponse:
    """Notes a guest, and lists all."""
    if request.method == "POST":
        Guest.objects.create(name=request.POST["name"])
    return JsonResponse({"guests": list(Guest.objects.order_by("id").values_list("name", flat=True))})


urlpatterns = [path("", guests)]
application = get_wsgi_application()

if __name__ == "__main__":
    if sys.argv[1:] == ["migrate"]:
        with connection.schema_editor() as editor:
            editor.create_model(Guest)
    else:
        execute_from_command_line(sys.argv)
