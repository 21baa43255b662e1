"""The library's state of a connection, with what is decided here.

Belongs to one connection, on its loop's thread. It knows which frames may follow each other, compresses, and counts
windows; it never writes to a transport.
"""

from typing import Any

from h2.config import DummyLogger, H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from threadserve.http.bounds import Bounds
from threadserve.http2.field_blocks import BlockDecoder, BlockEncoder
from threadserve.http2.frames import MAX_FRAME_SIZE, data_frame_head
from threadserve.types import Field

# RFC 9218 section 2.1: the priorities of RFC 7540 mean nothing here.
NO_RFC7540_PRIORITIES: Any = 0x9
KNOWN_SETTINGS = frozenset(SettingCodes)
# A block may say twice what a request may, so that most that say too much are answered; more ends the connection.
DECODED = 2
# What has ended is cleared away when there are so many streams more than there were.
SPARE_STREAMS = 64


class Configuration(H2Configuration):
    """What the library is not to do: requests are looked through in `requests`, and responses made in `responses`.

    Plain attributes: the library reads them several times for every frame, and its own are properties.
    """

    client_side = False
    header_encoding = None
    validate_inbound_headers = False
    normalize_inbound_headers = False
    validate_outbound_headers = False
    normalize_outbound_headers = False

    def __init__(self) -> None:
        self.logger = QUIET


def nothing(*told: object) -> None:
    """Does nothing."""


class QuietLogger(DummyLogger):
    """Drops what the library tells of every frame."""

    debug = trace = staticmethod(nothing)


QUIET = QuietLogger()


class H2State(H2Connection):
    """What has been said on one connection."""

    # How many ended streams are remembered, for frames that were under way.
    MAX_CLOSED_STREAMS = 1000

    decoder: BlockDecoder
    encoder: BlockEncoder

    def __init__(self, bounds: Bounds, head_limit: int, websockets: bool) -> None:
        super().__init__(Configuration())
        self._cleared_at = SPARE_STREAMS
        self.decoder = BlockDecoder(head_limit * DECODED)
        self.encoder = BlockEncoder()
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: bounds.max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: bounds.stream_window_bytes,
                SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_SIZE,
                SettingCodes.MAX_HEADER_LIST_SIZE: head_limit,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: int(websockets),
                NO_RFC7540_PRIORITIES: 1,
            },
        )
        self.initiate_connection()
        self.increment_flow_control_window(bounds.connection_window_bytes - self.inbound_flow_control_window)

    @property
    def open_inbound_streams(self) -> int:
        """None, as far as the library is to know: it would end the connection over a stream too many.

        Who serves them refuses such a stream alone. Counting them clears away those that have ended.
        """
        if len(self.streams) > self._cleared_at:
            self._cleared_at = super().open_inbound_streams + SPARE_STREAMS
        return 0

    def send_block(self, stream_id: int, fields: list[Field], *, is_informational: bool, ends: bool) -> None:
        """Sends these fields as a header block: a response's, or trailers where that has been sent."""
        self.encoder.fields = tuple(fields)
        # All that the library has to know of them.
        status = [(b":status", b"100" if is_informational else b"200")]
        self.send_headers(stream_id, status, end_stream=ends)

    def large_data(self, stream_id: int, data: bytes) -> list[bytes]:
        """What is to be sent so far, and behind it a DATA frame, which is not its stream's last.

        The library would make the same frame, and copy the data six times.
        """
        size = len(data)
        self.outbound_flow_control_window -= size
        self.streams[stream_id].outbound_flow_control_window -= size
        return [self.data_to_send(), data_frame_head(stream_id, size), data]

    def close(self) -> None:
        """Forgets everything: the library's parts refer to one another. Nothing can be done with it any more."""
        vars(self).clear()

    def forget_unknown_settings(self) -> None:
        """Drops settings of the client's that nobody knows: the library would keep up to 65,536 of them."""
        for code in [code for code in self.remote_settings if code not in KNOWN_SETTINGS]:
            del self.remote_settings[code]
