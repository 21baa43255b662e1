"""Compressed messages (RFC 7692), inflated within limits.

Runs on the connection's loop thread. An extension belongs to one connection. It owns the two compression contexts, each
made for the first compressed message.
"""

import re
import zlib

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, ParseFailed, RsvBits

from threadserve.websocket.frame_heads import COMPRESSED_BINARY, COMPRESSED_TEXT

EXTENSION_NAME = "permessage-deflate"
SYNC_TAIL = b"\x00\x00\xff\xff"

_bits = '"?(8|9|1[0-5])"?'
_parameters = {
    "server_no_context_takeover": re.compile(""),
    "client_no_context_takeover": re.compile(""),
    "server_max_window_bits": re.compile(f"={_bits}"),
    "client_max_window_bits": re.compile(f"(={_bits})?"),
}


class BoundedDeflate(PerMessageDeflate):
    """wsproto's extension, with a limit to inflated messages, and with pings between a message's frames."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._inflated = 0
        self._is_compressed = False
        self._is_data = False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> RsvBits:
        """Note whether a message is compressed, by its first frame (RFC 7692 section 6); see wsproto.

        Raises `ParseFailed` like all methods that read, because wsproto keeps no reason of a returned error.
        """
        if rsv.rsv1 and opcode not in (Opcode.TEXT, Opcode.BINARY):
            raise ParseFailed("RSV1 is set in a frame that does not begin a message")
        self._is_data = not opcode.iscontrol()
        if opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_compressed = rsv.rsv1
            self._inflated = 0
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes:
        """Return a part of a payload, inflated (see wsproto)."""
        return self._inflate(data) if self._is_compressed and self._is_data else data

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | None:
        """Return the rest of an inflated message at its end (see wsproto)."""
        return self._inflate_end() if fin and self._is_compressed and self._is_data else None

    def inflate_message(self, data: bytes) -> bytes:
        """Return the inflated content of a message in one frame. Raises `ParseFailed`."""
        self._inflated = 0
        return self._inflate(data) + self._inflate_end()

    def deflate_message(self, content: str | bytes) -> tuple[int, bytes]:
        """Return the first byte and the payload of a compressed message's frame. Raises `UnicodeEncodeError`."""
        if isinstance(content, str):
            return COMPRESSED_TEXT, self._deflate(content.encode())
        return COMPRESSED_BINARY, self._deflate(content)

    def _deflate(self, data: bytes) -> bytes:
        compressor = self._compressor
        if compressor is None:
            compressor = self._compressor = zlib.compressobj(wbits=-int(self.server_max_window_bits))
        deflated = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        if self.server_no_context_takeover:
            self._compressor = None
        return deflated[: -len(SYNC_TAIL)]

    def _inflate_end(self) -> bytes:
        rest = self._inflate(SYNC_TAIL)
        if self.client_no_context_takeover or (self._decompressor is not None and self._decompressor.eof):
            self._decompressor = None
        return rest

    def _inflate(self, data: bytes) -> bytes:
        """Inflate no more than the message's limit allows, so that a small frame cannot take much memory."""
        if self._decompressor is None:
            self._decompressor = zlib.decompressobj(-self.client_max_window_bits)
        try:
            inflated = self._decompressor.decompress(data, self._limit - self._inflated + 1)
        except zlib.error:
            raise ParseFailed("malformed compressed data", CloseReason.INVALID_FRAME_PAYLOAD_DATA) from None
        self._inflated += len(inflated)
        if self._inflated > self._limit:
            raise message_too_big(self._limit)
        return inflated


def message_too_big(limit: int) -> ParseFailed:
    """Return the error for a message beyond the limit of `limit` bytes."""
    return ParseFailed(f"a message is longer than {limit} bytes", CloseReason.MESSAGE_TOO_BIG)


def negotiate_deflate(offers: str, limit: int) -> tuple[BoundedDeflate, str] | None:
    """Accept the first acceptable offer in a Sec-WebSocket-Extensions field.

    Returns the extension for one connection and the field of the answer, or None (RFC 7692 section 5).
    """
    for offer in offers.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == EXTENSION_NAME and are_valid_parameters(parameters):
            deflate = BoundedDeflate(limit)
            agreed: bool | str | None = deflate.accept(offer.replace('"', ""))
            if agreed is not None:
                return deflate, f"{EXTENSION_NAME}; {agreed}" if agreed else EXTENSION_NAME
    return None


def are_valid_parameters(parameters: list[str]) -> bool:
    """Return whether all parameters of an offer are known, unique and have valid values (section 7.1)."""
    names = [parameter.partition("=")[0].strip() for parameter in parameters]
    values = [parameter[len(parameter.partition("=")[0]) :].replace(" ", "") for parameter in parameters]
    return len(set(names)) == len(names) and all(
        name in _parameters and _parameters[name].fullmatch(value) is not None
        for name, value in zip(names, values, strict=True)
    )
