"""The log of a real server beside what the application does with `logging`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.raw_client import clients
from support.server_process import ServerProcess

ACCESS_LINE = re.compile(r'INFO:     127\.0\.0\.1:\d+ - "GET /path HTTP/1\.1" 200 OK\n')
APP = """
import logging
import logging.config
{setup}

async def app(scope, receive, send):
    if scope["type"] == "http":
        logging.getLogger("site").warning("from the site")
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})
"""
BASIC = 'logging.basicConfig(format="root %(message)s", level="INFO")'


DJANGOS = """
logging.config.dictConfig({
    "version": 1,
    "formatters": {"plain": {"format": "root %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "INFO"},
})
"""


@contextmanager
def logged(folder: Path, setup: str, *options: str, app: str = APP) -> Iterator[ServerProcess]:
    """A server whose application sets logging up, after it has answered one request and ended."""
    (folder / "site_that_logs.py").write_text(app.replace("{setup}", setup))
    with ServerProcess("site_that_logs:app", *options, cwd=folder) as server:
        with clients() as connect:
            assert connect(server).get("/path").status == 200
        assert server.stop() == 0
        yield server


@pytest.mark.parametrize("setup", [BASIC, DJANGOS], ids=["basicConfig", "dictConfig"])
def test_the_log_is_the_same_whatever_the_application_sets_up(tmp_path: Path, setup: str) -> None:
    with logged(tmp_path, setup) as server:
        assert ACCESS_LINE.fullmatch(server.stdout)
        assert f"INFO:     Finished server process [{server.pid}]\n" in server.stderr
        assert server.stderr.count("from the site\n") == 1


UVICORNS = """
logging.getLogger("uvicorn.error").info("from the application")
logging.getLogger("uvicorn.access").addFilter(lambda record: record.args[2] != "/path")
"""


def test_loggers_by_uvicorns_names_are_the_servers(tmp_path: Path) -> None:
    with logged(tmp_path, UVICORNS, "--threads", "2", "--workers", "2") as server:
        assert server.stdout == ""
        assert "INFO:     from the application\n" in server.stderr


CORRELATED = """
from contextvars import ContextVar
number = ContextVar("number", default="none")

def add_number(record):
    record.msg = f"{number.get()} {record.msg}"
    return True

logging.getLogger("uvicorn.access").addFilter(add_number)
logging.getLogger("uvicorn.access").handlers[0].setFormatter(logging.Formatter("%(threadName)s %(message)s"))

class Numbered:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        number.set("seven")
        await self.app(scope, receive, send)
"""


@pytest.mark.parametrize(("threads", "name"), [("1", "MainThread"), ("2", r"threadserve-\d")])
@pytest.mark.parametrize("format", [(), ("--access-log-format", "%(m)s")], ids=["default", "formatted"])
def test_access_records_are_of_the_thread_and_context_of_their_request(
    tmp_path: Path, format: tuple[str, ...], threads: str, name: str
) -> None:
    decorated = APP.replace("async def app", "@Numbered\nasync def app")
    # A further instance would add the filter another time.
    options = ("--lifespan", "off", "--threads", threads, "--app-instance", "shared")
    with logged(tmp_path, CORRELATED, *format, *options, app=decorated) as server:
        assert re.fullmatch(rf"{name} seven (127\..*|GET)\n", server.stdout)


def test_the_log_goes_to_the_roots_handlers_where_that_is_asked_for(tmp_path: Path) -> None:
    with logged(tmp_path, BASIC, "--log-propagate") as server:
        assert server.stdout == ""
        assert re.search(r'^root 127\.0\.0\.1:\d+ - "GET /path HTTP/1\.1" 200$', server.stderr, re.MULTILINE)
        assert f"\nroot Finished server process [{server.pid}]\n" in server.stderr
