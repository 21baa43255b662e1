"""The site's addresses."""

# mypy: disable-error-code="import-untyped"
from django.contrib.auth.views import LoginView
from django.urls import path

from . import views

urlpatterns = [
    path("hello/<str:name>", views.hello),
    path("total", views.total),
    path("upload", views.upload),
    path("stream", views.stream),
    path("echo", views.echo),
    path("session", views.session),
    path("boom", views.boom),
    path("register", views.register),
    path("login", LoginView.as_view(template_name="form.html")),
    path("account", views.account),
]
handler404 = views.not_found
