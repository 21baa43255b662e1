"""Access-log formats: what a line needs to know of a request, and the line made of it.

A format is made when a loop or the writer starts, and belongs to the thread that made it; it is never written
afterwards. A loop asks it which header fields to keep, the writer for lines. It never touches a request.

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
from functools import partial
from typing import NamedTuple, Protocol, cast

from threadserve.logging.wording import format_utc_time

JSON = "json"
NOTHING = "-"
QUEUE_TIME = "Q"

TOKEN = re.compile(r"%(?:%|\((?P<name>[^()]*)\)(?P<style>[-#0 +]*\d{0,3}(?:\.\d{1,3})?[a-z])|)")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
UNSAFE = re.compile(r'[^ -~]|["\\]')
NAMED = re.compile(r"\{([^{}]+)\}([ioe])")


class AccessFacts(NamedTuple):
    """What a format may tell of one answered request.

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
    """How a line of the access log is made. The names of the header fields that it needs are in lower case.

    `environ_names` are variables of a WSGI application's environ, in any case. `wants_queue_time` says whether it tells
    how long requests have waited in proxies.
    """

    request_names: list[bytes]
    response_names: list[bytes]
    environ_names: list[str]
    wants_queue_time: bool

    def line(self, facts: AccessFacts) -> str:
        """The line for one request, without its newline."""
        ...


def access_format(text: str | None) -> AccessFormat | None:
    """The format that a setting asks for, which has no problem; None is for the default line."""
    if text is None:
        return None
    return JsonFormat() if text == JSON else AtomFormat(text)


def check_format(text: str) -> str | None:
    """What is wrong with the text of a format, or None."""
    if text == JSON:
        return None
    tokens = list(TOKEN.finditer(text))
    if not any(token["name"] for token in tokens):
        return f"{text!r} is neither {JSON} nor a text with atoms such as %(h)s"
    return next((problem for token in tokens if (problem := _check_token(text, token))), None)


def _check_token(text: str, token: re.Match[str]) -> str | None:
    name, style = token["name"], token["style"]
    if token[0] == "%%":
        return None
    if name is None:
        return f"{text[token.start() :][:12]!r}: an atom is written %(h)s, and a percent sign %%"
    if name not in ATOMS and not NAMED.fullmatch(name):
        return f"there is no atom {token[0]}; there are {' '.join(ATOMS)} and {{header}}i {{header}}o {{variable}}e"
    try:
        f"%{style}" % (0 if name in NUMBERS else "")
    except (TypeError, ValueError):
        return f"{token[0]} cannot be written so; write %({name})s"
    return None


class AtomFormat:
    """A text with atoms (https://docs.gunicorn.org/en/stable/settings.html, `access_log_format`)."""

    def __init__(self, text: str) -> None:
        self.request_names: list[bytes] = []
        self.response_names: list[bytes] = []
        self.environ_names: list[str] = []
        self.wants_queue_time = any(token["name"] == QUEUE_TIME for token in TOKEN.finditer(text))
        self._readers = [self._reader(token["name"]) for token in TOKEN.finditer(text) if token["name"]]
        self._text = TOKEN.sub(lambda token: f"%{token['style']}" if token["name"] else token[0], text)

    def line(self, facts: AccessFacts) -> str:
        """The line for one request, without its newline."""
        return self._text % tuple([read(facts) for read in self._readers])

    def _reader(self, name: str) -> Callable[[AccessFacts], str | int]:
        """What gives the value of an atom, ready to be written; remembers the header field that it needs."""
        if name in NUMBERS:
            return NUMBERS[name]
        if name == "u":
            position = remember("authorization", self.request_names)
            return lambda facts: user_text(facts.request_fields[position])
        if name in TEXTS:
            return partial(escaped_text, TEXTS[name])
        field, of = cast("re.Match[str]", NAMED.fullmatch(SHORT.get(name, name))).groups()
        if of == "e":
            return self._variable_reader(field)
        if of == "i":
            position = remember(field, self.request_names)
            return lambda facts: escaped(facts.request_fields[position] or NOTHING)
        position = remember(field, self.response_names)
        return lambda facts: escaped(facts.response_fields[position] or NOTHING)

    def _variable_reader(self, name: str) -> Callable[[AccessFacts], str]:
        """What gives the value of a variable: the request's, or else that of the process."""
        of_process = escaped(os.environ.get(name, os.environ.get(name.upper(), NOTHING)))
        position = len(self.environ_names)
        self.environ_names.append(name)

        def read(facts: AccessFacts) -> str:
            value = facts.environ[position] if facts.environ else None
            return of_process if value is None else escaped(value)

        return read


