"""A server in one thread: its acceptor and each of its loops do something only when the test says so.

The sockets are real, and so is everything of the server's but its threads. What happens in the very moment in which a
loop gives a connection back is the test's as well.
"""

import asyncio
import os
import socket
import struct
import threading
import time
import zlib
from asyncio import events
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

from support.apps import Disconnected, body, read_body, respond, start
from support.responses import Incomplete, Response, ResponseReader
from support.waiting import DEADLINE

from threadserve import Config
from threadserve.app.loading import AppLoader
from threadserve.app.startups import StartupCoordinator
from threadserve.http.bounds import Bounds
from threadserve.http.idle_release import ReleasedProtocol
from threadserve.listening.accepted import AcceptedSocket, ReturnedSocket
from threadserve.runtime.loops import find_loop_factory
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.distribution import make_distributor
from threadserve.threads.idle_connections import IdleConnections
from threadserve.threads.loop_server import LoopServer, Phase
from threadserve.threads.opening import PendingConnection
from threadserve.threads.shared_resources import SharedResources
from threadserve.types import Receive, Scope, Send

# Nothing happens because time passes, except that a head that is held leaves, and that a shutdown ends.
UNTIMED = Bounds(
    tick_seconds=10_000.0,
    shutdown_tick_seconds=0.002,
    idle_grace_seconds=0.005,
    partial_grace_seconds=0.005,
    idle_release_seconds=10_000.0,
    late_head_seconds=0.0005,
)
# The turns in which a connection leaves its loop.
LEAVING = 4
# More turns than anything takes that waits for no time to pass.
ENOUGH = 40
# The turns that the application takes where it does not answer at once.
SOME = 3


class SteppedLoop:
    """A loop server, and the loop that it runs on, which turns only in `turn`."""

    def __init__(self, shared: SharedResources, number: int, report: Any, kind: str) -> None:
        self.number = number
        self.server = LoopServer(shared, number, report)
        self.loop = find_loop_factory(kind)()
        self.faults: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.main = self.loop.create_task(self.server.main())
        # The clients that its death may have cost their connections.
        self.lost: set[Any] = set()
        self.is_dead = False
        self.is_buried = False

    @property
    def has_ended(self) -> bool:
        """Whether it has come to its own end."""
        return self.main.done()

    def turn(self) -> None:
        """Has the loop turn once, also where another turns at the moment."""
        if self.is_dead or self.has_ended or self.loop.is_running():
            return
        if events._get_running_loop() is None:
            self._turn()
        else:
            elsewhere = threading.Thread(target=self._turn)
            elsewhere.start()
            elsewhere.join()

    def _turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        try:
            self.loop.run_forever()
        except SystemExit:
            self.kill()

    def kill(self) -> None:
        """What its host does first when the loop was killed."""
        if not (self.is_dead or self.has_ended or self.loop.is_running()):
            self.is_dead = True
            self.lost.update(self.addresses())
            self.server.close()

    def bury(self) -> None:
        """What its host does in the end, whatever has ended it: has its tasks end, and closes the loop."""
        if not self.is_buried:
            self.is_buried = True
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            for _ in range(ENOUGH):
                self._turn()
            self.loop.close()

    def connections(self) -> list[Any]:
        """What it serves connections with."""
        context = self.server._context
        return list(context.registry.connections) if context is not None else []

    def addresses(self) -> list[Any]:
        """The clients of those connections."""
        return [address_of(connection) for connection in self.connections()]

    def opening(self) -> list[Any]:
        """The clients of connections that it has not quite begun to serve, or has not quite let go."""
        context = self.server._context
        if context is None:
            return []
        opening = list(context.registry.opening)
        # What is compiled does not tell.
        waiting = [
            each for each in opening if isinstance(each, PendingConnection) and not getattr(each, "_is_over", True)
        ]
        found = [each._accepted.peername for each in waiting]
        if not self.is_dead:
            # A dead one has given them back.
            found += [each.returned.peername for each in opening if isinstance(each, ReleasedProtocol)]
        return found


