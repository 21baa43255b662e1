"""Limits that no setting decides: how long clients and applications may take, and how much may be buffered.

Read on each loop's thread and never written: a test that wants others gives a server its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits, in seconds and bytes.

    Time. A tick refreshes the date and looks at deadlines; a deadline set between two ticks counts from the next. A
    client may take `linger_seconds` to end its side after the last answer, `close_seconds` to take that answer where
    the end has to be told over TLS or in a WebSocket's frames, and `write_stall_seconds` between two parts of it. A
    loop releases a connection that has been idle for `idle_release_seconds`; one that was wanted again at once it keeps
    for `busy_seconds`. During a shutdown, an idle client has `idle_grace_seconds` for a request that is under way, and
    one that has begun a handshake or a head `partial_grace_seconds`.

    Writing. A response's head waits `late_head_seconds` for its body. Writes may wait `batch_seconds` for others of the
    same turn of the loop. Where nothing is sent for `blocked_seconds` in the middle of a turn, an application blocks
    the loop, and for `unbatched_seconds` no write waits there. `clock` measures these three.

    Bytes. `read_ahead_bytes` are buffered of later requests, `body_buffer_bytes` of a body that the application has not
    asked for, and `max_discard_bytes` are read past of a body that it never asked for. The line of a chunk and the
    trailers of a body have limits too.

    HTTP/2. A connection has at most `max_streams` at once, whose clients may send `stream_window_bytes` ahead on each,
    and `connection_window_bytes` on all; `stream_buffer_bytes` of a response are buffered on each. After
    `frames_per_turn` frames other connections have their turn. In `budget_seconds` a client may reset `max_resets`
    streams, or have as many reset by its faults, and send `max_control_frames` that carry nothing for an application.
    """

    tick_seconds: float = 0.5
    shutdown_tick_seconds: float = 0.1
    linger_seconds: float = 2.0
    close_seconds: float = 10.0
    write_stall_seconds: float = 60.0
    idle_release_seconds: float = 1.0
    busy_seconds: float = 0.5
    idle_grace_seconds: float = 1.0
    partial_grace_seconds: float = 2.0
    late_head_seconds: float = 0.1
    batch_seconds: float = 0.0005
    blocked_seconds: float = 0.01
    unbatched_seconds: float = 0.5
    clock: Callable[[], float] = perf_counter
    read_ahead_bytes: int = 65536
    body_buffer_bytes: int = 65536
    max_discard_bytes: int = 4 * 1024 * 1024
    max_chunk_line_bytes: int = 1024
    max_trailers_bytes: int = 16384
    max_streams: int = 100
    stream_window_bytes: int = 262144
    connection_window_bytes: int = 4 * 1024 * 1024
    stream_buffer_bytes: int = 65536
    frames_per_turn: int = 32
    budget_seconds: float = 10.0
    max_resets: int = 200
    max_control_frames: int = 1000
