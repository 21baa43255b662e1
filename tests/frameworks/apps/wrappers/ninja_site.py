"""Django Ninja, with no more of Django than it needs."""

# mypy: ignore-errors
import hashlib
from pathlib import Path

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import FileResponse, StreamingHttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="not secret", USE_TZ=True, DEBUG=False)
django.setup()

from ninja import File, NinjaAPI, UploadedFile  # noqa: E402
from wrappers.endless import parts  # noqa: E402

STYLE = Path(__file__).parents[1] / "static" / "style.css"
api = NinjaAPI()


@api.get("/hello")
async def hello(request, name: str):
    return {"hello": name}


@api.get("/stream")
async def stream(request):
    return StreamingHttpResponse(parts(), content_type="text/plain")


@api.get("/file")
def file(request):
    return FileResponse(STYLE.open("rb"))


@api.post("/upload")
def upload(request, file: File[UploadedFile]):
    return {"digest": hashlib.sha256(file.read()).hexdigest()}


@api.get("/boom")
async def boom(request):
    raise RuntimeError("the site has a mistake")


urlpatterns = [path("", api.urls)]
app = get_asgi_application()
