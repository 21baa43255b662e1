"""Taking the mask off what clients send (RFC 6455 section 5.3).

Runs on the connection's loop thread. What `unmasker` returns belongs to one loop: the tables in it count their
references, and threads that share one wait for each other.
"""

import importlib.util
from collections.abc import Callable

Unmask = Callable[[bytes | bytearray, int, int], bytes | bytearray]

# Up to this size one exclusive or of two large numbers is quicker than what is here.
LARGE = 1500


def unmasker(implementation: str) -> Unmask:
    """A function that returns the payload from `start` to `end` of some bytes, whose mask stands right before it.

    With the implementation "websockets" that is that library's, where it has been compiled.
    """
    if implementation not in ("websockets", "websockets-sansio"):
        return table_unmasker()
    if importlib.util.find_spec("websockets.speedups") is None:
        return table_unmasker()
    from websockets.speedups import apply_mask

    def unmask(data: bytes | bytearray, start: int, end: int) -> bytes:
        return apply_mask(memoryview(data)[start:end], data[start - 4 : start])

    return unmask


def table_unmasker() -> Unmask:
    """The same with what Python itself has."""
    tables = [bytes(byte ^ mask for byte in range(256)) for mask in range(256)]

    def unmask(data: bytes | bytearray, start: int, end: int) -> bytearray:
        payload = bytearray(memoryview(data)[start:end])
        for offset, mask in enumerate(data[start - 4 : start]):
            payload[offset::4] = payload[offset::4].translate(tables[mask])
        return payload

    return unmask
