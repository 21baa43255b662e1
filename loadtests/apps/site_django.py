"""The load-test site over WSGI with Django, in one file: a template, and a session in a signed cookie; no database.

What it answers with is in `loadtests/apps/catalogue.py`.
"""

# mypy: disable-error-code="import-untyped, misc, untyped-decorator"
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import Context, Engine
from django.urls import path

from loadtests.apps import catalogue
from loadtests.apps.catalogue import VIEWS, Answer

settings.configure(
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=catalogue.SECRET_KEY,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
django.setup()
template = Engine().from_string(catalogue.TEMPLATE)


def respond(answer: Answer) -> HttpResponse:
    if not answer.media_type:
        return JsonResponse(answer.content, status=answer.status, safe=False)
    kind = HttpResponse if isinstance(answer.content, bytes) else StreamingHttpResponse
    return kind(answer.content, answer.media_type, answer.status, headers=answer.headers)


def endpoint(view: Callable[[dict[str, str]], Answer]) -> Callable[..., HttpResponse]:
    return lambda request, **places: respond(view({**request.GET.dict(), **places}))


def home(request: HttpRequest) -> HttpResponse:
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(template.render(Context({"visits": visits, "items": catalogue.items_on(1)})))


def orders(request: HttpRequest) -> HttpResponse:
    return respond(catalogue.ordered(request.body))


def upload(request: HttpRequest) -> HttpResponse:
    """Count a body. One of unknown length, which Django reads nothing of, is read from the server."""
    environ: dict[str, Any] = request.META
    body = environ["wsgi.input"] if environ.get("wsgi.input_terminated") else request
    return JsonResponse({"bytes": sum(map(len, iter(lambda: body.read(65536), b"")))})


urlpatterns = [
    *(path(each[1:].replace("{", "<").replace("}", ">"), endpoint(view)) for each, view in VIEWS.items()),
    path("", home),
    path("api/orders", orders),
    path("upload", upload),
]
app = get_wsgi_application()
