"""The priorities that clients ask for (RFC 9218 sections 4 and 8).

Runs on the connection's loop thread. Keeps no state.
"""

import re
from typing import NamedTuple

# The field's members that have a meaning, as members of a structured dictionary (RFC 8941 section 3.2).
_urgency = re.compile(rb"u=([0-7])")
_incremental = re.compile(rb"i(?:=\?([01]))?")


class Priority(NamedTuple):
    """The urgency, from 0 (most urgent) to 7, and whether parts of the response are useful before the rest."""

    urgency: int
    is_incremental: bool


# A client that sends no priorities may be a proxy for many users: its streams share evenly.
UNSPECIFIED = Priority(3, True)
# The defaults of members that a priority leaves out.
DEFAULT = Priority(3, False)


def parse_priority(value: bytes) -> Priority:
    """Return the priority in a field's value; malformed members are ignored."""
    urgency, is_incremental = DEFAULT
    for member in value.split(b","):
        member = member.partition(b";")[0].strip(b" \t")
        if match := _urgency.fullmatch(member):
            urgency = int(match[1])
        elif match := _incremental.fullmatch(member):
            is_incremental = match[1] != b"0"
    return Priority(urgency, is_incremental)
