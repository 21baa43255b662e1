"""The states of a WebSocket: of its connection, and of its session with the application.

Names only. `threadserve.http.states` says why the constants are plain integers.
"""

from enum import IntEnum


class ConnectionState(IntEnum):
    """The states of a connection after the opening handshake."""

    OPEN = 0
    CLOSING = 1
    """The server's close frame has been sent, and the client's is awaited."""
    ENDED = 2


class SessionState(IntEnum):
    """The states of a session."""

    CONNECTING = 0
    """The application has not answered the handshake."""
    DENYING = 1
    """The application sends a response in place of the handshake's answer."""
    ACCEPTED = 2
    CLOSED = 3
    """The application has closed or denied the WebSocket."""
    DISCONNECTED = 4
    """The client or the server has closed the WebSocket, or the connection is lost."""


OPEN = ConnectionState.OPEN.value
CLOSING = ConnectionState.CLOSING.value
ENDED = ConnectionState.ENDED.value

CONNECTING = SessionState.CONNECTING.value
DENYING = SessionState.DENYING.value
ACCEPTED = SessionState.ACCEPTED.value
CLOSED = SessionState.CLOSED.value
DISCONNECTED = SessionState.DISCONNECTED.value
