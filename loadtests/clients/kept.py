"""How long requests on kept connections wait while another client holds one event loop after the other.

`python -m loadtests.clients.kept PORT SECONDS` is the client, a process of its own. Each of its connections asks, waits
for the whole answer, pauses and asks again. When all have had their first answer, which is not counted, one blocking
request after another begins, each on a new connection. A request's time is that from sending it to its answer. It
prints all times as JSON.
"""

import asyncio
import json
import re
import sys
from dataclasses import asdict
from time import perf_counter

from loadtests.clients import latency, process
from loadtests.clients.latency import PATIENCE, Times
from loadtests.errors import LoadTestError

CONNECTIONS = 16
APART_SECONDS = 0.003
PAUSE_SECONDS = 0.05
SECONDS = 6
LENGTH = re.compile(rb"http/1\.1 200 .*\r\ncontent-length: *(\d+)\r\n", re.DOTALL)


class Kept:
    """One connection for all its requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Kept":
        """A connection that has had its first answer; raises OSError or LoadTestError."""
        kept = cls(*await asyncio.open_connection("127.0.0.1", port))
        await kept.ask()
        return kept

    async def ask(self, path: str = "/") -> bytes:
        """The body of the answer to one GET; raises LoadTestError where it is no 200, or the connection is closed."""
        try:
            async with asyncio.timeout(PATIENCE):
                self._writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
                length = LENGTH.match(head)
                if length is None or b"\r\nconnection: close" in head:
                    raise LoadTestError(f"{path}: the server does not answer and keep a connection: {head[:80]!r}")
                return await self._reader.readexactly(int(length[1]))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LoadTestError(f"{path}: a kept connection got no answer: {type(error).__name__} {error}") from None


async def ask_again(port: int, number: int, until: float, times: Times, answered: asyncio.Event) -> None:
    """One connection's life; `answered` is set when it has had its first answer."""
    await asyncio.sleep(number * APART_SECONDS)
    kept = await Kept.open(port)
    answered.set()
    while (began := perf_counter()) < until:
        await kept.ask()
        times.quick.append(round((perf_counter() - began) * 1000, 3))
        await asyncio.sleep(PAUSE_SECONDS)


async def block(port: int, until: float, times: Times, answered: list[asyncio.Event]) -> None:
    for event in answered:
        await event.wait()
    await latency.block(port, until, times)


async def measure(port: int, seconds: float) -> Times:
    times = Times()
    until = perf_counter() + seconds
    answered = [asyncio.Event() for _ in range(CONNECTIONS)]
    asking = [ask_again(port, number, until, times, event) for number, event in enumerate(answered)]
    await asyncio.gather(block(port, until, times, answered), *asking)
    return times


def run(port: int, seconds: float = SECONDS) -> Times:
    """Runs the client as a process. Raises LoadTestError where it fails or nothing was blocked."""
    return latency.require_answers(Times(**process.run("kept", port, seconds, seconds=seconds)))


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(measure(int(sys.argv[1]), float(sys.argv[2]))))))
