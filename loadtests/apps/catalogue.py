"""The load-test site without a framework: its items, pages, assets and large bodies.

The three sites (`site`, `site_flask`, `site_django`) put their frameworks around it, so they give the same answers, and
the users under `loadtests/users` compare with it what they get. It needs nothing but the standard library.
"""

from collections.abc import Iterator
from typing import Any

# Fixed, so that every process of a server reads the others' sessions.
SECRET_KEY = "for load tests alone"
PER_PAGE, PAGES = 20, 10
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
ITEMS_BY_ID = {item["id"]: item for item in ITEMS}

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

STYLE = b".item { color: #206040; margin: 8px; padding: 0.5em; }\n" * 64
LOGO = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">%b</svg>' % (
    b'<circle cx="5" cy="5" r="5"/>' * 50
)
# The content type and the content of each asset.
STATIC = {"style.css": ("text/css", STYLE), "logo.svg": ("image/svg+xml", LOGO)}


def page(visits: int) -> str:
    """Return what `TEMPLATE` gives for the first page of items, without a template engine."""
    return PAGE.replace("{{ visits }}", str(visits))


def items_on(page_number: int) -> list[dict[str, Any]]:
    """Return the items of one page, counted from 1."""
    return ITEMS[PER_PAGE * (page_number - 1) : PER_PAGE * page_number]


def ordered(wanted: dict[str, int]) -> dict[str, int]:
    """Take `{"item": ID, "quantity": N}`, and return it with the total; raise KeyError or TypeError for another."""
    return {**wanted, "total": wanted["quantity"] * ITEMS_BY_ID[wanted["item"]]["price"]}


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
