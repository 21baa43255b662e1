"""The grammar of RFC 9112 as patterns, and the reasons for refusing what does not match.

One strict grammar decides what is a request, with every parser. Runs on the connection's loop thread; keeps no state
and never changes the bytes.
"""

import re

from threadserve.http.errors import HTTPError, bad_request
from threadserve.http.grammar import METHODS, TARGET_BYTE, TOKEN, VALUE_BYTE, quote_bytes

CRLF = b"\r\n"
BLANK_LINE = CRLF + CRLF

FIELD_LINE = TOKEN + rb"++:%b*+\r\n" % VALUE_BYTE
# In origin-form and absolute-form (RFC 9112 section 3.2).
TARGET = rb"/%b*+|[Hh][Tt][Tt][Pp][Ss]?://%b++" % (TARGET_BYTE, TARGET_BYTE)
# Three groups: the method, the target, and the last digit of HTTP/1.0.
REQUEST_LINE = rb"(%b) (%b|(?<=OPTIONS )\*) HTTP/1\.(?:1|(0))\r\n" % (b"|".join(METHODS), TARGET)
HEAD_PATTERN = REQUEST_LINE + b"(?:" + FIELD_LINE + rb")*+\r\n"

FIELD_LINE_PATTERN = re.compile(b"(" + TOKEN + rb"++):[\t ]*+(%b*+)\r\n" % VALUE_BYTE)
TRAILERS_PATTERN = re.compile(b"(?:" + FIELD_LINE + rb")*+\r\n")
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
# White space around ";" and "=" is taken, but not behind the size or an extension (RFC 9112 section 7.1.1).
BWS = rb"[\t ]*+"
EXTENSION_MARK = BWS + b";" + BWS
EXTENSION_VALUE = BWS + b"=" + BWS + b"(?:" + TOKEN + b"++|" + QUOTED
CHUNK_EXTENSION = EXTENSION_MARK + TOKEN + b"++(?:" + EXTENSION_VALUE + b"))?"
BEGUN_EXTENSION = EXTENSION_MARK + b"(?:" + TOKEN + b"++(?:" + EXTENSION_VALUE + b"|" + QUOTED[:-1] + rb"\\?+)?)?)?"
MAX_CHUNK_SIZE_DIGITS = 15
CHUNK_LINE_PATTERN = re.compile(rb"([0-9A-Fa-f]{1,%d})(?:%b)*+\r\n" % (MAX_CHUNK_SIZE_DIGITS, CHUNK_EXTENSION))

_request_line_bytes = re.compile(rb"[\x20-\x7e]*+(?:\r\n?+)?")
_field_line_bytes = re.compile(VALUE_BYTE + rb"*+(?:\r\n?+)?")
# The part of a chunk's line that is well formed: its size, whole extensions, and the beginning of another.
_chunk_line = re.compile(rb"([0-9A-Fa-f]*+)(?:%b(?=[\t ]*+;|\r))*+(%b)?" % (CHUNK_EXTENSION, BEGUN_EXTENSION))
_token = re.compile(TOKEN + rb"++")
_version = re.compile(rb"HTTP/[0-9]\.[0-9]")
_target = re.compile(TARGET)


def check_partial_head(data: bytes, start: int, unchecked: int, limit: int) -> int:
    """Raise `HTTPError` if the bytes from `start` cannot become a head, or are longer than `limit` bytes.

    The bytes before the line at `unchecked` are known to be good. Returns where the last, incomplete line begins.
    Positions in the error's reason count from `start`.
    """
    unchecked = check_lines(data, start, unchecked, has_request_line=True)
    if len(data) - start > limit:
        raise head_too_long(data[start:], limit)
    return unchecked


def check_lines(data: bytes, start: int, unchecked: int, *, has_request_line: bool) -> int:
    """Raise `HTTPError` at the first fault in the lines from `unchecked` to an empty one or to the end of the data.

    Returns where the line begins that is not complete. Without `has_request_line` all lines from `start` are fields, as
    in trailers.
    """
    while (end := data.find(b"\n", unchecked) + 1) != 0:
        check_line(data, start, unchecked, end, has_request_line and unchecked == start)
        if data[unchecked:end] == b"\r\n":
            return unchecked
        unchecked = end
    check_bytes(data, start, unchecked, len(data), has_request_line and unchecked == start)
    return unchecked


