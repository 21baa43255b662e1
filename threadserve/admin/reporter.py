"""A worker's answers to its supervisor, which speaks for all workers at the admin address.

Runs on threads of its own in the worker. It owns the worker's end of the connection; it waits there for questions, and
ends with the supervisor.
"""

import contextvars
import pickle
import struct
import threading
from contextlib import suppress
from queue import SimpleQueue
from socket import SHUT_RDWR, socket
from typing import BinaryIO

from threadserve.admin.process import ProcessView
from threadserve.metrics.states import Detail

# Which question this is, and how much of it is to be told.
QUESTION = struct.Struct("!IB")
# How long, in seconds, the end of a thread is waited for.
JOIN_TIMEOUT_SECONDS = 1.0
# Which question is answered, and how long the answer is.
ANSWER_HEAD = struct.Struct("!II")


class StateReporter:
    """Answers with the state of this process, pickled: the same code reads it on the other side.

    What the threads do takes long to find out, and has a thread of its own: other questions are not to wait for that.
    """

    def __init__(self, connection: socket, view: ProcessView) -> None:
        self._connection = connection
        self._view = view
        self._answer_lock = threading.Lock()
        self._slow: SimpleQueue[tuple[int, Detail] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=contextvars.Context().run, args=(target,), name="threadserve-reporter", daemon=True)
            for target in (self._take_questions, self._answer_slow)
        ]

    def start(self) -> None:
        """Starts the threads. To be called once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads, and waits for that unless one is at an answer that takes long."""
        with suppress(OSError):
            self._connection.shutdown(SHUT_RDWR)
        self._slow.put(None)
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_SECONDS)
        self._connection.close()

    def _take_questions(self) -> None:
        # The supervisor may go at any time.
        with suppress(OSError), self._connection.makefile("rb") as questions:
            while (question := read_question(questions)) is not None:
                if question[1] is Detail.CALLS:
                    self._slow.put(question)
                else:
                    self._answer(*question)

    def _answer_slow(self) -> None:
        with suppress(OSError):
            while (question := self._slow.get()) is not None:
                self._answer(*question)

    def _answer(self, number: int, detail: Detail) -> None:
        answer = pickle.dumps(self._view.look_threadsafe(detail))
        with self._answer_lock:
            self._connection.sendall(ANSWER_HEAD.pack(number, len(answer)) + answer)


def read_question(questions: BinaryIO) -> tuple[int, Detail] | None:
    """The next question, or None at the end of the connection."""
    asked = questions.read(QUESTION.size)
    if len(asked) < QUESTION.size:
        return None
    number, detail = QUESTION.unpack(asked)
    return number, Detail(detail)
