"""Access-log formats: the facts that a line needs of a request, and the line made of them.

A format is made when a loop or the writer starts, belongs to the thread that made it, and is never written afterwards.
A loop reads in it which header fields to keep, the writer formats lines. It never touches a request.

A format is a text with Gunicorn's atoms, such as `%(h)s`, and three more, or `json`. What comes from clients is escaped
as Apache does it, so that it can neither end a line or a quoted value nor forge another: `\\xNN`, `\\"` and `\\\\`.
"""

import base64
import binascii
import json
import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from threadserve.logging.wording import format_utc_time

JSON_FORMAT = "json"
ABSENT = "-"
QUEUE_TIME_ATOM = "Q"

ATOM = re.compile(r"%(?:%|\((?P<name>[^()]*)\)(?P<style>[-#0 +]*\d{0,3}(?:\.\d{1,3})?[a-z])|)")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
UNSAFE_CHARACTER = re.compile(r'[^ -~]|["\\]')
FIELD_ATOM = re.compile(r"\{([^{}]+)\}([ioe])")


class AccessFacts(NamedTuple):
    """The facts that a format may tell of one answered request.

    `label` is the client as the log names it and `host` its address, both "" where it has none. `sent` counts the bytes
    of the response's body, without its framing. `seconds` is the time from the request's head to the last byte of the
    response, which was at `ended`, in seconds of the epoch. The next three are the values of what the format named: of
    header fields, and of variables of a WSGI application's environ, or nothing where there is no such environ.
    `first_byte` is the time from the head to the first byte of the response, and `queued` how long the request had
    waited in proxies before, if that is known; `thread` is the number of the loop.
    """

    label: str
    host: str
    method: str
    path: bytes
    query: bytes
    version: str
    scheme: str
    status: int
    sent: int
    seconds: float
    ended: float
    request_fields: tuple[bytes | None, ...]
    response_fields: tuple[bytes | None, ...]
    environ: tuple[bytes | None, ...] = ()
    first_byte: float = 0.0
    queued: float | None = None
    thread: int = 1

    @property
    def target(self) -> bytes:
        """The path with the query string."""
        return b"%b?%b" % (self.path, self.query) if self.query else self.path


class AccessFormat(Protocol):
    """A format of lines of the access log. The names of the header fields that it needs are in lower case.

    `environ_names` are variables of a WSGI application's environ, in any case. `wants_queue_time` says whether it tells
    how long requests have waited in proxies.
    """

    request_names: list[bytes]
    response_names: list[bytes]
    environ_names: list[str]
    wants_queue_time: bool

    def format_line(self, facts: AccessFacts) -> str:
        """Return the line for one request, without its newline."""
        ...


def make_access_format(text: str | None) -> AccessFormat | None:
    """Return the format that a checked setting asks for; None is for the default line."""
    if text is None:
        return None
    return JsonFormat() if text == JSON_FORMAT else AtomFormat(text)


def check_format(text: str) -> str | None:
    """Return what is wrong with the text of a format, or None."""
    if text == JSON_FORMAT:
        return None
    atoms = list(ATOM.finditer(text))
    if not any(atom["name"] for atom in atoms):
        return f"{text!r} is neither {JSON_FORMAT} nor a text with atoms such as %(h)s"
    return next((problem for atom in atoms if (problem := _check_atom(text, atom))), None)


def _check_atom(text: str, atom: re.Match[str]) -> str | None:
    name, style = atom["name"], atom["style"]
    if atom[0] == "%%":
        return None
    if name is None:
        return f"{text[atom.start() :][:12]!r}: an atom is written %(h)s, and a percent sign %%"
    if name not in ATOMS and not FIELD_ATOM.fullmatch(name):
        return f"there is no atom {atom[0]}; there are {' '.join(ATOMS)} and {{header}}i {{header}}o {{variable}}e"
    try:
        f"%{style}" % (0 if name in NUMBER_ATOMS else "")
    except (TypeError, ValueError):
        return f"{atom[0]} cannot be written so; write %({name})s"
    return None


class AtomFormat:
    """A text with atoms (https://docs.gunicorn.org/en/stable/settings.html, `access_log_format`)."""

    def __init__(self, text: str) -> None:
        self.request_names: list[bytes] = []
        self.response_names: list[bytes] = []
        self.environ_names: list[str] = []
        self.wants_queue_time = any(atom["name"] == QUEUE_TIME_ATOM for atom in ATOM.finditer(text))
        self._readers = [self._make_reader(atom["name"]) for atom in ATOM.finditer(text) if atom["name"]]
        self._text = ATOM.sub(lambda atom: f"%{atom['style']}" if atom["name"] else atom[0], text)

    def format_line(self, facts: AccessFacts) -> str:
        """Return the line for one request, without its newline."""
        return self._text % tuple([read(facts) for read in self._readers])

    def _make_reader(self, name: str) -> Callable[[AccessFacts], str | int]:
        """Return a function that gives an atom's value as text, and add the header field that it needs."""
        if name in NUMBER_ATOMS:
            return NUMBER_ATOMS[name]
        if name == "u":
            position = add_name("authorization", self.request_names)
            return lambda facts: format_user(facts.request_fields[position])
        if name in TEXT_ATOMS:
            read = TEXT_ATOMS[name]
            return lambda facts: escape_text(read(facts))
        match = FIELD_ATOM.fullmatch(ABBREVIATIONS.get(name, name))
        assert match is not None
        field, of = match.groups()
        if of == "e":
            return self._make_variable_reader(field)
        if of == "i":
            position = add_name(field, self.request_names)
            return lambda facts: escape_text(facts.request_fields[position] or ABSENT)
        position = add_name(field, self.response_names)
        return lambda facts: escape_text(facts.response_fields[position] or ABSENT)

    def _make_variable_reader(self, name: str) -> Callable[[AccessFacts], str]:
        """Return a function that gives the value of a variable: the request's, or else that of the process."""
        of_process = escape_text(os.environ.get(name, os.environ.get(name.upper(), ABSENT)))
        position = len(self.environ_names)
        self.environ_names.append(name)

        def read(facts: AccessFacts) -> str:
            value = facts.environ[position] if facts.environ else None
            return of_process if value is None else escape_text(value)

        return read


