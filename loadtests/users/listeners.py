"""Users who are told what goes on: by server-sent events, and in a chat room over a WebSocket."""

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
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS
from locust.exception import RescheduleTask, ResponseError
from websocket import ABNF, WebSocket, WebSocketException, WebSocketTimeoutException, create_connection

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, require, require_whole

EVENTS, INTERVAL = 10, 0.1
PATIENCE_SECONDS = 10.0
ROOM_SIZE = 5
LEAVING_SHARE = 0.05
# How a server says that it is restarted, or stopped. Whoever wants to go on connects anew.
GOING_AWAY = (1001, 1012)
TEXT = "The quick brown fox jumps over the lazy dog. " * 2
users = itertools.count()


class EventsUser(Visitor):
    """Think time from half a second to two seconds between streams of ten events, one each 100 ms.

    Three requests are recorded: `/events`, until the head of the answer, fails if the stream is not as it should be;
    `/events first` is the time from the request to the first event, `/events next` that from an event to the next one.
    """

    think_time = (0.5, 2.0)

    @task
    def listen(self) -> None:
        before, path = time.perf_counter(), f"/events?count={EVENTS}&interval={INTERVAL}"
        with self.client.get(path, name="/events", stream=True, catch_response=True) as response:
            require_whole(response, 200)
            assert response._response is not None
            for number in range(1, EVENTS + 2):
                try:
                    event = response._response.readline(b"\n\n")
                except FAILURE_EXCEPTIONS as error:
                    raise ResponseError(f"the stream broke off: {error}") from None
                due = catalogue.event(number) if number <= EVENTS else b""
                require(event == due, f"{event[:20]!r} instead of {due[:20]!r}")
                if due:
                    now = time.perf_counter()
                    self.record("SSE", "/events first" if number == 1 else "/events next", now - before)
                    before = now
            response.success()


class ChatUser(Visitor):
    """Think time from half a second to two seconds between messages, in a room of five; it leaves after 20 or so.

    Three requests are recorded: `/chat connect` is the handshake, `/chat own message` the time from sending a message
    until it comes back, `/chat message of another` the time from somebody's sending it until it is heard. Who hears
    whom depends on the server, which has a room for each event loop; but of somebody who is heard once, every message
    has to come, in order. A server that says that it goes away has done nothing wrong.
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
        url = f"ws{str(self.host).removeprefix('http')}/chat?room={self.room}"
        self.socket = create_connection(url, timeout=PATIENCE_SECONDS)
        self.name, self.numbers = uuid4().hex, itertools.count(1)
        self.last_of: dict[str, int] = {}
        # Own messages as they come back, and None when the connection has ended.
        self.came: Queue[Any] = Queue()
        self.listener = gevent.spawn(self.hear_all, self.socket)

    def say(self, socket: WebSocket) -> None:
        """Send a message and wait until it comes back; raise an exception if it does not, or not unharmed.

        Raises RescheduleTask where the connection has ended, of which there is nothing more to record.
        """
        said = {"name": self.name, "number": next(self.numbers), "sent": time.perf_counter(), "text": TEXT}
        if self.came.empty():
            socket.send(json.dumps(said))
        came = self.came.get(timeout=PATIENCE_SECONDS)
        if came is None:
            self.on_stop()
            raise RescheduleTask
        require(came == said, "another message came back")

    def on_stop(self) -> None:
        """Leave the room."""
        if self.socket is not None:
            self.listener.kill()
            with suppress(WebSocketException, OSError):
                self.socket.close(timeout=1)
            self.socket = None

    def hear_all(self, socket: WebSocket) -> None:
        """Take what is said in the room, in a greenlet of its own, until the connection ends.

        That it was lost is recorded when it happens, which may be long before the next message.
        """
        try:
            while True:
                with suppress(WebSocketTimeoutException):
                    opcode, data = socket.recv_data()
                    if opcode == ABNF.OPCODE_CLOSE and int.from_bytes(data[:2]) in GOING_AWAY:
                        break
                    require(opcode == ABNF.OPCODE_TEXT, "the server closed the WebSocket")
                    self.hear(data)
        except Exception as error:
            self.record("WS", "/chat own message", 0.0, error)
        self.came.put(None)

    def hear(self, text: bytes) -> None:
        """Take one message; raise ResponseError where it is not the next one of its sender."""
        message = json.loads(text)
        sender, number = message["name"], message["number"]
        if sender == self.name:
            self.came.put(message)
            return
        before = self.last_of.get(sender, number - 1)
        require(number == before + 1, f"message {number} came after message {before}")
        self.last_of[sender] = number
        self.record("WS", "/chat message of another", time.perf_counter() - message["sent"])
