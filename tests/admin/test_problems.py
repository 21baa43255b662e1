"""What is kept of the server's log: the last warnings and errors, without what may be secret; no server runs here."""

import logging
from collections.abc import Iterator

import pytest

from threadserve.admin.problems import MAX_MESSAGE_LENGTH, MAX_PROBLEMS, ProblemHandler, logger


@pytest.fixture
def handler() -> Iterator[ProblemHandler]:
    """Keeps what is logged during the test."""
    handler = ProblemHandler()
    handler.install()
    yield handler
    handler.uninstall()


def kept(handler: ProblemHandler) -> list[str]:
    """The messages."""
    return [problem.message for problem in handler.list_threadsafe()]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("GET /a?token=secret HTTP/1.1", "GET /a?… HTTP/1.1"),
        ('"GET /a?token=secret" took 2 s', '"GET /a?… took 2 s'),
        ("Cut off: GET /a?token=secret, GET /b?token=secret (2 s)", "Cut off: GET /a?… GET /b?… (2 s)"),
        *((f"GET /a?token={mark}secret", "GET /a?…") for mark in ",;'\")(]>?&=%#\\|`"),
        ("GET /a?token=secret\u00e9\u2028secret", "GET /a?…\u2028secret"),
        ("GET /a?", "GET /a?"),
        ("Is that so? Yes.", "Is that so? Yes."),
        ("Refused a request: 400, malformed Host: 'a@b' or \"c'd\"", "Refused a request: 400, malformed Host: …"),
        ("Refused: 'it's a secret'.", "Refused: …"),
        ("'kept'", "'kept'"),
        ("no query", "no query"),
    ],
)
def test_queries_are_hidden_to_their_ends(handler: ProblemHandler, line: str, shown: str) -> None:
    logger.warning("%s", line)
    assert kept(handler) == [shown]


def test_a_query_that_is_cut_off_is_hidden(handler: ProblemHandler) -> None:
    logger.warning("GET /%s?token=secret", "a" * MAX_MESSAGE_LENGTH)
    logger.warning("GET /a?%s end", "secret" * MAX_MESSAGE_LENGTH)
    first, second = kept(handler)
    assert len(first) == MAX_MESSAGE_LENGTH
    assert "secret" not in first
    assert second == "GET /a?… end"


def test_of_an_exception_its_type_and_of_several_lines_the_first(handler: ProblemHandler) -> None:
    try:
        raise ValueError("secret")
    except ValueError:
        logger.exception("It failed: GET /a?b\nsecret")
    assert kept(handler) == ["It failed: GET /a?… ValueError"]
    logger.error("It failed again\nsecret")
    assert kept(handler)[1] == "It failed again"
    assert [problem.level for problem in handler.list_threadsafe()] == ["ERROR", "ERROR"]


def test_what_is_no_problem_is_not_kept_and_of_problems_the_last(handler: ProblemHandler) -> None:
    logger.setLevel(logging.INFO)
    logger.info("all is well")
    logger.setLevel(logging.NOTSET)
    for number in range(MAX_PROBLEMS + 5):
        logger.warning("problem %d", number)
    assert kept(handler) == [f"problem {number}" for number in range(5, MAX_PROBLEMS + 5)]
    handler.uninstall()
    logger.warning("another")
    assert kept(handler)[-1] == f"problem {MAX_PROBLEMS + 4}"
