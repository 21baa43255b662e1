"""The status page: one file that loads nothing from elsewhere.

Read once, when the module is imported; any thread may use it.
"""

import base64
import hashlib
import re
from importlib.resources import files
from typing import NamedTuple

INLINE_ELEMENT = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


class Page(NamedTuple):
    """The text of the page, and the content security policy (CSP level 3) by which browsers run only its own code."""

    text: str
    policy: str


def build_page(text: str) -> Page:
    """Return the page with its policy: the hashes of its style and script, and its own server for requests."""
    hashes = {kind: hash_inline_source(inline) for kind, inline in INLINE_ELEMENT.findall(text)}
    sources = "".join(f"; {kind}-src '{value}'" for kind, value in hashes.items())
    return Page(text, f"default-src 'none'; connect-src 'self'; base-uri 'none'{sources}")


def hash_inline_source(inline: str) -> str:
    """Return the hash by which a policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()


PAGE = build_page(files("threadserve.admin").joinpath("status.html").read_text("utf-8"))
