"""What an exchange sees of its connection, whichever version of HTTP that speaks.

Runs on the connection's loop thread; declares a surface and owns what all versions have.
"""

from collections.abc import Iterable
from typing import Any, BinaryIO

from threadserve.http.flow import FlowControl
from threadserve.http.head import ResponseHead
from threadserve.http.peer import Peer
from threadserve.types import Headers


class Stream:
    """One exchange's share of a connection: all of it in HTTP/1.1, a stream of its own in later versions.

    `flow` says whether the client takes what is written, `peer` who it is.
    """

    __slots__ = ("flow", "peer")

    flow: FlowControl
    peer: Peer

    def prepare_response(self, status: int, fields: Iterable[Any]) -> int:
        """Takes the head of a response, to be sent by `start_response`; a later one takes its place.

        Returns the length of the body that the fields declare, or -1. Raises `ValueError` and `TypeError` for a status
        or fields that would break the response.
        """
        raise NotImplementedError

    def prepare_formatted(self, head: ResponseHead) -> None:
        """The same for a head that has been checked and formatted already."""
        raise NotImplementedError

    def announce_trailers(self) -> None:
        """Has the body of the response that was prepared end in trailers."""
        raise NotImplementedError

    def start_response(self, body: bytes, more: bool) -> None:
        """Sends the head that was prepared with the first part of the body; with `more`, others follow."""
        raise NotImplementedError

    def send_body(self, data: bytes, more: bool) -> None:
        """Sends the next part of the body."""
        raise NotImplementedError

    async def send_file(self, file: BinaryIO, offset: int, size: int) -> None:
        """Sends `size` bytes of a file as all that is left of the body, with the head where that is not sent yet.

        Raises `ClientDisconnected` when the client goes.
        """
        raise NotImplementedError

    def send_trailers(self, fields: Iterable[Any], more: bool) -> None:
        """Sends trailers behind the body; with `more`, others follow. Raises as `prepare_response` does."""
        raise NotImplementedError

    def send_informational(self, status: int, fields: Iterable[Any]) -> None:
        """Sends an informational response, where the client's version knows such. Raises as `prepare_response` does."""
        raise NotImplementedError

    def end_response(self) -> None:
        """The last byte of the response has been queued."""
        raise NotImplementedError

    def response_fields(self) -> Headers:
        """The fields of the head that was sent last, ours included, with names in lower case."""
        raise NotImplementedError

    def switch_protocols(self, fields: Iterable[Any], protocol: Any) -> bytes:
        """Accepts what the request asked to go on with, and hands what carries this stream's bytes to a protocol.

        Returns the bytes that have arrived behind the request's head. Raises as `prepare_response` does.
        """
        raise NotImplementedError

    def is_closing(self) -> bool:
        """Whether nothing reaches the client any more."""
        raise NotImplementedError

    def probe_client(self) -> None:
        """Sees to it that the exchange learns of it if a client that sends no more has gone, where that can be seen."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Leaves the rest of the request with the client."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Reads on."""
        raise NotImplementedError

    def reset(self) -> None:
        """Breaks off a response that cannot be completed, once what is queued has been written."""
        raise NotImplementedError
