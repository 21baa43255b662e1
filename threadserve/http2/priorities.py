"""The priorities that clients ask for (RFC 9218 sections 4 and 8).

Runs on the connection's loop thread; keeps nothing.
"""

import re
from typing import NamedTuple

# The members of the field that mean something, as a dictionary of structured fields has them (RFC 8941 section 3.2).
_urgency = re.compile(rb"u=([0-7])")
_incremental = re.compile(rb"i(?:=\?([01]))?")


class Priority(NamedTuple):
    """From 0, the most urgent, to 7, and whether parts of the response are of use before the rest is there."""

    urgency: int
    is_incremental: bool


# Who says nothing of priorities may speak for many users, and shares evenly.
UNSAID = Priority(3, True)
# What the members are that a priority does not say.
DEFAULT = Priority(3, False)


def read_priority(value: bytes) -> Priority:
    """The priority that a field's value tells; what is malformed in it is as good as not there."""
    urgency, is_incremental = DEFAULT
    for member in value.split(b","):
        member = member.partition(b";")[0].strip(b" \t")
        if match := _urgency.fullmatch(member):
            urgency = int(match[1])
        elif match := _incremental.fullmatch(member):
            is_incremental = match[1] != b"0"
    return Priority(urgency, is_incremental)
