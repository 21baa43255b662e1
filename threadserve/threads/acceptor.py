"""The acceptor: accepts connections from the listening sockets and hands each over to a loop thread.

Runs on the server's thread, and owns the listeners, the selector and the wake-up sockets. Only the `*_threadsafe`
methods may be called from elsewhere, `wake_threadsafe` from signal handlers too. It never reads from a connection and
never runs application code.
"""

import selectors
import time
from collections.abc import Callable, Sequence
from math import inf
from socket import socket, socketpair
from typing import Protocol

from threadserve.errors import MailboxClosed
from threadserve.listening.accepted import AcceptedSocket
from threadserve.listening.tcp import is_shared
from threadserve.threads.accept_queue import (
    EXHAUSTION_PAUSE_SECONDS,
    HANDSHAKE_SECONDS,
    AcceptQueue,
    DescriptorsExhausted,
    ExhaustionLog,
    drop_new_connections,
)
from threadserve.threads.balancing import BalancedLoop, Balancer
from threadserve.threads.handover import STALL_SECONDS, are_all_late, find_stalled
from threadserve.threads.idle_connections import IdleConnections, ReturnQueue

# How often the acceptor looks for a loop that can take connections from a stalled one.
RESCUE_SECONDS = 0.001


class ReceivingLoop(BalancedLoop, Protocol):
    """A loop as the acceptor sees it."""

    def hand_over_threadsafe(self, connection: AcceptedSocket) -> None:
        """Hand over a connection. Raises `MailboxClosed` if the loop takes no more."""
        ...