def address_of(connection: Any) -> Any:
    """The client of one of a loop's connections."""
    peer = getattr(connection, "peer", None)
    return peer.client if peer is not None else connection._transport.get_extra_info("peername")


def peername_of(accepted: socket.socket) -> Any:
    """The client of a connection that no loop has open."""
    return cast("AcceptedSocket", accepted).peername


class SteppedServer:
    """An acceptor and its loops.

    What is in `before_giving` and `after_giving` happens once, when a loop gives the next connection back: when it has
    stopped reading and the acceptor does not have the connection yet, and when both have it; with its client's address.
    """

    def __init__(self, app: Any, kind: str, count: int = 2, bounds: Bounds = UNTIMED, **settings: Any) -> None:
        config = Config(
            app,
            **{
                "lifespan": "off",
                "access_log": False,
                "interface": "asgi3",
                "app_instance": "shared",
                "threads": count,
                "timeout_keep_alive": 1000,
                "timeout_request_header": 1000,
                **settings,
            },
        )
        self.kind = kind
        timeouts = config.timeout_keep_alive, config.timeout_request_header
        self.idle = IdleConnections(*timeouts, bounds.idle_grace_seconds)
        self.acceptor = Acceptor(make_distributor("least-busy"), self.idle)
        self.before_giving: list[Callable[[Any], object]] = []
        self.after_giving: list[Callable[[Any], object]] = []
        self.given: list[Any] = []
        self.loops: list[SteppedLoop] = []
        self.dead: list[SteppedLoop] = []
        # The clients whom nobody was left to serve.
        self._backlog: set[Any] = set()
        self.is_stopping = False
        self._is_closed = False
        self._reports: list[tuple[LoopServer, Phase]] = []
        self._shared = SharedResources(
            config, AppLoader(config), StartupCoordinator(config), None, None, None, bounds, nothing, self._give_back
        )
        listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        listener.setblocking(False)
        # Its connections have it from there.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = listener.getsockname()
        self.acceptor.listen([listener])
        for number in range(1, count + 1):
            self._begin(number)
        self.turn_all(ENOUGH)
        self.step()

    def _begin(self, number: int) -> None:
        self.loops.append(SteppedLoop(self._shared, number, self._report, self.kind))

    def _report(self, server: LoopServer, phase: Phase, error: BaseException | None) -> None:
        self._reports.append((server, phase))

    def _give_back(self, connection: ReturnedSocket) -> None:
        before, self.before_giving = self.before_giving, []
        after, self.after_giving = self.after_giving, []
        for act in before:
            act(connection.peername)
        self.acceptor.return_queue.put_threadsafe(connection)
        self.given.append(connection.peername)
        for act in after:
            act(connection.peername)

    def turn_all(self, times: int = 1) -> None:
        """Has every loop turn."""
        for _ in range(times):
            for each in self.loops:
                each.turn()

    def step(self) -> None:
        """Has the acceptor look once, and take in what the loops have reported."""
        self.acceptor.step(0)
        reports, self._reports = self._reports, []
        for server, phase in reports:
            if phase is Phase.READY and any(each.server is server and not each.is_dead for each in self.loops):
                self.acceptor.loops.append(server)

    def settle(self, times: int = ENOUGH) -> None:
        """Has everything happen that waits for no time to pass."""
        for _ in range(times):
            self.turn_all()
            self.step()

    def release(self, number: int) -> None:
        """Has a loop give back what is idle, for which it turns a few times."""
        self.loops[number].server.release_idle_threadsafe()
        for _ in range(LEAVING):
            self.loops[number].turn()

    def kill(self, number: int) -> None:
        """A loop dies, which the acceptor does not know yet."""
        self.loops[number].kill()

    def forget(self, number: int) -> None:
        """The acceptor learns that a loop is dead, and another begins in its place."""
        dead = self.loops[number]
        if dead.is_dead and not dead.loop.is_running() and dead not in self.dead:
            self.acceptor.remove(dead.server)
            self.dead.append(dead)
            if self.is_stopping:
                self._backlog.update(map(peername_of, self.acceptor._backlog))
            else:
                self.loops[number] = SteppedLoop(self._shared, dead.number, self._report, self.kind)

    def bury_dead(self) -> None:
        """The hosts of the dead loops close them."""
        for each in self.dead:
            each.bury()

    def stop(self) -> None:
        """The shutdown begins."""
        if not self.is_stopping:
            self.is_stopping = True
            places = self.places()
            self.acceptor.stop_listening()
            if not any(not each.is_dead and each.server in self.acceptor.loops for each in self.loops):
                # There was nobody whom the acceptor could have given anything.
                self._backlog.update(places, self.places())
            for each in self.loops:
                each.server.stop_threadsafe()

    def has_ended(self) -> bool:
        """Whether every loop is through."""
        return all(each.is_dead or each.has_ended for each in self.loops)

    def close(self) -> None:
        """Closes everything."""
        if self._is_closed:
            return
        self._is_closed = True
        self.stop()
        for each in self.loops:
            end = time.monotonic() + DEADLINE
            while not (each.is_dead or each.has_ended):
                assert time.monotonic() < end
                each.turn()
        for each in self.every_loop():
            if each.has_ended and not each.is_dead and not each.main.cancelled():
                each.main.result()
            each.bury()
        self.acceptor.close()

    def every_loop(self) -> list[SteppedLoop]:
        """The loops, and those whose places they have."""
        return self.loops + [each for each in self.dead if each not in self.loops]

    def places(self) -> list[Any]:
        """The clients of all connections, once for each place that has one."""
        idle: list[AcceptedSocket] = [*self.acceptor.return_queue._returned, *self.idle._connections.values()]
        found: list[Any] = [connection.peername for connection in idle]
        found += map(peername_of, self.acceptor._backlog)
        for each in self.every_loop():
            found += map(peername_of, each.server.handover._waiting)
            found += [*each.addresses(), *each.opening()]
        return found

    def bereaved(self) -> set[Any]:
        """The clients that the death of a loop may have cost their connections."""
        return self._backlog.union(*[each.lost for each in self.every_loop()])

    def faults(self) -> list[dict[str, Any]]:
        """What the loops had to be told of."""
        return [fault for each in self.every_loop() for fault in each.faults]


