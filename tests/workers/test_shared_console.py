"""The access log of several workers, on one pipe that nobody reads for a while."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from support.raw_client import RawClient, request
from support.server_process import PACKAGE_ROOT, ServerProcess

ENVIRONMENT = {"PYTHONPATH": str(PACKAGE_ROOT / "tests")}
CLIENTS, REQUESTS = 8, 500
# What a pipe holds is a small part of all lines.
LONG = "x" * 200
LINE = re.compile(rf'INFO: +127\.0\.0\.1:\d+ - "GET /{LONG}\?(\d+) HTTP/1\.1" 200 OK')


def ask_all(server: ServerProcess) -> None:
    """Sends many requests at once, and reads their responses."""
    client = RawClient(server.host, server.port)
    client.send(b"".join(request("GET", f"/{LONG}?{number}") for number in range(REQUESTS)))
    for _ in range(REQUESTS):
        assert client.read_response().status == 200
    client.close()


def test_lines_of_workers_are_not_mixed_on_a_slow_pipe() -> None:
    with ServerProcess("support.apps:hello", "--workers", "2", "--threads", "1", env=ENVIRONMENT) as server:
        with server.unread(), ThreadPoolExecutor(CLIENTS) as executor:
            list(executor.map(ask_all, [server] * CLIENTS))
        assert server.stop() == 0
        lines = server.stdout.splitlines()
        assert [line for line in lines if not LINE.fullmatch(line)] == []
        assert Counter(int(match[1]) for line in lines if (match := LINE.fullmatch(line))) == dict.fromkeys(
            range(REQUESTS), CLIENTS
        )