class Acceptor:
    """Distributes connections over `loops`, a list that the loop group changes between two steps.

    With `idle` it watches the idle connections that loops return by `return_queue`; `balancer`, if there is one,
    decides when loops return connections.
    """

    def __init__(
        self,
        choose: Callable[[Sequence[ReceivingLoop]], ReceivingLoop],
        idle: IdleConnections | None = None,
        balancer: Balancer | None = None,
    ) -> None:
        self.loops: list[ReceivingLoop] = []
        self._choose = choose
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._queues: list[AcceptQueue] = []
        self._paused_until = 0.0
        self._exhaustion = ExhaustionLog()
        self._backlog: list[AcceptedSocket] = []
        self._has_stopped = False
        self.return_queue = ReturnQueue(self.wake_threadsafe)
        self._idle = idle
        self._balancer = balancer
        if idle is not None:
            self._selector.register(idle, selectors.EVENT_READ, idle)

    def wake_threadsafe(self) -> None:
        """Wake a `step` that waits."""
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            # The buffer is full, and the step ends anyway; or the acceptor is closed and takes no more steps.
            return

    def idle_threadsafe(self) -> int:
        """Return the number of idle connections that belong to no loop."""
        return len(self._idle) if self._idle is not None else 0

    def exhaustions_threadsafe(self) -> int:
        """Return how often no connection could be accepted for want of descriptors."""
        return self._exhaustion.count

    def listen(self, listeners: list[socket]) -> None:
        """Accept from these sockets, which listen already, and own them."""
        self._queues += map(AcceptQueue, listeners)
        self._watch()

    def step(self, timeout: float) -> None:
        """Wait `timeout` seconds at most for connections or a wake-up, and hand over what has come."""
        for key, _ in self._selector.select(self._compute_wait(timeout)):
            if key.data is None:
                self._wake_reader.recv(4096)
            elif key.data is self._idle:
                self._hand_over_returned(self._idle.take_ready())
            else:
                self._accept(key.data)
        if self._paused_until and time.monotonic() >= self._paused_until:
            self._watch()
        self._redistribute()
        if self._idle is not None and not self._has_stopped:
            self._check_idle(self._idle)

    def remove(self, loop: ReceivingLoop) -> None:
        """Remove a loop that has ended, and take back the connections that wait in its queue."""
        if loop in self.loops:
            self.loops.remove(loop)
        self._backlog += loop.handover.take_all()

    def stop_listening(self) -> None:
        """Hand over what waits in the listeners, and close them. From now on no connection is moved from loop to loop.

        A loop takes up what it was given before it drains, whereas another loop may have drained already. Idle
        connections whose next request may be under way are handed over as well, and the others are closed.
        """
        for queue in self._queues:
            drop_new_connections(queue.listener)
        deadline = time.monotonic() + HANDSHAKE_SECONDS
        while self._queues and (left := deadline - time.monotonic()) > 0:
            self.step(left)
        self._has_stopped = True
        self._unwatch()
        self._paused_until = 0.0
        for queue in self._queues:
            self._hand_over(queue.drain_and_close())
        self._queues = []
        if self._idle is not None:
            self._hand_over_last_idle(self._idle)

    def close(self) -> None:
        """Close everything that the acceptor still owns."""
        listeners = [queue.listener for queue in self._queues]
        for owned in (*self._backlog, *listeners, self._wake_reader, self._wake_writer):
            owned.close()
        if self._idle is not None:
            self._idle.close()
        if self._balancer is not None:
            self._balancer.close()
        self._selector.close()

    def _check_idle(self, idle: IdleConnections) -> None:
        self._take_returned(idle)
        now = time.monotonic()
        if idle.next_deadline() <= now:
            # A request that came in time is not late because nobody looked until now.
            while ready := idle.take_ready():
                self._hand_over_returned(ready)
            idle.close_overdue(now)
        if self._balancer is not None and self.loops:
            self._balancer.check(self.loops)

    def _take_returned(self, idle: IdleConnections) -> None:
        for connection in self.return_queue.take_all():
            try:
                idle.add(connection)
            except OSError:
                # The limit of watched descriptors is reached.
                self._hand_over([connection])

    def _hand_over_last_idle(self, idle: IdleConnections) -> None:
        self.return_queue.close()
        self._take_returned(idle)
        while ready := idle.take_ready():
            self._hand_over(ready)
        self._hand_over(idle.take_recent())
        self._selector.unregister(idle)
        idle.close()

    def _compute_wait(self, timeout: float) -> float:
        """Return how long the selector may wait, `timeout` seconds at most, before something else is due."""
        if self._backlog and self.loops:
            return min(timeout, STALL_SECONDS)
        if len(self.loops) > 1 and any(loop.handover for loop in self.loops):
            is_any_stalled = any(loop.handover for loop in find_stalled(self.loops))
            return min(timeout, RESCUE_SECONDS if is_any_stalled else STALL_SECONDS)
        deadlines = [self._paused_until] if self._paused_until else []
        if self._idle is not None and not self._has_stopped:
            deadlines.append(self._idle.next_deadline())
            if self._balancer is not None and self.loops:
                deadlines.append(self._balancer.next_check)
        return min(timeout, max(0.0, min(deadlines, default=inf) - time.monotonic()))

    def _accept(self, queue: AcceptQueue) -> None:
        if is_shared(queue.listener) and self.loops and are_all_late(self.loops):
            # Another process may serve the connection at once.
            self._pause(STALL_SECONDS)
            return
        try:
            connections = queue.take_batch()
        except DescriptorsExhausted as error:
            self._exhaustion.report(error)
            self._pause(EXHAUSTION_PAUSE_SECONDS)
            return
        self._hand_over(connections)

    def _pause(self, seconds: float) -> None:
        """Stop polling the listeners, which stay readable while nothing is accepted from them."""
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

    def _hand_over_returned(self, connections: Sequence[AcceptedSocket]) -> None:
        """Hand over connections that were idle, but not to the busier loops, which return theirs to get rid of load."""
        self._hand_over(connections, self._balancer.busier if self._balancer is not None else ())

    def _hand_over(self, connections: Sequence[AcceptedSocket], busier: Sequence[object] = ()) -> None:
        stalled = find_stalled(self.loops)
        responsive = [loop for loop in self.loops if loop not in stalled]
        candidates = [loop for loop in responsive if loop not in busier]
        for connection in connections:
            self._hand_to_one_of(candidates or responsive or self.loops, connection)

    def _hand_to_one_of(self, candidates: list[ReceivingLoop], connection: AcceptedSocket) -> None:
        while candidates:
            chosen = self._choose(candidates)
            try:
                chosen.hand_over_threadsafe(connection)
            except MailboxClosed:
                candidates = [loop for loop in candidates if loop is not chosen]
            else:
                return
        # Between a loop's death and its replacement there may be no loop for the connection.
        self._backlog.append(connection)

    def _redistribute(self) -> None:
        """Hand over the backlog, and move the connections that stalled loops have not taken to other loops."""
        if not self.loops or self._has_stopped:
            return
        if self._backlog:
            backlog, self._backlog = self._backlog, []
            self._hand_over(backlog)
        if not any(loop.handover for loop in self.loops):
            return
        if stalled := [loop for loop in find_stalled(self.loops) if loop.handover]:
            self._rescue(stalled)

    def _rescue(self, stalled: list[ReceivingLoop]) -> None:
        """Move one connection to each loop with an empty queue, which may turn out to be as busy."""
        free = [loop for loop in self.loops if not loop.handover.is_wakeup_pending()]
        for _ in range(len(free)):
            connection = next((taken for each in stalled if (taken := each.handover.take()) is not None), None)
            if connection is None:
                return
            self._hand_to_one_of(free, connection)
            free = [loop for loop in free if not loop.handover.is_wakeup_pending()]
