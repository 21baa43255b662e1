"""The protocol state machine of a connection: the library's, with this server's settings.

Belongs to one connection, on its loop's thread. It checks the order of frames, compresses, and counts windows. It never
writes to a transport.
"""

from typing import Any

from h2.config import DummyLogger, H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from threadserve.http.bounds import Bounds
from threadserve.http2.field_blocks import BlockDecoder, BlockEncoder
from threadserve.http2.frames import MAX_FRAME_BYTES, data_frame_head
from threadserve.types import Field

# RFC 9218 section 2.1: the priorities of RFC 7540 are not used. The library's enum does not have this setting.
NO_RFC7540_PRIORITIES: Any = 0x9
KNOWN_SETTINGS = frozenset(SettingCodes)
# A block may be larger than a request's head may, so that most of those that are too large are answered with 431; a
# block beyond this factor ends the connection.
DECODED_LIMIT_FACTOR = 2
# Ended streams are removed when there are so many more streams than after the last removal.
SPARE_STREAMS = 64


class Configuration(H2Configuration):
    """Turns off the library's checks: `requests` checks requests, and `responses` formats responses.

    Its attributes are plain, because the library reads them several times for every frame, and its own are properties.
    """

    client_side = False
    header_encoding = None
    validate_inbound_headers = False
    normalize_inbound_headers = False
    validate_outbound_headers = False
    normalize_outbound_headers = False

    def __init__(self) -> None:
        self.logger = QUIET_LOGGER


def ignore(*told: object) -> None:
    """Do nothing."""


class QuietLogger(DummyLogger):
    """A logger that drops the library's messages about every frame."""

    debug = trace = staticmethod(ignore)


QUIET_LOGGER = QuietLogger()


class H2StateMachine(H2Connection):
    """The protocol state of one connection."""

    # The number of ended streams that are remembered, for frames that are under way.
    MAX_CLOSED_STREAMS = 1000

    decoder: BlockDecoder
    encoder: BlockEncoder

    def __init__(self, bounds: Bounds, head_limit: int, websockets: bool) -> None:
        super().__init__(Configuration())
        self._cleared_at = SPARE_STREAMS
        self.decoder = BlockDecoder(head_limit * DECODED_LIMIT_FACTOR)
        self.encoder = BlockEncoder()
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: bounds.max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: bounds.stream_window_bytes,
                SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: head_limit,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: int(websockets),
                NO_RFC7540_PRIORITIES: 1,
            },
        )
        self.initiate_connection()
        self.increment_flow_control_window(bounds.connection_window_bytes - self.inbound_flow_control_window)

    @property
    def open_inbound_streams(self) -> int:
        """Reported as 0, because the library would end the connection for a stream too many.

        Such a stream alone is refused elsewhere. Counting removes ended streams.
        """
        if len(self.streams) > self._cleared_at:
            self._cleared_at = super().open_inbound_streams + SPARE_STREAMS
        return 0

    def send_block(self, stream_id: int, fields: list[Field], *, is_informational: bool, ends: bool) -> None:
        """Send these fields as a header block: a response's head, or its trailers after that."""
        self.encoder.fields = tuple(fields)
        # A placeholder, for the library's checks.
        status = [(b":status", b"100" if is_informational else b"200")]
        self.send_headers(stream_id, status, end_stream=ends)

    def frame_large_data(self, stream_id: int, data: bytes) -> list[bytes]:
        """Return the library's output followed by a DATA frame, which is not the last of its stream.

        The library would make the same frame, but copy the data six times.
        """
        size = len(data)
        self.outbound_flow_control_window -= size
        self.streams[stream_id].outbound_flow_control_window -= size
        return [self.data_to_send(), data_frame_head(stream_id, size), data]

    def close(self) -> None:
        """Break the library's reference cycles. The object cannot be used any more."""
        vars(self).clear()

    def forget_unknown_settings(self) -> None:
        """Drop unknown settings of the client's, of which the library would keep up to 65,536."""
        for code in [code for code in self.remote_settings if code not in KNOWN_SETTINGS]:
            del self.remote_settings[code]
