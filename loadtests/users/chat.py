"""Somebody who talks in a chat room over a WebSocket."""

import itertools
import json
import os
import random
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import gevent
from gevent.event import Event
from locust import task
from websocket import WebSocketException, WebSocketTimeoutException, create_connection

from loadtests.users.visitor import Visitor, require

PATIENCE = 10.0
CLOSING_PATIENCE = 1.0
ROOM_SIZE = 5
TEXT = "The quick brown fox jumps over the lazy dog. " * 2
# Rooms of this run; a process adds its id to it, for Locust forks those that run users.
RUN = uuid4().hex
users = itertools.count()
members = itertools.count()


class ChatUser(Visitor):
    """Think time from half a second to two seconds between messages, in a room of five; it leaves after 20 or so.

    Three requests are recorded: `/chat connect` is the handshake, `/chat own message` the time from sending a message
    until it comes back, `/chat message of another` the time from somebody's sending it until it is heard. Who hears
    whom depends on the server, which has a room for each event loop; but of somebody who is heard once, every message
    has to come, in order.
    """

    think_time = (0.5, 2.0)
    leaving_share = 0.05

    def on_start(self) -> None:
        """A room is for users of one process, so what one says and another one hears is timed by the same clock."""
        self.room = f"{RUN}-{os.getpid()}-{next(users) // ROOM_SIZE}"
        self.membership: Membership | None = None

    @task
    def talk(self) -> None:
        if self.membership is None:
            self.enter()
        if self.membership is not None and (not self.say(self.membership) or random.random() < self.leaving_share):
            self.leave()

    def enter(self) -> None:
        with self.measured("WS", "/chat connect"):
            url = f"ws{str(self.host).removeprefix('http')}/chat?room={self.room}"
            self.membership = Membership(url, self.heard)

    def say(self, membership: "Membership") -> bool:
        """Says something; returns whether it came back."""
        with self.measured("WS", "/chat own message", len(TEXT)):
            membership.say(TEXT)
            return True
        return False

    def heard(self, seconds: float, size: int) -> None:
        self.record("WS", "/chat message of another", seconds, size)

    def leave(self) -> None:
        if self.membership is not None:
            self.membership.end()
            self.membership = None

    def on_stop(self) -> None:
        self.leave()


class Membership:
    """One WebSocket in a room. A greenlet listens while it is open; it calls `heard` for each message of another.

    `heard` is given the seconds since the message was sent, and its size. Raises WebSocketException and OSError where
    there is no connection to be had.
    """

    def __init__(self, url: str, heard: Callable[[float, int], None]) -> None:
        self._name = next(members)
        self._heard = heard
        self._said: dict[str, Any] = {"number": 0}
        self._last_of: dict[int, int] = {}
        self._came_back = Event()
        self._error: Exception | None = None
        self._socket = create_connection(url, timeout=PATIENCE, sslopt={"cert_reqs": ssl.CERT_NONE})
        self._listener = gevent.spawn(self._listen)

    def say(self, text: str) -> None:
        """Sends a message and waits until it comes back; raises an exception if it does not, or not unharmed."""
        self._came_back.clear()
        if self._error is None:
            number, now = self._said["number"] + 1, time.perf_counter()
            self._said = {"name": self._name, "number": number, "sent": now, "text": text}
            self._socket.send(json.dumps(self._said))
            require(self._came_back.wait(PATIENCE), f"the message did not come back within {PATIENCE:.0f} seconds")
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Leaves the room and closes the WebSocket."""
        self._listener.kill()
        with suppress(WebSocketException, OSError):
            self._socket.close(timeout=CLOSING_PATIENCE)

    def _listen(self) -> None:
        try:
            while True:
                with suppress(WebSocketTimeoutException):
                    self._take(self._socket.recv())
        except Exception as error:
            self._error = error
        finally:
            self._came_back.set()

    def _take(self, text: str | bytes) -> None:
        require(text, "the server closed the WebSocket")
        message = json.loads(text)
        if message["name"] == self._name:
            require(message == self._said, "another message came back")
            self._came_back.set()
            return
        sender, number = message["name"], message["number"]
        before = self._last_of.get(sender, number - 1)
        require(number == before + 1, f"message {number} came after message {before}")
        self._last_of[sender] = number
        self._heard(time.perf_counter() - message["sent"], len(text))
