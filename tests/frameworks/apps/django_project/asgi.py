"""The project as an ASGI application, as `django-admin startproject` writes it, with the static files beside it."""

# mypy: disable-error-code="import-untyped"
import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_project.settings")

application = ASGIStaticFilesHandler(get_asgi_application())
