"""The real server as a process of its own, with everything that it prints."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from support.waiting import DEADLINE

SERVING = re.compile(r"threadserve running on (?:https?://(.+):(\d+)|unix socket .+) \(Press CTRL\+C to quit\)")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
ELSEWHERE = {"--bind", "--uds", "--fd"}
PACKAGE_ROOT = Path(__file__).parents[2]
# A framework is imported meanwhile, which takes a slow machine long.
START_DEADLINE = 2 * DEADLINE


class ServerProcess:
    """`python -m threadserve APP OPTIONS`, as a context manager that leaves no process behind.

    It serves on a free port unless the options say where. Entering waits until it serves; `start(wait=False)` does not,
    for a server that is meant to fail.
    """

    def __init__(
        self,
        app: str,
        *options: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        python_options: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        port = [] if ELSEWHERE & {*options} else ["--port", "0"]
        self.command = [sys.executable, *python_options, "-m", "threadserve", app, *port, *options]
        python_path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH", "")]))
        self.env = {**os.environ, "PYTHONPATH": python_path, **(env or {})}
        self.cwd = cwd
        self.pass_fds = pass_fds
        self.host = ""
        self.port = 0
        self._changed = threading.Condition()
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._ended: set[str] = set()

    def __enter__(self) -> "ServerProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self, *, wait: bool = True) -> None:
        """Starts the process; with `wait` reads host and port from the log."""
        self.process = subprocess.Popen(
            self.command,
            env=self.env,
            cwd=self.cwd,
            pass_fds=self.pass_fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        streams = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        self._readers = [threading.Thread(target=self._read, args=item, daemon=True) for item in streams.items()]
        for reader in self._readers:
            reader.start()
        if wait:
            try:
                match = self.wait_for_line(SERVING, deadline=START_DEADLINE)
            except BaseException:
                self.kill()
                raise
            if match[1]:
                self.host, self.port = match[1].strip("[]"), int(match[2])

    def _read(self, name: str, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                self._lines[name].append(COLOURS.sub("", line))
                self._changed.notify_all()
        with self._changed:
            self._ended.add(name)
            self._changed.notify_all()

    def unread(self) -> threading.Condition:
        """Gives a context in which nothing that it prints is read, so that its pipes fill up."""
        return self._changed

    def wait_for_line(
        self, pattern: str | re.Pattern[str], stream: str = "stderr", deadline: float = 3 * DEADLINE
    ) -> re.Match[str]:
        """Waits for a line in which `pattern` is found; raises AssertionError with the output if none comes."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            found[:] = [match for line in self._lines[stream] if (match := re.search(pattern, line))]
            return bool(found) or stream in self._ended

        with self._changed:
            self._changed.wait_for(look, deadline)
        if not found:
            raise AssertionError(f"no {pattern!r} on {stream}:\n{self.stderr}\n{self.stdout}")
        return found[0]

    def send_signal(self, number: int = signal.SIGTERM) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def wait(self, deadline: float = DEADLINE) -> int:
        """Waits for the process to end and for all of its output; returns its exit code."""
        code = self.process.wait(deadline)
        for reader in self._readers:
            reader.join(DEADLINE)
        return code

    def stop(self, number: int = signal.SIGTERM, deadline: float = DEADLINE) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        self.send_signal(number)
        return self.wait(deadline)

    def kill(self) -> None:
        """Ends the process, if it still runs, and closes its streams."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def url(self) -> str:
        """The server's URL without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def stdout(self) -> str:
        """What it printed to stdout so far, without colours."""
        with self._changed:
            return "".join(self._lines["stdout"])

    @property
    def stderr(self) -> str:
        """What it printed to stderr so far, without colours."""
        with self._changed:
            return "".join(self._lines["stderr"])
