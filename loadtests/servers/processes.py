"""Starts one server on a free port of the loopback interface, waits until it answers, and ends it whatever happens."""

import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.errors import LoadTestError, require
from loadtests.process_groups import process_group
from loadtests.request import Request
from loadtests.servers.commands import Server
from loadtests.servers.interpreters import ROOT

START_DEADLINE_SECONDS = 120.0
STOP_DEADLINE_SECONDS = 30.0
ANSWER_SECONDS = 10
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
    server: Server,
    python: str,
    app: str,
    request: Request,
    environment: dict[str, str],
    folder: Path,
    working_directory: Path = ROOT,
) -> Iterator[Running]:
    """Run a server for the length of a `with` block, in whose working directory the application is looked for.

    Both of its streams go to files, the same way for every server. It is in a process group that outlives neither the
    block nor the load tests. Raises LoadTestError where it does not start, answer, or survive the block.
    """
    port = free_port()
    command = server.command(python, app, port, make_certificate(folder) if request.tls else None)
    log, access_log = folder / "stderr", folder / "stdout"
    with process_group() as group:
        with log.open("wb") as stderr, access_log.open("wb") as stdout:
            process = subprocess.Popen(
                command,
                cwd=working_directory,
                env=environment | server.variables,
                stdout=stdout,
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                process_group=group,
            )
        running = Running(process.pid, port, command, log, access_log)
        try:
            wait_until_ready(process, running, server, request)
            yield running
            require_alive(process, running)
        finally:
            running.stopped_by = stop(process)


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def make_certificate(folder: Path) -> tuple[str, str]:
    """Make a certificate that nobody trusts, and its key; return their files. Raises LoadTestError."""
    file, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    try:
        subprocess.run([*OPENSSL, "-out", file, "-keyout", key], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise LoadTestError(f"openssl makes no certificate for TLS: {error}") from None
    return file, key


def wait_until_ready(process: subprocess.Popen[bytes], running: Running, server: Server, request: Request) -> None:
    """Wait for an answer and for the log line of the last worker; raises LoadTestError where they do not come."""
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        require_alive(process, running)
        answer = ask(running.port, request)
        logged = running.log.read_text(errors="replace") + running.access_log.read_text(errors="replace")
        if answer is not None and (not server.ready_line or logged.count(server.ready_line) >= server.workers):
            running.answer = answer
            return
        time.sleep(0.05)
    said = tail(running.log)
    raise LoadTestError(f"{server.label} did not start within {START_DEADLINE_SECONDS:.0f} seconds: {said}")


def ask(port: int, request: Request) -> bytes | None:
    """Return the answer to one request as the load will be; over TLS any certificate does.

    None where nobody answers yet. Raises LoadTestError for a wrong answer.
    """
    context = ssl._create_unverified_context()
    secure = http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_SECONDS, context=context)
    connection = secure if request.tls else http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        with closing(connection):
            connection.request("POST" if request.body else "GET", request.path, request.body or None, request.headers)
            response = connection.getresponse()
            body = response.read()
    except OSError:
        return None
    except http.client.HTTPException as error:
        raise LoadTestError(f"the server answered no HTTP: {type(error).__name__} {error}") from None
    require(response.status == 200, f"the server answered {response.status}: {body[:200]!r}")
    is_kept = request.new_connection and not response.will_close
    require(not is_kept, "the server keeps a connection open that the client asked it to close")
    return body


def require_alive(process: subprocess.Popen[bytes], running: Running) -> None:
    require(process.poll() is None, f"the server ended with {process.returncode}: {tail(running.log)}")


def tail(log: Path) -> str:
    """Return the last lines of a log, in one."""
    return " / ".join(log.read_text(errors="replace").splitlines()[-5:])


def stop(process: subprocess.Popen[bytes]) -> str:
    """Send SIGTERM, and SIGKILL after the deadline; return which one ended it. Its group takes what it leaves."""
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_SECONDS)
        return "SIGTERM"
    except subprocess.TimeoutExpired:
        return "SIGKILL"
    finally:
        process.kill()
        process.wait()
