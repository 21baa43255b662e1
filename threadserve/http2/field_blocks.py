"""Field blocks (RFC 7541): repeated blocks are neither decoded nor encoded again.

A decoder and an encoder belong to one connection, on its loop's thread. Each owns its compression table, and a cache of
blocks that holds while the table stays unchanged.
"""

from collections.abc import Iterable
from typing import Any

from h2.errors import ErrorCodes
from hpack import Decoder, Encoder, HeaderTuple
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from threadserve.http.head import RequestHead
from threadserve.http2.errors import H2ConnectionError
from threadserve.types import Field

# The cache's limits: blocks that repeat are short, for they refer to the table.
MAX_CACHED_BLOCKS = 64
MAX_CACHED_BLOCK_BYTES = 256

Fields = tuple[Field, ...]


class FieldBlock:
    """The fields of a block, and the request head made of them, once it has been parsed."""

    __slots__ = ("fields", "head")

    def __init__(self, fields: list[HeaderTuple]) -> None:
        self.fields = fields
        self.head: RequestHead | None = None


class BlockDecoder(Decoder):
    """The decoder of one connection.

    The library checks the fields of every block several times. So it is given a single field with an empty name, whose
    value is the `FieldBlock`; the fields in it are checked once.
    """

    def __init__(self, size_limit: int) -> None:
        super().__init__(size_limit)
        self._cache: dict[bytes, list[tuple[bytes, FieldBlock]]] = {}

    def decode(self, data: bytes, raw: bool = False) -> Iterable[Any]:
        """Return the block as a list of one field.

        Raises `H2ConnectionError` for a malformed block, and `OversizedHeaderListError` for one that is too large.
        """
        block = self._cache.get(data)
        if block is None:
            version = table_version(self.header_table)
            block = [(b"", FieldBlock(self._decode_block(data)))]
            if has_changed(self.header_table, version):
                self._cache.clear()
            elif len(data) <= MAX_CACHED_BLOCK_BYTES:
                if len(self._cache) >= MAX_CACHED_BLOCKS:
                    self._cache.clear()
                self._cache[data] = block
        return block

    def _decode_block(self, data: bytes) -> list[HeaderTuple]:
        try:
            return list(super().decode(data, raw=True))
        except OversizedHeaderListError:
            raise
        except HPACKError as error:
            # Section 4.3 of RFC 9113; h2 would use another code.
            raise H2ConnectionError(ErrorCodes.COMPRESSION_ERROR, str(error)) from None


class BlockEncoder(Encoder):
    """The encoder of one connection.

    `fields` are those of the next block. The library, which checks the fields that it is given, gets a placeholder.
    """

    fields: Fields

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[Fields, bytes] = {}
        self.fields = ()

    @property
    def header_table_size(self) -> int:
        """The table's size in bytes, never above the default, whatever the client allows."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        limited = min(value, HeaderTable.DEFAULT_SIZE)
        if limited != self.header_table.maxsize:
            self.header_table.maxsize = limited
            self.table_size_changes.append(limited)

    def encode(self, headers: object, huffman: bool = True) -> bytes:
        """Return the block of `fields`; the headers that the library passes are ignored."""
        fields = self.fields
        # After a change of the table's size the block has to start with that change.
        if not self.header_table.resized:
            block = self._cache.get(fields)
            if block is not None:
                return block
        version = table_version(self.header_table)
        # Without Huffman coding, which takes Python far longer than the network takes for the saved bytes.
        block = super().encode(fields, huffman=False)
        if has_changed(self.header_table, version):
            self._cache.clear()
        elif len(block) <= MAX_CACHED_BLOCK_BYTES:
            if len(self._cache) >= MAX_CACHED_BLOCKS:
                self._cache.clear()
            self._cache[fields] = block
        return block


TableVersion = tuple[int, int, object]


def table_version(table: HeaderTable) -> TableVersion:
    """Return a value that identifies the table's contents."""
    entries = table.dynamic_entries
    return table.maxsize, len(entries), entries[0] if entries else None


def has_changed(table: HeaderTable, version: TableVersion) -> bool:
    """Return whether the table differs from `version`: the newest entry is first, and every entry is a new object."""
    size, count, newest = table_version(table)
    return size != version[0] or count != version[1] or newest is not version[2]
