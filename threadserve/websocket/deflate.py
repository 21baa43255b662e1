"""Compressed messages (RFC 7692), inflated within bounds.

Runs on the connection's loop thread. An extension belongs to one connection; it owns that one's two compression
contexts, each made when the first compressed message needs it.
"""

import re
import zlib
from typing import Any

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, ParseFailed, RsvBits

from threadserve.websocket.heads import PACKED_BINARY, PACKED_TEXT

NAME = "permessage-deflate"
TAIL = b"\x00\x00\xff\xff"

_bits = '"?(8|9|1[0-5])"?'
_parameters = {
    "server_no_context_takeover": re.compile(""),
    "client_no_context_takeover": re.compile(""),
    "server_max_window_bits": re.compile(f"={_bits}"),
    "client_max_window_bits": re.compile(f"(={_bits})?"),
}


class BoundedDeflate(PerMessageDeflate):
    """wsproto's extension, except that what is inflated has a limit, and that pings may come amid a message."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._inflated = 0
        self._is_compressed = False
        self._is_data = False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> RsvBits:
        """See wsproto. The first frame of a message says whether that is compressed (RFC 7692 section 6).

        Raises `ParseFailed`, as everything that reads does: of what is returned wsproto says only that it is an error.
        """
        if rsv.rsv1 and opcode not in (Opcode.TEXT, Opcode.BINARY):
            raise ParseFailed("RSV1 is set in a frame that does not begin a message")
        self._is_data = not opcode.iscontrol()
        if opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_compressed = rsv.rsv1
            self._inflated = 0
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes:
        """See wsproto."""
        return self._inflate(data) if self._is_compressed and self._is_data else data

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | None:
        """See wsproto."""
        return self._inflate_end() if fin and self._is_compressed and self._is_data else None

    def inflate_message(self, data: bytes) -> bytes:
        """What a compressed message holds that comes in one frame. Raises `ParseFailed`."""
        self._inflated = 0
        return self._inflate(data) + self._inflate_end()

    def deflate_message(self, content: str | bytes) -> tuple[int, bytes]:
        """The first byte and the payload of the frame that is this message, compressed. Raises `UnicodeEncodeError`."""
        if isinstance(content, str):
            return PACKED_TEXT, self._deflated(content.encode())
        return PACKED_BINARY, self._deflated(content)

    def _deflated(self, data: bytes) -> bytes:
        compressor = self._compressor
        if compressor is None:
            compressor = self._compressor = zlib.compressobj(wbits=-int(self.server_max_window_bits))
        deflated = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        if self.server_no_context_takeover:
            self._compressor = None
        return deflated[: -len(TAIL)]

    def _inflate_end(self) -> bytes:
        rest = self._inflate(TAIL)
        if self.client_no_context_takeover or (self._decompressor is not None and self._decompressor.eof):
            self._decompressor = None
        return rest

    def _inflate(self, data: bytes) -> bytes:
        """Inflates by no more than a message may have left, so that a small frame cannot take up a lot of memory."""
        if self._decompressor is None:
            self._decompressor = zlib.decompressobj(-self.client_max_window_bits)
        try:
            inflated = self._decompressor.decompress(data, self._limit - self._inflated + 1)
        except zlib.error:
            raise ParseFailed("malformed compressed data", CloseReason.INVALID_FRAME_PAYLOAD_DATA) from None
        self._inflated += len(inflated)
        if self._inflated > self._limit:
            raise too_big(self._limit)
        return inflated


def too_big(limit: int) -> ParseFailed:
    """The fault of a message with more bytes than it may have."""
    return ParseFailed(f"a message is longer than {limit} bytes", CloseReason.MESSAGE_TOO_BIG)


def negotiate(offers: str, limit: int) -> tuple[BoundedDeflate, str] | None:
    """Takes the first offer that can be met, of those that a Sec-WebSocket-Extensions field has.

    Returns the extension for one connection and the field that answers, or None (RFC 7692 section 5).
    """
    for offer in offers.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == NAME and are_good(parameters):
            deflate = BoundedDeflate(limit)
            agreed: Any = deflate.accept(offer.replace('"', ""))
            if agreed is not None:
                return deflate, f"{NAME}; {agreed}" if agreed else NAME
    return None


def are_good(parameters: list[str]) -> bool:
    """Whether every parameter of an offer is known, comes once and has a value that it may have (section 7.1)."""
    names = [parameter.partition("=")[0].strip() for parameter in parameters]
    values = [parameter[len(parameter.partition("=")[0]) :].replace(" ", "") for parameter in parameters]
    return len(set(names)) == len(names) and all(
        name in _parameters and _parameters[name].fullmatch(value) is not None
        for name, value in zip(names, values, strict=True)
    )
