"""The scan of a request's head: the whole strict grammar of RFC 9112, and the fields, in one pass.

The Python form of `scan.pyx`, which is compiled and does the same on pointers. A scanner belongs to one loop and runs
on its thread; it never says what is wrong with a head that it does not take.
"""

import re
import sys

from threadserve.http.grammar import METHODS
from threadserve.http1.framing import CONTROL_FIELDS
from threadserve.http1.grammar import CRLF, HEAD_PATTERN
from threadserve.types import Headers

VERSION_AND_CRLF = b" HTTP/1.1\r\n"


class HeadScanner:
    """Scans the heads of one loop's requests; `number` is the loop's.

    A pattern counts its references, and threads that share one wait for each other: each loop has a pattern, a table
    and a set of its own. The number, as a comment, makes the pattern distinct.
    """

    __slots__ = ("_control_fields", "_match", "_methods")

    def __init__(self, number: int) -> None:
        self._match = re.compile(HEAD_PATTERN + b"(?#%d)" % number).match
        self._methods = {method: sys.intern(method.decode()) for method in METHODS}
        self._control_fields = set(CONTROL_FIELDS)

    def scan(self, data: bytes, position: int) -> tuple[int, str, bytes, bool, Headers, Headers] | None:
        """Scan the head at `position`; return None where these bytes are no whole, acceptable head.

        Returns where the head ends, its method and target, whether it is of HTTP/1.1, all its fields, names in lower
        case and values without white space around them, and those among them that `CONTROL_FIELDS` lists.
        """
        match = self._match(data, position)
        if match is None:
            return None
        end = match.end()
        method, target, digit = match.groups()
        headers = []
        control_fields = []
        control_names = self._control_fields
        for line in data[match.end(2) + len(VERSION_AND_CRLF) : end - len(CRLF)].splitlines():
            name, _, value = line.partition(b":")
            name = name.lower()
            field = (name, value.strip(b"\t "))
            headers.append(field)
            if name in control_names:
                control_fields.append(field)
        return end, self._methods[method], target, digit is None, headers, control_fields
