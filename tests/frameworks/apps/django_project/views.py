"""The site in Django: some of its views are asynchronous, the others run in asgiref's threads."""

# mypy: disable-error-code="import-untyped,untyped-decorator"
import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import UserCreationForm
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST


@require_GET
def hello(request: Any, name: str) -> Any:
    return HttpResponse(f"{request.GET.get('greeting', 'Hello')}, {name}!", content_type="text/plain; charset=utf-8")


@csrf_exempt
@require_POST
async def total(request: Any) -> Any:
    return JsonResponse({"total": sum(json.loads(request.body)["numbers"])})


@csrf_exempt
def upload(request: Any) -> Any:
    file = request.FILES["file"]
    digest = hashlib.sha256(file.read()).hexdigest()
    return JsonResponse({"title": request.POST["title"], "filename": file.name, "digest": digest})


async def stream(request: Any) -> Any:
    async def lines() -> AsyncIterator[str]:
        for number in range(int(request.GET["parts"])):
            yield f"part {number}\n"
            await asyncio.sleep(float(request.GET["pause"]))

    return StreamingHttpResponse(lines(), content_type="text/plain")


@csrf_exempt
async def echo(request: Any) -> Any:
    async def pieces() -> AsyncIterator[bytes]:
        while piece := request.read(65536):
            yield piece

    return StreamingHttpResponse(pieces(), content_type="application/octet-stream")


@csrf_exempt
async def session(request: Any) -> Any:
    if request.method == "POST":
        await request.session.aset("name", request.POST["name"])
    await request.session.aset("visits", await request.session.aget("visits", 0) + 1)
    return JsonResponse({key: await request.session.aget(key) for key in ("name", "visits")})


def boom(request: Any) -> Any:
    raise RuntimeError("the site has a mistake")


def not_found(request: Any, exception: Exception) -> Any:
    return HttpResponse("This site has no such page", status=404)


def register(request: Any) -> Any:
    form = UserCreationForm(request.POST or None)
    if form.is_valid():
        form.save()
        return HttpResponseRedirect("/login")
    return render(request, "form.html", {"form": form})


@login_required
def account(request: Any) -> Any:
    return HttpResponse(f"This is the account of {request.user.get_username()}")