class JsonFormat:
    """One JSON object per line, always with the same keys; what a request does not have is null."""

    def __init__(self) -> None:
        self.request_names = [b"authorization", b"host", b"referer", b"user-agent"]
        self.response_names: list[bytes] = []
        self.environ_names: list[str] = []
        self.wants_queue_time = True

    def line(self, facts: AccessFacts) -> str:
        """The line for one request, without its newline."""
        authorization, host, referer, user_agent = facts.request_fields
        return json.dumps(
            {
                "time": format_utc_time(facts.ended),
                "client": facts.host or None,
                "user": readable(basic_user(authorization)),
                "method": facts.method,
                "scheme": facts.scheme,
                "host": readable(host),
                "path": readable(facts.path),
                "query": readable(facts.query),
                "protocol": f"HTTP/{facts.version}",
                "status": facts.status,
                "bytes": facts.sent,
                "duration": round(facts.seconds, 6),
                "first_byte": round(facts.first_byte, 6),
                "queued": round(facts.queued, 6) if facts.queued is not None else None,
                "referer": readable(referer),
                "user_agent": readable(user_agent),
                "pid": os.getpid(),
                "thread": facts.thread,
            }
        )


def remember(name: str, names: list[bytes]) -> int:
    """Puts a header field's name among others, once; returns its position."""
    key = name.lower().encode("latin-1", "replace")
    if key not in names:
        names.append(key)
    return names.index(key)


def escaped(value: str | bytes) -> str:
    """A value of a client's in printable ASCII, without a quote or a backslash that is not an escape."""
    raw = value.encode("utf-8", "backslashreplace") if isinstance(value, str) else value
    return UNSAFE.sub(escape, raw.decode("latin-1"))


def escape(match: re.Match[str]) -> str:
    """The escape for one character that stands for a byte."""
    return f"\\{match[0]}" if match[0] in '"\\' else f"\\x{ord(match[0]):02x}"


def escaped_text(read: Callable[[AccessFacts], str | bytes], facts: AccessFacts) -> str:
    """The value of an atom, escaped."""
    return escaped(read(facts))


def user_text(authorization: bytes | None) -> str:
    """A user's name for a format. It usually stands without quotes, so a blank in it is escaped too."""
    return escaped(basic_user(authorization) or NOTHING).replace(" ", "\\x20")


def basic_user(authorization: bytes | None) -> bytes:
    """The user's name in the value of an Authorization field, or nothing (RFC 7617)."""
    scheme, _, credentials = (authorization or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
    except binascii.Error:
        return b""


def readable(value: bytes | None) -> str | None:
    """Bytes of a client's as text, None where there are none; what is not UTF-8 is shown as an escape."""
    return value.decode("utf-8", "backslashreplace") if value else None


def clf_time(facts: AccessFacts) -> str:
    """The time as the Common Log Format has it, whatever the locale calls the months."""
    at = time.localtime(facts.ended)
    return f"[{at.tm_mday:02}/{MONTHS[at.tm_mon - 1]}/{time.strftime('%Y:%H:%M:%S %z', at)}]"


def below_mount(path: bytes) -> bytes:
    """A path without that below which `$SCRIPT_NAME` says the application is mounted."""
    mount = os.fsencode(os.environ.get("SCRIPT_NAME", "").rstrip("/"))
    return path.removeprefix(mount) if path.startswith(mount + b"/") or path == mount else path


def request_line(facts: AccessFacts) -> bytes:
    """The first line of a request."""
    return b"%b %b HTTP/%b" % (facts.method.encode(), facts.target, facts.version.encode())


TEXTS: dict[str, Callable[[AccessFacts], str | bytes]] = {
    "h": lambda facts: facts.host or NOTHING,
    "l": lambda facts: NOTHING,
    "t": clf_time,
    "r": request_line,
    "m": lambda facts: facts.method,
    "U": lambda facts: below_mount(facts.path),
    "q": lambda facts: facts.query,
    "H": lambda facts: f"HTTP/{facts.version}",
    "b": lambda facts: str(facts.sent or NOTHING),
    "L": lambda facts: f"{facts.seconds:.6f}",
    "p": lambda facts: f"<{os.getpid()}>",
    "F": lambda facts: f"{facts.first_byte:.6f}",
    QUEUE_TIME: lambda facts: f"{facts.queued:.6f}" if facts.queued is not None else NOTHING,
}
NUMBERS: dict[str, Callable[[AccessFacts], int]] = {
    "s": lambda facts: facts.status,
    "B": lambda facts: facts.sent,
    "T": lambda facts: int(facts.seconds),
    "M": lambda facts: int(facts.seconds * 1_000),
    "D": lambda facts: int(facts.seconds * 1_000_000),
    "N": lambda facts: facts.thread,
}
SHORT = {"f": "{referer}i", "a": "{user-agent}i"}
ATOMS = (*TEXTS, *NUMBERS, *SHORT, "u")
