"""Streams of Django, over ASGI and over WSGI, with no more of Django than they need."""

# mypy: disable-error-code="import-untyped"
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path

from .waiting import events, events_of_a_thread, noted

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="not secret", USE_TZ=True, DEBUG=False)
django.setup()


async def stream(request: Any) -> Any:
    return StreamingHttpResponse(events(request.GET["name"]), content_type="text/event-stream")


def stream_of_a_thread(request: Any) -> Any:
    return StreamingHttpResponse(events_of_a_thread(request.GET["name"]), content_type="text/event-stream")


def log(request: Any) -> Any:
    return JsonResponse(noted())


urlpatterns = [path("stream", stream), path("thread", stream_of_a_thread), path("log", log)]
asgi = get_asgi_application()
wsgi = get_wsgi_application()