def check_line(data: bytes, start: int, position: int, end: int, is_request_line: bool) -> None:
    """Raise `HTTPError` if a whole line, from `position` to `end` with its LF, breaks the grammar."""
    check_bytes(data, start, position, end, is_request_line)
    if is_request_line:
        check_request_line(data[position : end - 2])
    elif end - position > 2 and not FIELD_LINE_PATTERN.fullmatch(data, position, end):
        name = data[position:end].partition(b":")[0]
        raise bad_request(f"malformed header field at byte {position - start}: {quote_bytes(name)}")


def check_bytes(data: bytes, start: int, position: int, end: int, is_request_line: bool) -> None:
    """Raise `HTTPError` at the first byte that its line may not have: a control, NUL, a bare CR or LF."""
    allowed = _request_line_bytes if is_request_line else _field_line_bytes
    match = allowed.match(data, position, end)
    stop = match.end() if match else position
    if stop < end:
        # A CR without an LF is matched as a line's end, but the fault is the CR itself.
        stop -= data[stop - 1 : stop] == b"\r" and stop > position
        line = "request line" if is_request_line else "header field"
        raise bad_request(f"byte 0x{data[stop]:02x} at position {stop - start} is not allowed in a {line}")


def check_chunk_line(data: bytes, start: int, limit: int) -> None:
    """Raise the `HTTPError` that fits a line that is no chunk's; return if it is only incomplete."""
    is_incomplete = data.find(b"\n", start) < 0 and _field_line_bytes.fullmatch(data, start)
    if is_incomplete and len(data) - start <= limit:
        return
    match = _chunk_line.match(data, start)
    size_end, stop = (match.end(1), match.end()) if match else (start, start)
    if size_end - start > MAX_CHUNK_SIZE_DIGITS:
        raise bad_request(f"a chunk size has more than {MAX_CHUNK_SIZE_DIGITS} digits")
    has_ended = match and match[1] and not match[2] and data.startswith((b"\r\n", b"\r"), stop)
    if stop == len(data) or (has_ended and len(data) - start > limit):
        raise bad_request(f"the line of a chunk size is longer than {limit} bytes")
    part = "size" if stop == size_end else "extension"
    raise bad_request(f"byte 0x{data[stop]:02x} at position {stop - start} is not allowed in a chunk {part}")


def check_request_line(line: bytes) -> None:
    """Raise the `HTTPError` that fits a request line (RFC 9112 section 3); return if nothing is wrong with it."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise bad_request("the request line is not a method, a target and a version")
    method, target, version = parts
    if not _version.fullmatch(version):
        raise bad_request(f"malformed HTTP version: {quote_bytes(version)}")
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise HTTPError(505, f"{quote_bytes(version)} is not supported here, only HTTP/1.1 and HTTP/1.0")
    if not _token.fullmatch(method):
        raise bad_request(f"malformed method: {quote_bytes(method)}")
    if method not in METHODS:
        raise HTTPError(501, f"method not implemented: {quote_bytes(method)}")
    if not _target.fullmatch(target) and (target != b"*" or method != b"OPTIONS"):
        raise bad_request(f"malformed request target: {quote_bytes(target)}")


def head_too_long(head: bytes, limit: int) -> HTTPError:
    """Return the error for a head longer than `limit` bytes: its request line's, if that is longer already."""
    if head.find(b"\n", 0, limit) < 0:
        return HTTPError(414, f"the request line is longer than {limit} bytes")
    return HTTPError(431, f"the head of the request is longer than {limit} bytes")


def head_too_large(data: bytes, start: int, end: int, size_limit: int, field_limit: int) -> HTTPError:
    """Return the error for a head, from `start` to `end`, with more bytes or more fields than allowed."""
    if end - start > size_limit:
        return head_too_long(data[start:end], size_limit)
    return HTTPError(431, f"more than {field_limit} header fields")
