"""The client that asks one path again and again on connections of its own, and times every answer.

It runs as a process of its own on one event loop. Groups of connections ask side by side: each connection waits for its
answer and pauses, or asks at a steady pace, and then a time counts from the moment when the request was due.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from math import inf
from time import perf_counter
from typing import Any

from loadtests.errors import require
from loadtests.generators.result import percentiles_of

HOST = "127.0.0.1"
STATUS, LENGTH = re.compile(rb"http/1\.1 (\d+)"), re.compile(rb"\r\ncontent-length: *(\d+)\r\n")
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Group:
    """Connections that ask alike. One that is not `kept` is opened anew for each request, others before any is asked.

    They pause between an answer and the next request, or ask `per_second` requests, whatever the answers take where
    connections are not kept. A group `aside` asks from before the others until they have ended, and is not timed with
    them. With `tells_bodies` the bodies of the answers are counted.
    """

    path: str = "/"
    connections: int = 1
    pause_seconds: float = 0.0
    per_second: float = 0.0
    kept: bool = True
    aside: bool = False
    tells_bodies: bool = False
    host: str = HOST
    statuses: Sequence[int] = (200,)

    @property
    def interval(self) -> float:
        """Seconds from one request to the next, as far as they are given."""
        return 1 / self.per_second if self.per_second else self.pause_seconds


@dataclass
class Tally:
    """The milliseconds of answers since `began`, of which `requests` came before it `ended`, and counts."""

    began: float = inf
    ended: float = inf
    requests: int = 0
    times: list[float] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    bodies: Counter[str] = field(default_factory=Counter)

    def add(self, group: Group, due: float, body: bytes) -> None:
        """Add an answer that has just come."""
        now = perf_counter()
        if now >= self.began and not group.aside:
            self.requests += now <= self.ended
            self.times.append(round((now - due) * 1000, 3))
            self.answered.add(group.path)
            self.bodies[body.decode()] += group.tells_bodies


class Asker:
    """One connection of a group."""

    def __init__(self, port: int, group: Group, tally: Tally) -> None:
        self._port, self.group, self._tally = port, group, tally
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Keep a connection, after a first answer, which does not count; raises OSError or EOFError."""
        self._streams = await asyncio.open_connection(self.group.host, self._port)
        await self._exchange(*self._streams)

    async def ask(self, due: float) -> bool:
        """Ask once and note the time since `due`, or the failure; return whether there was an answer."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = self._streams or await asyncio.open_connection(self.group.host, self._port)
                with nullcontext() if self.group.kept else closing(writer):
                    body = await self._exchange(reader, writer)
        except (OSError, EOFError) as error:
            self._tally.failures[f"{self.group.path}: {type(error).__name__} {error}"] += 1
            return False
        self._tally.add(self.group, due, body)
        return True

    async def live(self, begin: float, until: float) -> None:
        """Ask from one moment to another, or until a request fails."""
        due = begin
        async with asyncio.TaskGroup() as asked:
            while due < until:
                await asyncio.sleep(due - perf_counter())
                if self.group.per_second and not self.group.kept:
                    asked.create_task(self.ask(due))
                elif not await self.ask(due):
                    return
                due = (due if self.group.per_second else perf_counter()) + self.group.interval

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Return the body of the answer to one GET; raises OSError or EOFError where it is none."""
        group = self.group
        close = "" if group.kept else "Connection: close\r\n"
        writer.write(f"GET {group.path} HTTP/1.1\r\nHost: {group.host}\r\n{close}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length, status = LENGTH.search(head), STATUS.match(head)
        is_closing = group.kept and b"\r\nconnection: close" in head
        if not status or not length or int(status[1]) not in group.statuses or is_closing:
            raise OSError(f"not the answer that was wanted: {head[:40]!r}")
        return await reader.readexactly(int(length[1]))


async def measure(
    port: int,
    groups: Iterable[dict[str, Any]],
    seconds: float,
    warm_up: float = 0.0,
    until: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask for that long after the warm-up; return what `LoadResult` has, as JSON takes it.

    The connections begin spread over the time between two requests. Raises LoadTestError where a path got no answer,
    and TimeoutError where `until` gets none.
    """
    tally = Tally()
    askers = [Asker(port, group, tally) for told in groups for group in [Group(**told)] * told["connections"]]
    timed = [asker for asker in askers if not asker.group.aside]
    for asker in askers:
        if asker.group.kept:
            await asker.open()
    aside = [asyncio.create_task(asker.live(perf_counter(), inf)) for asker in askers if asker.group.aside]
    probe = Asker(port, Group(**until), Tally()) if until else None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while probe and not await probe.ask(perf_counter()):
            pass
    begin, cpu, epoch = perf_counter(), time.process_time(), time.time()
    tally.began, tally.ended = begin + warm_up, begin + warm_up + seconds
    begins = [begin + asker.group.interval * number / len(timed) for number, asker in enumerate(timed)]
    await asyncio.gather(*(asker.live(at, tally.ended) for at, asker in zip(begins, timed, strict=True)))
    for task in aside:
        task.cancel()
    silent = [asker.group.path for asker in timed if asker.group.path not in tally.answered]
    require(not silent, f"no answers: {list(tally.failures)[:1] or silent[:1]}")
    return {
        "requests": tally.requests,
        "seconds": seconds,
        "percentiles": percentiles_of(tally.times),
        "errors": tally.failures,
        "answers": +tally.bodies,
        "began": epoch + warm_up,
        "cpu_share": round((time.process_time() - cpu) / (warm_up + seconds), 6),
    }