class JsonFormat:
    """One JSON object per line, always with the same keys; what a request does not have is null."""

    def __init__(self) -> None:
        self.request_names = [b"authorization", b"host", b"referer", b"user-agent"]
        self.response_names: list[bytes] = []
        self.environ_names: list[str] = []
        self.wants_queue_time = True

    def format_line(self, facts: AccessFacts) -> str:
        """Return the line for one request, without its newline."""
        authorization, host, referer, user_agent = facts.request_fields
        return json.dumps(
            {
                "time": format_utc_time(facts.ended),
                "client": facts.host or None,
                "user": decode_or_none(parse_basic_user(authorization)),
                "method": facts.method,
                "scheme": facts.scheme,
                "host": decode_or_none(host),
                "path": decode_or_none(facts.path),
                "query": decode_or_none(facts.query),
                "protocol": f"HTTP/{facts.version}",
                "status": facts.status,
                "bytes": facts.sent,
                "duration": round(facts.seconds, 6),
                "first_byte": round(facts.first_byte, 6),
                "queued": round(facts.queued, 6) if facts.queued is not None else None,
                "referer": decode_or_none(referer),
                "user_agent": decode_or_none(user_agent),
                "pid": os.getpid(),
                "thread": facts.thread,
            }
        )


def add_name(name: str, names: list[bytes]) -> int:
    """Add a header field's name to others, once, and return its position."""
    key = name.lower().encode("latin-1", "replace")
    if key not in names:
        names.append(key)
    return names.index(key)


def escape_text(value: str | bytes) -> str:
    """Return a client's value in printable ASCII, without a quote or a backslash that is not an escape."""
    raw = value.encode("utf-8", "backslashreplace") if isinstance(value, str) else value
    return UNSAFE_CHARACTER.sub(_escape_character, raw.decode("latin-1"))


def _escape_character(match: re.Match[str]) -> str:
    """Return the escape for one character that stands for a byte."""
    return f"\\{match[0]}" if match[0] in '"\\' else f"\\x{ord(match[0]):02x}"


def format_user(authorization: bytes | None) -> str:
    """Return a user's name for a format. It usually stands without quotes, so a blank in it is escaped too."""
    return escape_text(parse_basic_user(authorization) or ABSENT).replace(" ", "\\x20")


def parse_basic_user(authorization: bytes | None) -> bytes:
    """Return the user's name in the value of an Authorization field, or b"" (RFC 7617)."""
    scheme, _, credentials = (authorization or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
    except binascii.Error:
        return b""


def decode_or_none(value: bytes | None) -> str | None:
    """Return a client's bytes as text, or None where there are none; what is not UTF-8 becomes an escape."""
    return value.decode("utf-8", "backslashreplace") if value else None


def format_clf_time(facts: AccessFacts) -> str:
    """Return the time as the Common Log Format has it, in English whatever the locale."""
    at = time.localtime(facts.ended)
    return f"[{at.tm_mday:02}/{MONTHS[at.tm_mon - 1]}/{time.strftime('%Y:%H:%M:%S %z', at)}]"


def remove_mount(path: bytes) -> bytes:
    """Return a path without `$SCRIPT_NAME`, below which the application is mounted."""
    mount = os.fsencode(os.environ.get("SCRIPT_NAME", "").rstrip("/"))
    return path.removeprefix(mount) if path.startswith(mount + b"/") or path == mount else path


def format_request_line(facts: AccessFacts) -> bytes:
    """Return the first line of a request."""
    return b"%b %b HTTP/%b" % (facts.method.encode(), facts.target, facts.version.encode())


TEXT_ATOMS: dict[str, Callable[[AccessFacts], str | bytes]] = {
    "h": lambda facts: facts.host or ABSENT,
    "l": lambda facts: ABSENT,
    "t": format_clf_time,
    "r": format_request_line,
    "m": lambda facts: facts.method,
    "U": lambda facts: remove_mount(facts.path),
    "q": lambda facts: facts.query,
    "H": lambda facts: f"HTTP/{facts.version}",
    "b": lambda facts: str(facts.sent or ABSENT),
    "L": lambda facts: f"{facts.seconds:.6f}",
    "p": lambda facts: f"<{os.getpid()}>",
    "F": lambda facts: f"{facts.first_byte:.6f}",
    QUEUE_TIME_ATOM: lambda facts: f"{facts.queued:.6f}" if facts.queued is not None else ABSENT,
}
NUMBER_ATOMS: dict[str, Callable[[AccessFacts], int]] = {
    "s": lambda facts: facts.status,
    "B": lambda facts: facts.sent,
    "T": lambda facts: int(facts.seconds),
    "M": lambda facts: int(facts.seconds * 1_000),
    "D": lambda facts: int(facts.seconds * 1_000_000),
    "N": lambda facts: facts.thread,
}
ABBREVIATIONS = {"f": "{referer}i", "a": "{user-agent}i"}
ATOMS = (*TEXT_ATOMS, *NUMBER_ATOMS, *ABBREVIATIONS, "u")
