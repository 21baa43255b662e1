"""The order of rounds, and servers that fail in one of them or answer wrongly."""

import socket
import threading

import pytest
from support.comparison import sample

from loadtests.comparing.driving import Effort
from loadtests.comparing.planning import Case
from loadtests.comparing.rounds import Course
from loadtests.comparing.scenarios import SCENARIOS, own
from loadtests.errors import LoadTestError
from loadtests.request import GET_ROOT
from loadtests.results.comparison import Results, Sample
from loadtests.servers.commands import threadserve
from loadtests.servers.interpreters import Interpreter
from loadtests.servers.processes import ask

HELLO, HELLO_WSGI = SCENARIOS[:2]
PYTHON = Interpreter("python", "3.13.0", False, True, {})


def cases(*names: str) -> list[Case]:
    return [
        Case(scenario, name, threadserve("ordinary", 1), PYTHON, 1)
        for scenario in (HELLO, HELLO_WSGI)
        for name in names
    ]


class Rehearsal(Course):
    """A course in which nothing is started. `failing` are the names, scenarios and rounds in which a server fails."""

    failing: tuple[tuple[str, str, int], ...] = ()

    def sample(self, case: Case, number: int) -> Sample:
        if (case.scenario.name, case.name, number) in self.failing:
            raise LoadTestError("it is tired")
        return sample(case.scenario.name, case.name, case.threads, number)


def rehearsal(rounds: int) -> tuple[Rehearsal, list[tuple[str, int]]]:
    """The course, and what it will report."""
    told: list[tuple[str, int]] = []
    results = Results({}, {})
    return Rehearsal(Effort(rounds, 1, 1, 1, 1.0, 1), results, lambda line, done: told.append((line, done))), told


def measured(course: Course) -> list[tuple[str, str, int]]:
    return [(one.scenario, one.server, one.round) for one in course.results.samples]


def test_servers_take_turns_in_each_scenario() -> None:
    course, told = rehearsal(2)
    course.run(cases("A", "B"))
    assert measured(course) == [
        *(("hello", "A", 1), ("hello", "B", 1), ("hello", "A", 2), ("hello", "B", 2)),
        *(("hello-wsgi", "A", 1), ("hello-wsgi", "B", 1), ("hello-wsgi", "A", 2), ("hello-wsgi", "B", 2)),
    ]
    assert [done for _, done in told] == [1] * 8
    assert told[0][0].startswith("hello: A, --threads 1, round 1: 100.0 requests/s, p50 2.0 ms, p99 9.0 ms")


def test_a_server_that_fails_is_left_out_and_the_others_go_on() -> None:
    course, told = rehearsal(3)
    course.failing = (("hello", "A", 2),)
    course.run(cases("A", "B"))
    assert measured(course)[:4] == [("hello", "A", 1), ("hello", "B", 1), ("hello", "B", 2), ("hello", "B", 3)]
    assert ("hello-wsgi", "A", 3) in measured(course)
    line = "hello: A, --threads 1 is left out from round 2 on: it is tired"
    assert course.results.left_out == [line]
    assert (line, 2) in told
    assert sum(done for _, done in told) == 12


def test_another_answer_than_that_of_the_others_is_a_failure() -> None:
    course, _ = rehearsal(1)
    first, second = cases("A", "B")[:2]
    assert course.compared(first, b"Hello") == []
    with pytest.raises(LoadTestError, match="B gives another answer than the others: b'Goodbye'"):
        course.compared(second, b"Goodbye")
    assert course.compared(second, b"Hello") == []


def test_other_answers_of_ones_own_app_are_only_told() -> None:
    course, _ = rehearsal(1)
    mine = own("mine:app", "/", "asgi")
    first, second = (Case(mine, name, threadserve("ordinary", 1), PYTHON, 1) for name in "AB")
    assert course.compared(first, b"12:00") == []
    assert course.compared(second, b"12:01") == ["B gives another answer than the others: b'12:01'"]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"Hello\r\n\r\n", "the server answered no HTTP: BadStatusLine Hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "the server answered no HTTP: IncompleteRead"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", "the server answered 404: b'no'"),
    ],
)
def test_a_wrong_first_answer_is_named(answer: bytes, complaint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        with pytest.raises(LoadTestError, match=complaint):
            ask(listener.getsockname()[1], GET_ROOT)
        server.join()
