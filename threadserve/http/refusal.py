"""The answer to a request that never reaches the application.

Runs on the connection's loop thread; owns nothing and never touches a transport.
"""

from http import HTTPStatus

CRLF = b"\r\n"


class Refusal(Exception):
    """A request that is refused: `status` is the HTTP status and `reason` one line that names the fault.

    `fields` are the complete lines of headers that this answer carries beyond those of every response.
    """

    def __init__(self, status: int, reason: str, fields: bytes = b"") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.fields = fields


def bad_request(reason: str) -> Refusal:
    """A refusal with 400 (RFC 9110 section 15.5.1)."""
    return Refusal(400, reason)


def refusal_answer(refusal: Refusal, default_fields: bytes) -> bytes:
    """The whole response to a refused request, which is the last on its connection.

    `default_fields` are the complete lines of date, server and other headers that every response carries.
    """
    body = f"{refusal.reason}\n".encode("latin-1", "backslashreplace")
    return b"".join(
        (
            status_line(refusal.status),
            default_fields,
            refusal.fields,
            b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body),
            body,
        )
    )


def status_line(status: int) -> bytes:
    """The status line of a response, with its CRLF; the phrase is empty for a status without one (RFC 9112 4)."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %s\r\n" % (status, phrase.encode())
