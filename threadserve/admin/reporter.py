"""A worker's answers to its supervisor, which speaks for all workers at the admin address.

Runs on two threads of its own in the worker. It owns the worker's end of the connection, waits there for questions, and
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

# The number of the question, and the detail that it asks for.
QUESTION = struct.Struct("!IB")
# The time that a thread has to end.
JOIN_TIMEOUT_SECONDS = 1.0
# The number of the question, and the size of the answer in bytes.
ANSWER_HEAD = struct.Struct("!II")


class StateReporter:
    """Answers with the pickled state of this process; the supervisor runs the same code.

    Reading the running calls takes long, so a second thread does that and other questions do not wait.
    """

    def __init__(self, connection: socket, view: ProcessView) -> None:
        self._connection = connection
        self._view = view
        self._answer_lock = threading.Lock()
        self._slow_questions: SimpleQueue[tuple[int, Detail] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=contextvars.Context().run, args=(target,), name="threadserve-reporter", daemon=True)
            for target in (self._take_questions, self._answer_slow)
        ]

    def start(self) -> None:
        """Start the threads. Must be called once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, and wait for them at most `JOIN_TIMEOUT_SECONDS` each."""
        with suppress(OSError):
            self._connection.shutdown(SHUT_RDWR)
        self._slow_questions.put(None)
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_SECONDS)
        self._connection.close()

    def _take_questions(self) -> None:
        # The supervisor may end at any time.
        with suppress(OSError), self._connection.makefile("rb") as questions:
            while (question := read_question(questions)) is not None:
                if question[1] is Detail.CALLS:
                    self._slow_questions.put(question)
                else:
                    self._answer(*question)

    def _answer_slow(self) -> None:
        with suppress(OSError):
            while (question := self._slow_questions.get()) is not None:
                self._answer(*question)

    def _answer(self, number: int, detail: Detail) -> None:
        answer = pickle.dumps(self._view.read_state_threadsafe(detail))
        with self._answer_lock:
            self._connection.sendall(ANSWER_HEAD.pack(number, len(answer)) + answer)


def read_question(questions: BinaryIO) -> tuple[int, Detail] | None:
    """Return the next question, or None at the end of the connection."""
    asked = questions.read(QUESTION.size)
    if len(asked) < QUESTION.size:
        return None
    number, detail = QUESTION.unpack(asked)
    return number, Detail(detail)