def nothing() -> None:
    """What is done where nobody asks for anything."""


class Echo:
    """Answers with the number of the request and what its body was, in the manner that its path names."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, number, manner = scope["path"].split("/")
        self.calls.append((int(number), scope["client"]))
        if manner == "die":
            asyncio.get_running_loop().call_soon(exit_loop)
        if manner == "early":
            await respond(send, answer_to(int(number), b""))
            return
        try:
            answer = answer_to(int(number), await read_body(receive))
        except Disconnected:
            return
        if manner in ("later", "stream", "die"):
            await turns(SOME)
        if manner == "stream":
            await start(send)
            await turns(SOME)
            for position in range(0, len(answer), 4):
                await body(send, answer[position : position + 4], more=True)
                await turns(1)
            await body(send)
        else:
            await respond(send, answer, headers=[(b"connection", b"close")] if manner == "close" else [])
        if manner == "after":
            await turns(SOME)


def exit_loop() -> None:
    """Kills the loop that calls it."""
    raise SystemExit


async def turns(count: int) -> None:
    """Waits for so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def answer_to(number: int, data: bytes) -> bytes:
    """The answer to a request."""
    return b"%d: %d bytes, %08x" % (number, len(data), zlib.crc32(data))


@dataclass
class Asked:
    """A request: its answer, and how much is sent with its last byte.

    `is_last` says that it ends the connection, and `is_early` that it may be answered before it is all there.
    """

    number: int
    answer: bytes
    is_last: bool
    is_early: bool
    end: int


