"""The same project in Channels' router, with consumers for WebSockets, as Channels' documentation has it."""

# mypy: disable-error-code="import-untyped"
import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_project.settings")

django_application = ASGIStaticFilesHandler(get_asgi_application())

from .consumers import Chat, Echo, WhoAmI  # noqa: E402

websockets = [
    path("ws/echo", Echo.as_asgi()),
    path("ws/chat/<str:room>", Chat.as_asgi()),
    path("ws/who", WhoAmI.as_asgi()),
]

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websockets))),
    }
)
