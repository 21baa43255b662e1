"""The unmasking of clients' payloads (RFC 6455 section 5.3).

Runs on the connection's loop thread. A function that `make_unmask` returns belongs to one loop: threads would contend
for the reference counts of its tables.
"""

import importlib.util
from collections.abc import Callable

Unmask = Callable[[bytes | bytearray, int, int], bytes | bytearray]

# Below this size one exclusive or of two large integers is quicker than the tables.
MIN_TABLE_BYTES = 1500


def make_unmask(implementation: str) -> Unmask:
    """Return a function that unmasks a payload: the bytes from `start` to `end`, with the mask right before them.

    With the implementation "websockets" it is that library's, if its extension module is installed.
    """
    if implementation not in ("websockets", "websockets-sansio"):
        return make_table_unmask()
    if importlib.util.find_spec("websockets.speedups") is None:
        return make_table_unmask()
    from websockets.speedups import apply_mask

    def unmask(data: bytes | bytearray, start: int, end: int) -> bytes:
        return apply_mask(memoryview(data)[start:end], data[start - 4 : start])

    return unmask


def make_table_unmask() -> Unmask:
    """Return such a function by means of the standard library."""
    tables = [bytes(byte ^ mask for byte in range(256)) for mask in range(256)]

    def unmask(data: bytes | bytearray, start: int, end: int) -> bytearray:
        payload = bytearray(memoryview(data)[start:end])
        for offset, mask in enumerate(data[start - 4 : start]):
            payload[offset::4] = payload[offset::4].translate(tables[mask])
        return payload

    return unmask