@dataclass(eq=False)
class SteppedClient:
    """A client that does something only when the test says so, and waits for nothing."""

    socket: socket.socket
    asked: list[Asked] = field(default_factory=list)
    outgoing: bytes = b""
    sent: int = 0
    received: bytearray = field(default_factory=bytearray)
    at_eof: bool = False
    is_half_closed: bool = False
    is_gone: bool = False

    @classmethod
    def of(cls, server: SteppedServer) -> "SteppedClient":
        """Connects."""
        connection = socket.create_connection(server.address)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connection)

    def __post_init__(self) -> None:
        self.address = self.socket.getsockname()

    def ask(self, number: int, manner: str = "now", data: bytes = b"", *, framing: str = "") -> None:
        """Has another request to send."""
        head = b"GET /%d/%b HTTP/1.1\r\nHost: a\r\n" % (number, manner.encode())
        if framing == "length":
            head = b"POST" + head[3:] + b"Content-Length: %d\r\n" % len(data)
            sent = head + b"\r\n" + data
        elif framing == "chunks":
            half = len(data) // 2
            chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (data[:half], data[half:]) if part]
            sent = b"POST" + head[3:] + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"
        elif framing == "old":
            sent = head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n"
        elif framing == "blank":
            sent = b"\r\n" + head + b"\r\n"
        else:
            sent = head + b"\r\n"
        self.outgoing += sent
        answer = answer_to(number, b"" if manner == "early" else data)
        is_last = manner == "close" or framing == "old"
        self.asked.append(Asked(number, answer, is_last, manner == "early", self.sent + len(self.outgoing)))

    def send(self, count: float = inf) -> None:
        """Sends so many of the bytes that are left to send."""
        data = self.outgoing[: None if count == inf else int(count)]
        self.read()
        if not data or self.is_gone or self.is_half_closed or self.at_eof:
            return
        try:
            taken = self.socket.send(data)
        except (BrokenPipeError, ConnectionResetError):
            self.read()
            return
        assert taken == len(data)
        self.sent += taken
        self.outgoing = self.outgoing[taken:]

    def read(self) -> None:
        """Takes what has come."""
        while not (self.at_eof or self.is_gone):
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            self.at_eof = not data
            self.received += data

    def half_close(self) -> None:
        """Says that nothing more will be sent."""
        self.read()
        if not (self.is_gone or self.at_eof or self.is_half_closed):
            self.is_half_closed = True
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Goes, with whatever there is still to read."""
        self.is_gone = True
        self.socket.close()

    def reset(self) -> None:
        """Goes without a word."""
        if self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()

    def complete(self) -> list[Asked]:
        """The requests that are sent as a whole and are to be answered, in order."""
        whole = [one for one in self.asked if one.end <= self.sent]
        last = next((at for at, one in enumerate(whole, 1) if one.is_last), len(whole))
        return whole[:last]

    def has_begun_another(self) -> bool:
        """Whether there is a part of a request behind those that are complete."""
        ends = [one.end for one in self.asked if one.end <= self.sent]
        return self.sent > (ends[-1] if ends else 0)

    def responses(self) -> list[Response]:
        """The responses that have come as a whole; anything that is none raises `BadResponse`."""
        pieces = iter([bytes(self.received)])
        reader = ResponseReader(lambda: next(pieces, b""))
        found: list[Response] = []
        try:
            while reader.more():
                response = reader.response()
                if not response.ended_by_eof or self.at_eof:
                    found.append(response)
        except Incomplete:
            pass
        return found

    def bodies(self) -> list[bytes]:
        """What has been answered."""
        return [response.body for response in self.responses()]


def descriptors() -> int:
    """How many descriptors the process has."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208
