"""The scan of a request's head: the whole strict grammar of RFC 9112, and the fields, in one go.

The twin, in Python, of `scan.pyx`, which is compiled and does the same on pointers. A scanner belongs to one loop and
runs on its thread; it never says what is wrong with a head that it does not take.
"""

import re
import sys

from threadserve.http1.grammar import FIELD_PARTS, HEAD, METHODS
from threadserve.http1.rules import SPECIAL
from threadserve.types import Headers

Scanned = tuple[int, str, bytes, bool, Headers, Headers]

VERSION = b" HTTP/1.1\r\n"


class Scanner:
    """Scans the heads of one loop's requests; `number` is the loop's.

    A pattern counts its references, and threads that share one wait for each other: each loop has patterns, a table and
    a set of its own. The number, as a comment, makes the patterns distinct.
    """

    __slots__ = ("_fields", "_match", "_methods", "_special")

    def __init__(self, number: int) -> None:
        comment = b"(?#%d)" % number
        self._match = re.compile(HEAD + comment).match
        self._fields = re.compile(FIELD_PARTS + comment).findall
        self._methods = {method: sys.intern(method.decode()) for method in METHODS}
        self._special = set(SPECIAL)

    def scan(self, data: bytes, position: int) -> Scanned | None:
        """Scans the head at `position`; returns None where these bytes are no whole, acceptable head.

        Returns where the head ends, its method and target, whether it is of HTTP/1.1, all its fields, names in lower
        case and values without white space around them, and those among them that `SPECIAL` lists.
        """
        match = self._match(data, position)
        if match is None:
            return None
        end = match.end()
        method, target, digit = match.groups()
        fields = self._fields(data, match.end(2) + len(VERSION), end)
        headers = [(name.lower(), value.rstrip(b"\t ")) for name, value in fields]
        names = self._special
        special = [field for field in headers if field[0] in names]
        return end, self._methods[method], target, digit is None, headers, special
