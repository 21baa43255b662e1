"""The load-test site over WSGI with Django, in one file: a template, and a session in a signed cookie; no database.

What it answers with is in `loadtests/apps/catalogue.py`.
"""

# mypy: disable-error-code="import-untyped, misc, untyped-decorator"
import os
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import Context, Engine
from django.urls import path
from django.views.decorators.http import require_POST

from loadtests.apps import catalogue
from loadtests.apps.blocking import BLOCKED_SECONDS

settings.configure(
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    # Fixed, so that every process of a server reads the others' sessions.
    SECRET_KEY="for load tests alone",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
django.setup()
template = Engine().from_string(catalogue.TEMPLATE)


def refusing(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Has a view answer a bad request with 422."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except catalogue.BadRequest as error:
            return JsonResponse({"detail": str(error)}, status=422)

    return checked


def home(request: HttpRequest) -> HttpResponse:
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(template.render(Context({"visits": visits, "items": catalogue.items_on(1)})))


def asset(request: HttpRequest, name: str) -> HttpResponse:
    if name not in catalogue.STATIC:
        raise Http404
    media_type, content = catalogue.STATIC[name]
    return HttpResponse(content, content_type=media_type)


@refusing
def items(request: HttpRequest) -> HttpResponse:
    page = catalogue.whole_number(request.GET.get("page", "1"), catalogue.PAGES)
    return JsonResponse(catalogue.items_on(page), safe=False)


def item(request: HttpRequest, number: int) -> HttpResponse:
    found = catalogue.item(number)
    return JsonResponse({"detail": "Not Found"}, status=404) if found is None else JsonResponse(found)


@require_POST
@refusing
def orders(request: HttpRequest) -> HttpResponse:
    return JsonResponse(catalogue.order(request.body))


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Django reads no body of unknown length, so one that the server ends by itself is read from the server."""
    environ: dict[str, Any] = request.META
    body = environ["wsgi.input"] if environ.get("wsgi.input_terminated") else request
    return JsonResponse({"bytes": sum(map(len, iter(lambda: body.read(65536), b"")))})


@refusing
def download(request: HttpRequest) -> HttpResponse:
    size = catalogue.whole_number(request.GET.get("bytes", "0"), catalogue.MOST_BYTES)
    headers = {"Content-Length": str(size)}
    return StreamingHttpResponse(catalogue.pieces(size), content_type="application/octet-stream", headers=headers)


@refusing
def stream(request: HttpRequest) -> HttpResponse:
    count = catalogue.whole_number(request.GET.get("lines", "0"), catalogue.MOST_LINES)
    return StreamingHttpResponse(catalogue.lines(count), content_type="text/plain")


def block(request: HttpRequest) -> HttpResponse:
    time.sleep(BLOCKED_SECONDS)
    return HttpResponse("blocked", content_type="text/plain")


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{os.getpid()} {threading.get_ident()}", content_type="text/plain")


urlpatterns = [
    path("", home),
    path("static/<str:name>", asset),
    path("api/items", items),
    path("api/items/<int:number>", item),
    path("api/orders", orders),
    path("upload", upload),
    path("download", download),
    path("stream", stream),
    path("block", block),
    path("whoami", whoami),
]
app = get_wsgi_application()
