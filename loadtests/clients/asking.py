"""The client that asks one path again and again on connections of its own, and times every answer.

It runs as a process of its own on one event loop. Groups of connections ask side by side: each connection waits for its
answer and pauses, or asks at a steady pace, and then a time counts from the moment when the request was due.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from loadtests.clients import process
from loadtests.errors import LoadTestError
from loadtests.generators.result import LoadResult, percentiles_of

HOST = "127.0.0.1"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n")
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Group:
    """Connections that ask alike. One that is not `kept` is opened anew for each request.

    They pause between an answer and the next request, or ask `per_second` requests, whatever the answers take where
    connections are not kept. A group `aside` asks from before the others until they have ended, and is not timed with
    them. With `tells_bodies` the bodies of the answers are counted. Connections that are `ready` are opened before
    anything is asked, one after the other in the order of the groups; others when they begin to ask.
    """

    path: str = "/"
    connections: int = 1
    pause_seconds: float = 0.0
    per_second: float = 0.0
    kept: bool = True
    aside: bool = False
    tells_bodies: bool = False
    ready: bool = False
    host: str = HOST
    statuses: Sequence[int] = (200,)

    @property
    def interval(self) -> float:
        """Seconds from one request to the next, as far as they are given."""
        return 1 / self.per_second if self.per_second else self.pause_seconds


class Record:
    """The answers since `began`: `(moment, milliseconds)` of each by path, and counts of failures and of bodies."""

    def __init__(self) -> None:
        self.began = perf_counter()
        self.times: dict[str, list[tuple[float, float]]] = {}
        self.aside: dict[str, list[float]] = {}
        self.failures: Counter[str] = Counter()
        self.bodies: Counter[str] = Counter()

    def note(self, group: Group, due: float, body: bytes) -> None:
        """Add an answer that has just come."""
        now = perf_counter()
        taken = round((now - due) * 1000, 3)
        if group.aside:
            self.aside.setdefault(group.path, []).append(taken)
        elif now >= self.began:
            self.times.setdefault(group.path, []).append((now, taken))
            if group.tells_bodies:
                self.bodies[body.decode()] += 1


class Asker:
    """One connection of a group."""

    def __init__(self, port: int, group: Group, record: Record) -> None:
        self._port, self._group, self._record = port, group, record
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Get a first answer, which does not count, on a connection that is kept; raises OSError or EOFError."""
        self._streams = await asyncio.open_connection(self._group.host, self._port)
        await self._exchange(*self._streams)

    @property
    def is_closed(self) -> bool:
        """True when the server has closed a connection that is kept."""
        return self._streams is not None and self._streams[0].at_eof()

    def close(self) -> None:
        """Close a connection that is kept."""
        if self._streams:
            self._streams[1].close()

    async def ask(self, due: float) -> bool:
        """Ask once and note the time since `due`, or the failure; return whether there was an answer."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if self._group.kept and not self._streams:
                    await self.open()
                    due = perf_counter()
                body = await (self._exchange(*self._streams) if self._streams else self._exchange_anew())
        except (OSError, EOFError) as error:
            self._record.failures[f"{self._group.path}: {described(error)}"] += 1
            return False
        self._record.note(self._group, due, body)
        return True

    async def live(self, begin: float, until: float) -> None:
        """Ask from one moment to another, or until a request fails."""
        due, step = begin, self._group.interval
        async with asyncio.TaskGroup() as asked:
            while due < until:
                await asyncio.sleep(due - perf_counter())
                if self._group.per_second and not self._group.kept:
                    asked.create_task(self.ask(due))
                elif not await self.ask(due):
                    return
                due = due + step if self._group.per_second else perf_counter() + step

    async def _exchange_anew(self) -> bytes:
        reader, writer = await asyncio.open_connection(self._group.host, self._port)
        try:
            return await self._exchange(reader, writer)
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Return the body of the answer to one GET; raises OSError or EOFError where it is none."""
        group = self._group
        close = "" if group.kept else "Connection: close\r\n"
        writer.write(f"GET {group.path} HTTP/1.1\r\nHost: {group.host}\r\n{close}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = LENGTH.search(head)
        status = int(head.split(None, 2)[1]) if head.startswith(b"http/1.1 ") else 0
        if status not in group.statuses or length is None or (group.kept and b"\r\nconnection: close" in head):
            raise OSError(f"not the answer that was wanted: {head[:40]!r}")
        return await reader.readexactly(int(length[1]))


def described(error: Exception) -> str:
    return f"{type(error).__name__} {error}"


def measure(port: int, groups: list[dict[str, Any]], warm_up: float, seconds: float, until: Any) -> dict[str, Any]:
    """Ask for that long after the warm-up; return the times, failures and bodies, as JSON takes them."""
    return asyncio.run(asked(port, [Group(**group) for group in groups], warm_up, seconds, until))


async def asked(
    port: int, groups: Sequence[Group], warm_up: float, seconds: float, until: dict[str, Any] | None
) -> dict[str, Any]:
    """Have the connections begin spread over the time between two requests."""
    record = Record()
    askers = [(group, Asker(port, group, record)) for group in groups for _ in range(group.connections)]
    for group, asker in askers:
        if group.ready:
            await asker.open()
    aside = [asyncio.create_task(asker.live(perf_counter(), float("inf"))) for group, asker in askers if group.aside]
    if until:
        await wait_for(port, Group(**until), record)
    begin, cpu = perf_counter(), time.process_time()
    record.began, end = begin + warm_up, begin + warm_up + seconds
    epoch = time.time() + warm_up
    timed = [(group, asker) for group, asker in askers if not group.aside]
    begins = [begin + group.interval * number / len(timed) for number, (group, _) in enumerate(timed)]
    await asyncio.gather(*(asker.live(at, end) for at, (_, asker) in zip(begins, timed, strict=True)))
    for task in aside:
        task.cancel()
    return {
        "began": epoch,
        "cpu_share": (time.process_time() - cpu) / (warm_up + seconds),
        "times": {path: [taken for _, taken in times] for path, times in record.times.items()},
        "in_time": sum(at <= end for times in record.times.values() for at, _ in times),
        "aside": record.aside,
        "failures": record.failures,
        "bodies": record.bodies,
    }


async def wait_for(port: int, group: Group, record: Record) -> None:
    """Ask until the answer has the status that is wanted; raises LoadTestError where it does not come."""
    probe = Asker(port, group, Record())
    deadline = perf_counter() + PATIENCE_SECONDS
    while not await probe.ask(perf_counter()):
        if perf_counter() > deadline:
            raise LoadTestError(f"{group.path} is not answered with {group.statuses}: {list(record.failures)[:1]}")
        await asyncio.sleep(0.01)


def run(
    port: int, groups: Iterable[Group], seconds: float, warm_up: float = 0.0, until: Group | None = None
) -> LoadResult:
    """Run the client as a process; the groups begin when a request of `until` is answered as it wants.

    Raises LoadTestError where it fails, or where one of the paths got no answer.
    """
    given = [asdict(group) for group in groups]
    arguments = {"port": port, "groups": given, "warm_up": warm_up, "seconds": seconds}
    told = process.run("asking", warm_up + seconds, **arguments, until=until and asdict(until))
    answered = told["times"] | told["aside"]
    silent = [group["path"] for group in given if group["path"] not in answered and not (until and group["aside"])]
    if silent or not told["times"]:
        raise LoadTestError(f"no answers: {list(told['failures'])[:1] or silent}")
    return LoadResult(
        command=process.command("asking", **arguments),
        requests=told["in_time"],
        seconds=seconds,
        percentiles=percentiles_of([taken for times in told["times"].values() for taken in times]),
        errors=told["failures"],
        answers=told["bodies"],
        began=told["began"],
        cpu_share=round(told["cpu_share"], 6),
    )
