"""A worker's answers to its supervisor, which speaks for all workers at the admin address.

Runs on a thread of its own in the worker. It owns the worker's end of the connection; it waits there for questions, and
ends with the supervisor.
"""

import contextvars
import pickle
import struct
import threading
from contextlib import suppress
from socket import SHUT_RDWR, socket
from typing import BinaryIO

from threadserve.admin.process import ProcessView
from threadserve.metrics.states import Detail

# Which question this is, and how much of it is to be told.
QUESTION = struct.Struct("!IB")
# Which question is answered, and how long the answer is.
ANSWER_HEAD = struct.Struct("!II")


class Reporter:
    """Answers with the state of this process, pickled: the same code reads it on the other side."""

    def __init__(self, connection: socket, view: ProcessView) -> None:
        self._connection = connection
        self._view = view
        run = contextvars.Context().run
        self._thread = threading.Thread(target=run, args=(self._answer,), name="threadserve-reporter", daemon=True)

    def start(self) -> None:
        """Starts the thread. To be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        with suppress(OSError):
            self._connection.shutdown(SHUT_RDWR)
        self._thread.join()
        self._connection.close()

    def _answer(self) -> None:
        # The supervisor may go at any time.
        with suppress(OSError), self._connection.makefile("rb") as questions:
            while (question := read_question(questions)) is not None:
                number, detail = question
                answer = pickle.dumps(self._view.look_threadsafe(Detail(detail)))
                self._connection.sendall(ANSWER_HEAD.pack(number, len(answer)) + answer)


def read_question(questions: BinaryIO) -> tuple[int, int] | None:
    """The next question, or None at the end of the connection."""
    asked = questions.read(QUESTION.size)
    return QUESTION.unpack(asked) if len(asked) == QUESTION.size else None
