"""Header blocks (RFC 7541): those that repeat are neither decoded nor encoded again.

A decoder and an encoder belong to one connection, on its loop's thread. Each owns its table of the compression, and
what blocks mean or what fields make while that table stays as it is.
"""

from collections.abc import Iterable
from typing import Any

from h2.errors import ErrorCodes
from hpack import Decoder, Encoder, HeaderTuple
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from threadserve.http.head import RequestHead
from threadserve.http2.errors import ConnectionFault
from threadserve.types import Field

# How many blocks are known at a time, and how long such a block may be: those that repeat are all but references to the
# table.
KNOWN_LIMIT = 64
KNOWN_LENGTH = 256

Fields = tuple[Field, ...]


class FieldBlock:
    """What a block says: its fields, and the request's head that they are, once somebody has read it."""

    __slots__ = ("fields", "head")

    def __init__(self, fields: list[HeaderTuple]) -> None:
        self.fields = fields
        self.head: RequestHead | None = None


class BlockDecoder(Decoder):
    """Decodes the blocks of one connection.

    The library looks through the fields of every block several times. It gets one field, with an empty name, whose
    value is the `FieldBlock`; what is in it is looked at once.
    """

    def __init__(self, size_limit: int) -> None:
        super().__init__(size_limit)
        self._known: dict[bytes, list[Any]] = {}

    def decode(self, data: bytes, raw: bool = False) -> Iterable[Any]:
        """Raises `ConnectionFault` for a block that is none, `OversizedHeaderListError` where it says too much."""
        block = self._known.get(data)
        if block is None:
            mark = mark_of(self.header_table)
            block = [(b"", FieldBlock(self._decode(data)))]
            if is_changed(self.header_table, mark):
                self._known.clear()
            elif len(data) <= KNOWN_LENGTH:
                if len(self._known) >= KNOWN_LIMIT:
                    self._known.clear()
                self._known[data] = block
        return block

    def _decode(self, data: bytes) -> list[HeaderTuple]:
        try:
            return list(super().decode(data, raw=True))
        except OversizedHeaderListError:
            raise
        except HPACKError as error:
            # Section 4.3; h2 has another code for it.
            raise ConnectionFault(ErrorCodes.COMPRESSION_ERROR, str(error)) from None


class BlockEncoder(Encoder):
    """Encodes the blocks of one connection.

    `fields` is what the next block says: the library, which looks through what it is given, is told no more of it than
    it needs.
    """

    fields: Fields

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[Fields, bytes] = {}
        self.fields = ()

    @property
    def header_table_size(self) -> int:
        """The size of the table, in bytes; never more than the usual one, however large the client would have it."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        limited = min(value, HeaderTable.DEFAULT_SIZE)
        if limited != self.header_table.maxsize:
            self.header_table.maxsize = limited
            self.table_size_changes.append(limited)

    def encode(self, headers: Any, huffman: bool = True) -> bytes:
        """The block of `fields`, whatever the headers are."""
        fields = self.fields
        # A table whose size was changed has to be told first.
        if not self.header_table.resized:
            block = self._known.get(fields)
            if block is not None:
                return block
        mark = mark_of(self.header_table)
        # Without Huffman's code: it takes Python far longer than it takes the network to carry the rest.
        block = super().encode(fields, huffman=False)
        if is_changed(self.header_table, mark):
            self._known.clear()
        elif len(block) <= KNOWN_LENGTH:
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
            self._known[fields] = block
        return block


Mark = tuple[int, int, Any]


def mark_of(table: HeaderTable) -> Mark:
    """What a table is known again by."""
    entries = table.dynamic_entries
    return table.maxsize, len(entries), entries[0] if entries else None


def is_changed(table: HeaderTable, mark: Mark) -> bool:
    """Whether a table has changed since its mark was taken: the newest entry is first, and each is its own object."""
    size, count, newest = mark_of(table)
    return size != mark[0] or count != mark[1] or newest is not mark[2]
