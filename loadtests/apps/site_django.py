"""The load-test site over WSGI with Django, in one file: a template, and a session in a signed cookie; no database.

What it answers with is in `loadtests/apps/catalogue.py`.
"""

# mypy: disable-error-code="import-untyped, misc"
import json

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import Context, Engine
from django.urls import path

from loadtests.apps import catalogue

settings.configure(
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=catalogue.SECRET_KEY,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
django.setup()
template = Engine().from_string(catalogue.TEMPLATE)


def home(request: HttpRequest) -> HttpResponse:
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(template.render(Context({"visits": visits, "items": catalogue.items_on(1)})))


def items(request: HttpRequest) -> HttpResponse:
    return JsonResponse(catalogue.items_on(int(request.GET["page"])), safe=False)


def item(request: HttpRequest, number: int) -> HttpResponse:
    return JsonResponse(catalogue.ITEMS_BY_ID[number])


def orders(request: HttpRequest) -> HttpResponse:
    return JsonResponse(catalogue.ordered(json.loads(request.body)))


urlpatterns = [
    path("", home),
    path("api/items", items),
    path("api/items/<int:number>", item),
    path("api/orders", orders),
]
app = get_wsgi_application()
