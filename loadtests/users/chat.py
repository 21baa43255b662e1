"""Somebody who talks in a chat room over a WebSocket."""

import itertools
import json
import os
import random
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import gevent
from gevent.queue import Queue
from locust import task
from websocket import WebSocket, WebSocketException, WebSocketTimeoutException, create_connection

from loadtests.users.visitor import Visitor, require

PATIENCE_SECONDS = 10.0
ROOM_SIZE = 5
LEAVING_SHARE = 0.05
TEXT = "The quick brown fox jumps over the lazy dog. " * 2
users = itertools.count()


class ChatUser(Visitor):
    """Think time from half a second to two seconds between messages, in a room of five; it leaves after 20 or so.

    Three requests are recorded: `/chat connect` is the handshake, `/chat own message` the time from sending a message
    until it comes back, `/chat message of another` the time from somebody's sending it until it is heard. Who hears
    whom depends on the server, which has a room for each event loop; but of somebody who is heard once, every message
    has to come, in order.
    """

    think_time = (0.5, 2.0)

    def on_start(self) -> None:
        """Join a room of users of one process: what one says and another one hears is timed by the same clock."""
        self.room = f"{os.getpid()}-{next(users) // ROOM_SIZE}"
        self.socket: WebSocket | None = None

    @task
    def talk(self) -> None:
        if self.socket is None:
            with self.timed("WS", "/chat connect"):
                self.enter()
        if self.socket is not None:
            with self.timed("WS", "/chat own message") as errors:
                self.say(self.socket)
            if errors or random.random() < LEAVING_SHARE:
                self.on_stop()

    def enter(self) -> None:
        """Enter the room under a new name; raise WebSocketException or OSError where there is no connection."""
        self.socket = create_connection(self.websocket_url(self.room), timeout=PATIENCE_SECONDS)
        self.name, self.numbers = uuid4().hex, itertools.count(1)
        self.last_of: dict[str, int] = {}
        # Own messages as they come back, and what ended the listening.
        self.came: Queue[Any] = Queue()
        self.listener = gevent.spawn(self.listen, self.socket)

    def say(self, socket: WebSocket) -> None:
        """Send a message and wait until it comes back; raise an exception if it does not, or not unharmed."""
        said = {"name": self.name, "number": next(self.numbers), "sent": time.perf_counter(), "text": TEXT}
        if self.came.empty():
            socket.send(json.dumps(said))
        came = self.came.get(timeout=PATIENCE_SECONDS)
        if isinstance(came, Exception):
            raise came
        require(came == said, "another message came back")

    def on_stop(self) -> None:
        """Leave the room."""
        if self.socket is not None:
            self.listener.kill()
            with suppress(WebSocketException, OSError):
                self.socket.close(timeout=1)
            self.socket = None

    def listen(self, socket: WebSocket) -> None:
        """Take what is said in the room, in a greenlet of its own."""
        try:
            while True:
                with suppress(WebSocketTimeoutException):
                    self.hear(socket.recv())
        except Exception as error:
            self.came.put(error)

    def hear(self, text: str | bytes) -> None:
        """Take one message; raise ResponseError where it is not the next one of its sender."""
        require(text, "the server closed the WebSocket")
        message = json.loads(text)
        sender, number = message["name"], message["number"]
        if sender == self.name:
            self.came.put(message)
            return
        before = self.last_of.get(sender, number - 1)
        require(number == before + 1, f"message {number} came after message {before}")
        self.last_of[sender] = number
        self.record("WS", "/chat message of another", time.perf_counter() - message["sent"])
