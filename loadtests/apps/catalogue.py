"""The load-test site without a framework: its items, pages, assets and downloads, and which path gets which.

The three sites (`site`, `site_flask`, `site_django`) put their frameworks around it, so they give the same answers, and
the users under `loadtests/users` compare with it what they get. It needs nothing but the standard library.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtests.apps.asgi import BLOCKED_SECONDS

# Fixed, so that every process of a server reads the others' sessions.
SECRET_KEY = "for load tests alone"
PER_PAGE = 20
PAGES = 10
PIECE = bytes(range(256)) * 256

ITEMS: list[dict[str, Any]] = [
    {
        "id": number,
        "name": f"lamp {number}",
        "price": 1000 + 7 * number,
        "description": f"A lamp of {number} candela, which stands on a desk, a shelf or the floor.",
        "tags": ["lamp", "desk" if number % 2 else "floor"],
    }
    for number in range(1, PER_PAGE * PAGES + 1)
]
ITEMS_BY_ID = {str(item["id"]): item for item in ITEMS}

# Jinja and Django read the template, whose loop is `LIST` for the first page.
LOOP = '{% for item in items %}<li><a href="/api/items/{{ item.id }}">{{ item.name }}</a></li>\n{% endfor %}'
TEMPLATE = f"""<!doctype html>
<html lang="en">
<head><title>Lamps</title><link rel="stylesheet" href="/static/style.css"></head>
<body>
<img src="/static/logo.svg" alt="A lamp">
<p>Visit {{{{ visits }}}}</p>
<ul>
{LOOP}</ul>
</body>
</html>"""
LIST = "".join(f'<li><a href="/api/items/{item["id"]}">{item["name"]}</a></li>\n' for item in ITEMS[:PER_PAGE])
PAGE = TEMPLATE.replace(LOOP, LIST)

STYLE = "".join(
    f".item-{number} {{ color: #{number:02x}6040; margin: {number}px; padding: 0.5em; }}\n" for number in range(64)
).encode()
CIRCLES = "".join(f'<circle cx="{number}" cy="{number}" r="{number}"/>' for number in range(50))
LOGO = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{CIRCLES}</svg>'.encode()
# The content type and the content of each asset.
STATIC = {"style.css": ("text/css", STYLE), "logo.svg": ("image/svg+xml", LOGO)}


@dataclass(frozen=True)
class Answer:
    """An answer: a document that is sent as JSON where there is no `media_type`, else bytes, whole or in pieces.

    `interval` are the seconds between two pieces.
    """

    content: Any
    media_type: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    interval: float = 0.0


def page(visits: int) -> str:
    """Return what `TEMPLATE` gives for the first page of items, without a template engine."""
    return PAGE.replace("{{ visits }}", str(visits))


def items_on(page_number: int) -> list[dict[str, Any]]:
    """Return the items of one page, counted from 1."""
    return ITEMS[PER_PAGE * (page_number - 1) : PER_PAGE * page_number]


def pieces(size: int) -> Iterator[bytes]:
    """Yield the body of a download of so many bytes: `PIECE` again and again, and what is left of it."""
    for _ in range(size // len(PIECE)):
        yield PIECE
    if size % len(PIECE):
        yield PIECE[: size % len(PIECE)]


def lines(count: int) -> Iterator[bytes]:
    """Yield so many lines of text, one by one."""
    return (b"line %d\n" % number for number in range(1, count + 1))


def event(number: int) -> bytes:
    """Return one server-sent event, with the empty line at its end."""
    return b"id: %d\nevent: tick\ndata: tick number %d\n\n" % (number, number)


def ordered(body: bytes) -> Answer:
    """Take `{"item": ID, "quantity": N}`, and answer with it and the total; refuse anything else with 422."""
    try:
        wanted = json.loads(body)
        ordered, quantity = ITEMS_BY_ID[str(wanted["item"])], int(wanted["quantity"])
    except (ValueError, TypeError, KeyError):
        return Answer({"detail": "an order is an object with an item that there is and a quantity"}, status=422)
    return Answer({"item": ordered["id"], "quantity": quantity, "total": quantity * ordered["price"]})


def asset(asked: Mapping[str, str]) -> Answer:
    media_type, content = STATIC[asked["name"]]
    return Answer(content, media_type)


def items(asked: Mapping[str, str]) -> Answer:
    return Answer(items_on(int(asked["page"])))


def item(asked: Mapping[str, str]) -> Answer:
    found = ITEMS_BY_ID.get(asked["number"])
    return Answer(found or {"detail": "Not Found"}, status=200 if found else 404)


def download(asked: Mapping[str, str]) -> Answer:
    size = int(asked["bytes"])
    return Answer(pieces(size), "application/octet-stream", headers={"content-length": str(size)})


def streamed(asked: Mapping[str, str]) -> Answer:
    return Answer(lines(int(asked["lines"])), "text/plain")


def events(asked: Mapping[str, str]) -> Answer:
    ticks = map(event, range(1, int(asked["count"]) + 1))
    return Answer(ticks, "text/event-stream", interval=float(asked["interval"]))


def block(asked: Mapping[str, str]) -> Answer:
    time.sleep(BLOCKED_SECONDS)
    return Answer(b"blocked", "text/plain")


# What is answered to a GET of each path, by what stands in its place and in its query. A site adds its front page, the
# POSTs of orders and uploads, and over ASGI events and the chat.
VIEWS: dict[str, Callable[[Mapping[str, str]], Answer]] = {
    "/static/{name}": asset,
    "/api/items": items,
    "/api/items/{number}": item,
    "/download": download,
    "/stream": streamed,
    "/block": block,
}
