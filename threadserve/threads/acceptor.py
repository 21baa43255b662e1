"""The acceptor: takes connections from every listening socket and hands each to a loop thread.

Runs on the server's thread: one of its own where a loop has the thread that called, or else that one. It owns the
listeners, the selector and the wake-up sockets; `wake_threadsafe` alone may be called from elsewhere, signal handlers
included. It never reads from a connection and never runs application code.
"""

import selectors
import time
from collections.abc import Callable, Sequence
from math import inf
from socket import socket, socketpair
from typing import Protocol

from threadserve.errors import MailboxClosed
from threadserve.listening.tcp import is_shared
from threadserve.threads.accepting import (
    HANDSHAKE,
    PAUSE,
    AcceptQueue,
    Exhausted,
    ExhaustionLog,
    ignore_newcomers,
)
from threadserve.threads.balancing import Balanced, Balancer
from threadserve.threads.distribution import STALL, Taker, Target, all_late, stalled
from threadserve.threads.idle import IdleConnections, ReturnBox

# How often, in seconds, the acceptor looks for a loop that can take what lies before a stalled one.
RESCUE = 0.001


class Receiver(Target, Taker, Balanced, Protocol):
    """A loop, as far as the acceptor sees it."""

    def hand_over_threadsafe(self, connection: socket) -> None:
        """Gives the loop a connection. Raises `MailboxClosed` when it takes none."""
        ...


