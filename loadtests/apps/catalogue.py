"""What the load-test sites answer with: the items, the pages, the assets and the bodies of downloads.

The three sites (`site`, `site_flask`, `site_django`) take everything from here, so they give the same answers, and the
users under `loadtests/users` compare with it what they get. It needs nothing but the standard library.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

MOST_BYTES = 1_000_000_000
MOST_LINES = 1_000_000
MOST_EVENTS = 1_000_000
MOST_SECONDS = 60.0
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

# The text up to the list and from there on; Jinja and Django read the same template.
TOP = """<!doctype html>
<html lang="en">
<head><title>Lamps</title><link rel="stylesheet" href="/static/style.css"></head>
<body>
<img src="/static/logo.svg" alt="A lamp">
<p>Visit {{ visits }}</p>
<ul>
"""
BOTTOM = "</ul>\n</body>\n</html>"
TEMPLATE = (
    TOP
    + '{% for item in items %}<li><a href="/api/items/{{ item.id }}">{{ item.name }}</a></li>\n{% endfor %}'
    + BOTTOM
)
LIST = "".join(f'<li><a href="/api/items/{item["id"]}">{item["name"]}</a></li>\n' for item in ITEMS[:PER_PAGE])

STYLE = "".join(
    f".item-{number} {{ color: #{number:02x}6040; margin: {number}px; padding: 0.5em; }}\n" for number in range(64)
).encode()
CIRCLES = "".join(f'<circle cx="{number}" cy="{number}" r="{number}"/>' for number in range(50))
LOGO = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{CIRCLES}</svg>'.encode()
# The content type and the content of each asset.
STATIC = {"style.css": ("text/css", STYLE), "logo.svg": ("image/svg+xml", LOGO)}


class BadRequest(Exception):
    """The client asked for something that makes no sense; the text is one line for it. Answered with 422."""


def page(visits: int) -> str:
    """What `TEMPLATE` gives for the first page of items, without a template engine."""
    return TOP.replace("{{ visits }}", str(visits)) + LIST + BOTTOM


def items_on(page_number: int) -> list[dict[str, Any]]:
    """The items of one page, counted from 1; none beyond the last."""
    return ITEMS[PER_PAGE * (page_number - 1) : PER_PAGE * page_number]


def item(number: int) -> dict[str, Any] | None:
    """One item; None where there is no such."""
    return ITEMS[number - 1] if 1 <= number <= len(ITEMS) else None


def order(body: bytes) -> dict[str, Any]:
    """Takes `{"item": ID, "quantity": N}`; returns it with the total. Raises BadRequest for anything else."""
    try:
        wanted = json.loads(body)
    except ValueError:
        raise BadRequest("the body is no JSON") from None
    if not isinstance(wanted, dict):
        raise BadRequest("an order is an object")
    number, quantity = (wanted.get(name) for name in ("item", "quantity"))
    if type(number) is not int or (ordered := item(number)) is None:
        raise BadRequest("there is no such item")
    if type(quantity) is not int or not 1 <= quantity <= 100:
        raise BadRequest("the quantity is a number from 1 to 100")
    return {"item": number, "quantity": quantity, "total": quantity * ordered["price"]}


def whole_number(text: str, most: int) -> int:
    """A number from 0 to `most` out of a query string; raises BadRequest for anything else."""
    if not text.isdecimal() or len(text) > 10 or int(text) > most:
        raise BadRequest(f"{text[:20]!r} is no number from 0 to {most}")
    return int(text)


def seconds(text: str) -> float:
    """A duration out of a query string; raises BadRequest for what is none, or longer than `MOST_SECONDS`."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= MOST_SECONDS:
        raise BadRequest(f"{text[:20]!r} is no number of seconds from 0 to {MOST_SECONDS:.0f}")
    return number


def pieces(size: int) -> Iterator[bytes]:
    """The body of a download of so many bytes: `PIECE` again and again, and what is left of it."""
    for _ in range(size // len(PIECE)):
        yield PIECE
    if size % len(PIECE):
        yield PIECE[: size % len(PIECE)]


def lines(count: int) -> Iterator[bytes]:
    """So many lines of text, one by one."""
    for number in range(1, count + 1):
        yield b"line %d\n" % number


def event(number: int) -> bytes:
    """One server-sent event, with the empty line at its end."""
    return b"id: %d\nevent: tick\ndata: tick number %d\n\n" % (number, number)
