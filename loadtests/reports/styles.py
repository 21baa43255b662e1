"""How each server is drawn: one stable colour and marker for each product, the same in all plots and reports.

The colours differ for people with every kind of colour blindness, by lightness where not by hue. Each has a partner for
dark backgrounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loadtests.reports.summary import OURS, is_ours

LineStyle = Literal["-", "--", ":", "-."]

INK, FAINT, GRID, SURFACE = "#1f2328", "#656d76", "#e3e6ea", "#fefefe"


@dataclass(frozen=True)
class Product:
    """Its colours on white and on black, and its marker."""

    light: str
    dark: str
    marker: str


PRODUCTS = {
    OURS: Product("#d1440c", "#ff8147", "o"),
    "uvicorn": Product("#396df3", "#5b94ff", "s"),
    "granian": Product("#2ab373", "#3fe0b0", "^"),
    "h2corn": Product("#a8174f", "#ffb3c7", "p"),
    "hypercorn": Product("#d044b9", "#e083ee", "D"),
    "daphne": Product("#3d3213", "#efe54f", "P"),
    "gunicorn": Product("#110670", "#8a63ff", "v"),
    "waitress": Product("#134e77", "#b0ebf7", "X"),
    "cheroot": Product("#6b6b6b", "#949494", "h"),
}
UNKNOWN = Product("#531336", "#e0406c", "*")

# What a plot's colours become on a dark page, beside the servers'.
DARK = {INK: "#e6edf3", FAINT: "#9198a1", GRID: "#30363d", SURFACE: "#0d1117"} | {
    product.light: product.dark for product in (*PRODUCTS.values(), UNKNOWN)
}
LINES: tuple[LineStyle, ...] = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Style:
    """Of one server; those of one product differ by `line`. threadserve is `strong`."""

    colour: str
    marker: str
    line: LineStyle
    strong: bool

    @property
    def width(self) -> float:
        """Of lines, in points."""
        return 2.6 if self.strong else 1.5

    @property
    def opacity(self) -> float:
        """Of areas."""
        return 1.0 if self.strong else 0.6

    @property
    def weight(self) -> str:
        """Of the font."""
        return "bold" if self.strong else "normal"

    @property
    def layer(self) -> int:
        """threadserve is drawn above the others."""
        return 4 if self.strong else 3


def styles(servers: Sequence[str]) -> dict[str, Style]:
    """The style of each server, where the names begin with the product's."""
    found: dict[str, Style] = {}
    for server in servers:
        product = product_of(server)
        seen = sum(style.colour == product.light for style in found.values())
        found[server] = Style(product.light, product.marker, LINES[seen % len(LINES)], is_ours(server))
    return found


def product_of(server: str) -> Product:
    name = server.casefold()
    return next((product for known, product in PRODUCTS.items() if name.startswith(known)), UNKNOWN)