class Acceptor:
    """Distributes connections over `receivers`, a list that its owner changes between two steps.

    With `idle` it takes those back that are, by `returned`, and has `balancer`, if there is one, say when.
    """

    def __init__(
        self,
        choose: Callable[[Sequence[Receiver]], Receiver],
        idle: IdleConnections | None = None,
        balancer: Balancer | None = None,
    ) -> None:
        self.receivers: list[Receiver] = []
        self._choose = choose
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._queues: list[AcceptQueue] = []
        self._paused_until = 0.0
        self._exhaustion = ExhaustionLog()
        self._homeless: list[socket] = []
        self._stopped = False
        self.returned = ReturnBox(self.wake_threadsafe)
        self._idle = idle
        self._balancer = balancer
        if idle is not None:
            self._selector.register(idle, selectors.EVENT_READ, idle)

    def wake_threadsafe(self) -> None:
        """Ends a `step` that waits."""
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            # The buffer is full, so that the step ends anyway; or the acceptor is closed and takes no more steps.
            return

    def idle_threadsafe(self) -> int:
        """How many idle connections belong to no loop."""
        return len(self._idle) if self._idle is not None else 0

    def exhaustions_threadsafe(self) -> int:
        """How often no connection could be accepted for want of descriptors."""
        return self._exhaustion.count

    def listen(self, listeners: list[socket]) -> None:
        """Accepts from these sockets, which listen already, and owns them."""
        self._queues += map(AcceptQueue, listeners)
        self._watch()

    def step(self, timeout: float) -> None:
        """Waits for connections, a wake-up or `timeout` seconds, and hands over what has come."""
        for key, _ in self._selector.select(self._wait_time(timeout)):
            if key.data is None:
                self._wake_reader.recv(4096)
            elif key.data is self._idle:
                self._hand_over_returned(self._idle.take_ready())
            else:
                self._accept(key.data)
        if self._paused_until and time.monotonic() >= self._paused_until:
            self._watch()
        self._redistribute()
        if self._idle is not None and not self._stopped:
            self._look_after_idle(self._idle)

    def remove(self, receiver: Receiver) -> None:
        """Hands nothing more to a loop that has ended, and what lies before it to the others."""
        if receiver in self.receivers:
            self.receivers.remove(receiver)
        self._homeless += receiver.handed.take_all()

    def stop_listening(self) -> None:
        """Hands over what waits in the listeners, and closes them. What a loop has been given by then stays with it.

        It takes up those connections before it finishes, whereas another may have finished already. Of the idle ones
        those are handed over whose next request may be under way, and the others closed.
        """
        for queue in self._queues:
            ignore_newcomers(queue.listener)
        deadline = time.monotonic() + HANDSHAKE
        while self._queues and (left := deadline - time.monotonic()) > 0:
            self.step(left)
        self._stopped = True
        self._unwatch()
        self._paused_until = 0.0
        for queue in self._queues:
            self._hand_over(queue.drain_and_close())
        self._queues = []
        if self._idle is not None:
            self._end_idle(self._idle)

    def close(self) -> None:
        """Closes whatever the acceptor still owns."""
        listeners = [queue.listener for queue in self._queues]
        for owned in (*self._homeless, *listeners, self._wake_reader, self._wake_writer):
            owned.close()
        if self._idle is not None:
            self._idle.close()
        if self._balancer is not None:
            self._balancer.close()
        self._selector.close()

    def _look_after_idle(self, idle: IdleConnections) -> None:
        self._take_returned(idle)
        now = time.monotonic()
        if idle.next_tick() <= now:
            # What has come in time is not too late only because it was not looked at.
            while ready := idle.take_ready():
                self._hand_over_returned(ready)
            idle.close_overdue(now)
        if self._balancer is not None and self.receivers:
            self._balancer.look(self.receivers)

    def _take_returned(self, idle: IdleConnections) -> None:
        for connection in self.returned.take_all():
            try:
                idle.add(connection)
            except OSError:
                # The system watches no more for this user.
                self._hand_over([connection])

    def _end_idle(self, idle: IdleConnections) -> None:
        self.returned.close()
        self._take_returned(idle)
        while ready := idle.take_ready():
            self._hand_over(ready)
        self._hand_over(idle.take_recent())
        self._selector.unregister(idle)
        idle.close()

    def _wait_time(self, timeout: float) -> float:
        """For how long there is nothing to do that no socket tells of."""
        if self._homeless and self.receivers:
            return min(timeout, STALL)
        if len(self.receivers) > 1 and any(receiver.handed for receiver in self.receivers):
            lies_long = any(receiver.handed for receiver in stalled(self.receivers))
            return min(timeout, RESCUE if lies_long else STALL)
        until = [self._paused_until] if self._paused_until else []
        if self._idle is not None and not self._stopped:
            until.append(self._idle.next_tick())
            if self._balancer is not None and self.receivers:
                until.append(self._balancer.next_look)
        return min(timeout, max(0.0, min(until, default=inf) - time.monotonic()))

    def _accept(self, queue: AcceptQueue) -> None:
        if is_shared(queue.listener) and self.receivers and all_late(self.receivers):
            # Another process may serve it at once.
            self._pause(STALL)
            return
        try:
            connections = queue.take_batch()
        except Exhausted as error:
            self._exhaustion.report(error)
            self._pause(PAUSE)
            return
        self._hand_over(connections)

    def _pause(self, seconds: float) -> None:
        """Stops polling listeners that stay readable while nothing is accepted from them."""
        self._paused_until = time.monotonic() + seconds
        self._unwatch()

    def _watch(self) -> None:
        self._paused_until = 0.0
        for queue in self._queues:
            if queue.listener.fileno() not in self._selector.get_map():
                self._selector.register(queue.listener, selectors.EVENT_READ, queue)

    def _unwatch(self) -> None:
        for queue in self._queues:
            if queue.listener.fileno() in self._selector.get_map():
                self._selector.unregister(queue.listener)

    def _hand_over_returned(self, connections: Sequence[socket]) -> None:
        """Hands over connections that were idle: to loops that have not given back theirs for having much to do."""
        self._hand_over(connections, self._balancer.busier if self._balancer is not None else ())

    def _hand_over(self, connections: Sequence[socket], busier: Sequence[object] = ()) -> None:
        avoided = stalled(self.receivers)
        turning = [receiver for receiver in self.receivers if receiver not in avoided]
        candidates = [receiver for receiver in turning if receiver not in busier]
        for connection in connections:
            self._hand_to_one_of(candidates or turning or self.receivers, connection)

    def _hand_to_one_of(self, candidates: list[Receiver], connection: socket) -> None:
        while candidates:
            chosen = self._choose(candidates)
            try:
                chosen.hand_over_threadsafe(connection)
            except MailboxClosed:
                candidates = [receiver for receiver in candidates if receiver is not chosen]
            else:
                return
        # Between a loop's death and its replacement there may be nobody to serve the connection: it waits.
        self._homeless.append(connection)

    def _redistribute(self) -> None:
        """Tries again what nobody would take, and gives what stalled loops have left lying to the others."""
        if not self.receivers or self._stopped:
            return
        if self._homeless:
            homeless, self._homeless = self._homeless, []
            self._hand_over(homeless)
        if not any(receiver.handed for receiver in self.receivers):
            return
        if left := [receiver for receiver in stalled(self.receivers) if receiver.handed]:
            self._rescue_from(left)

    def _rescue_from(self, stalled: list[Receiver]) -> None:
        """Gives one connection to each loop that has nothing before it: it may turn out to be as busy as they are."""
        free = [receiver for receiver in self.receivers if not receiver.handed.owes_turn()]
        for _ in range(len(free)):
            connection = next((taken for each in stalled if (taken := each.handed.take()) is not None), None)
            if connection is None:
                return
            self._hand_to_one_of(free, connection)
            free = [receiver for receiver in free if not receiver.handed.owes_turn()]
