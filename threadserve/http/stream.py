"""An exchange's view of its connection, in every version of HTTP.

Runs on the connection's loop thread. It declares the methods and owns what all versions have.
"""

import asyncio
from collections.abc import Iterable
from typing import BinaryIO, Protocol

from threadserve.http.flow import FlowControl
from threadserve.http.head import ResponseHead
from threadserve.http.peer import Peer
from threadserve.types import Field, Headers


class UpgradedProtocol(Protocol):
    """The protocol that takes over the bytes of an upgraded stream, and is called as by an event loop."""

    def take_over(self, transport: asyncio.Transport, flow: FlowControl) -> None:
        """Take over the stream's transport, and its flow control."""
        ...

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        ...

    def eof_received(self) -> bool:
        """The client sends no more. Return whether it may still be sent something."""
        ...

    def pause_writing(self) -> None:
        """The client takes less than is written."""
        ...

    def resume_writing(self) -> None:
        """The client has taken enough."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is closed, by either side."""
        ...


class Stream:
    """One exchange's share of a connection: all of it in HTTP/1.1, a stream of its own in later versions.

    `flow` is the flow control towards the client, `peer` the client itself. Belongs to the connection's loop thread.
    """

    __slots__ = ("flow", "peer")

    flow: FlowControl
    peer: Peer

    def prepare_response(self, status: int, fields: Iterable[Field]) -> int:
        """Take the head of a response, to be sent by `start_response`; a later one replaces it.

        Returns the length of the body that the fields declare, or -1. Raises `ValueError` and `TypeError` for a status
        or fields that would break the response.
        """
        raise NotImplementedError

    def prepare_formatted(self, head: ResponseHead) -> None:
        """Take a head that has been checked and formatted already, as `prepare_response` does."""
        raise NotImplementedError

    def announce_trailers(self) -> None:
        """End the body of the response that was prepared in trailers."""
        raise NotImplementedError

    def start_response(self, body: bytes, more: bool) -> None:
        """Send the head that was prepared with the first part of the body; with `more`, others follow."""
        raise NotImplementedError

    def send_body(self, data: bytes, more: bool) -> None:
        """Send the next part of the body; with `more`, others follow."""
        raise NotImplementedError

    async def send_file(self, file: BinaryIO, offset: int, size: int) -> None:
        """Send `size` bytes of a file as all that is left of the body, with the head where that is not sent yet.

        Raises `ClientDisconnected` when the client goes.
        """
        raise NotImplementedError

    def send_trailers(self, fields: Iterable[Field], more: bool) -> None:
        """Send trailers after the body; with `more`, others follow. Raises as `prepare_response` does."""
        raise NotImplementedError

    def send_informational(self, status: int, fields: Iterable[Field]) -> None:
        """Send an informational response, if the client's version has such. Raises as `prepare_response` does."""
        raise NotImplementedError

    def end_response(self) -> None:
        """End the response, whose last byte has been queued."""
        raise NotImplementedError

    def response_fields(self) -> Headers:
        """Return the fields of the head that was sent last, the server's included, with names in lower case."""
        raise NotImplementedError

    def switch_protocols(self, fields: Iterable[Field], protocol: UpgradedProtocol) -> bytes:
        """Accept the upgrade that the request asks for, and connect this stream's bytes to another protocol.

        Returns the bytes that have arrived after the request's head. Raises as `prepare_response` does.
        """
        raise NotImplementedError

    def is_closing(self) -> bool:
        """Return whether nothing reaches the client any more."""
        raise NotImplementedError

    def probe_client(self) -> None:
        """Find out whether a client that sends no more has gone, if that can be seen, and tell the exchange if so."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Leave the rest of the request with the client."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Read from the client again."""
        raise NotImplementedError

    def reset(self) -> None:
        """Break off a response that cannot be completed, once what is queued has been written."""
        raise NotImplementedError
