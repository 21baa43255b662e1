"""Starts one server on a free port of the loopback interface, waits until it answers, and ends it whatever happens."""

import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from subprocess import DEVNULL, Popen, SubprocessError, TimeoutExpired, run

from loadtests.errors import LoadTestError, require
from loadtests.process_groups import process_group
from loadtests.request import Request
from loadtests.servers.commands import Server
from loadtests.servers.interpreters import ROOT
from loadtests.servers.ports import free_port

START_DEADLINE_SECONDS, STOP_DEADLINE_SECONDS, ANSWER_SECONDS = 120.0, 30.0, 10.0
OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
    *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
)


@dataclass
class Running:
    """A server that answers. `answer` is its first; `log` and `access_log` are what it wrote to stderr and stdout."""

    pid: int
    port: int
    command: list[str]
    log: Path
    access_log: Path
    answer: bytes = b""
    stopped_by: str = ""


@contextmanager
def serving(
    server: Server, python: str, app: str, request: Request, env: dict[str, str], folder: Path, cwd: Path = ROOT
) -> Iterator[Running]:
    """Run a server for the length of a `with` block, in whose working directory `cwd` the application is looked for.

    Both of its streams go to files in `folder`, the same way for every server. It is in a process group that outlives
    neither the block nor the load tests. Raises LoadTestError where it does not start, answer, or survive the block.
    """
    port = free_port()
    line = server.command(python, app, port, make_certificate(folder) if request.tls else None)
    log, access_log = folder / "stderr", folder / "stdout"
    env = env | server.variables
    with process_group() as group:
        with log.open("wb") as stderr, access_log.open("wb") as stdout:
            process = Popen(line, cwd=cwd, env=env, stdin=DEVNULL, stdout=stdout, stderr=stderr, process_group=group)
        running = Running(process.pid, port, line, log, access_log)
        try:
            wait_until_ready(process, running, server, request)
            yield running
            require_alive(process, running)
        finally:
            running.stopped_by = stop(process)


def make_certificate(folder: Path) -> tuple[str, str]:
    """Make a certificate that nobody trusts, and its key; return their files. Raises LoadTestError."""
    file, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    try:
        run([*OPENSSL, "-out", file, "-keyout", key], check=True, capture_output=True, timeout=60)
    except (OSError, SubprocessError) as error:
        raise LoadTestError(f"openssl makes no certificate for TLS: {error}") from None
    return file, key


def wait_until_ready(process: Popen[bytes], running: Running, server: Server, request: Request) -> None:
    """Wait for an answer and for the log line of the last worker; raises LoadTestError where they do not come."""
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        require_alive(process, running)
        answer = ask(running.port, request)
        logged = running.log.read_text(errors="replace") + running.access_log.read_text(errors="replace")
        # Without such a line one worker counts as ready.
        if answer is not None and logged.count(server.ready_line) >= server.workers:
            running.answer = answer
            return
        time.sleep(0.05)
    raise LoadTestError(f"{server.label} did not start in time: {tail(running.log)}")


def ask(port: int, request: Request) -> bytes | None:
    """Return the answer to one request as the load will be; over TLS any certificate does.

    None where nobody answers yet. Raises LoadTestError for a wrong answer.
    """
    secure = partial(HTTPSConnection, context=ssl._create_unverified_context())
    connection = (secure if request.tls else HTTPConnection)("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        with closing(connection):
            connection.request("POST" if request.body else "GET", request.path, request.body or None, request.headers)
            response = connection.getresponse()
            body = response.read()
    except OSError:
        return None
    except HTTPException as error:
        raise LoadTestError(f"the server answered no HTTP: {type(error).__name__} {error}") from None
    require(response.status == 200, f"the server answered {response.status}: {body[:200]!r}")
    is_kept = request.new_connection and not response.will_close
    require(not is_kept, "the server keeps a connection open that the client asked it to close")
    return body


def require_alive(process: Popen[bytes], running: Running) -> None:
    require(process.poll() is None, f"the server ended with {process.returncode}: {tail(running.log)}")


def tail(log: Path) -> str:
    """Return the last lines of a log, in one."""
    return " / ".join(log.read_text(errors="replace").splitlines()[-5:])


def stop(process: Popen[bytes]) -> str:
    """Send SIGTERM, and SIGKILL after the deadline; return which one ended it. Its group takes what it leaves."""
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_SECONDS)
        return "SIGTERM"
    except TimeoutExpired:
        return "SIGKILL"
    finally:
        process.kill()
        process.wait()
