"""The real Gunicorn with our workers, as a process of its own."""

import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from support.editable_site import environment
from support.server_process import ServerProcess
from support.waiting import DEADLINE

LISTENING = re.compile(r"Listening at: https?://(.+):(\d+) ")
WORKER = "threadserve.gunicorn.ThreadserveWorker"
BOOTING = re.compile(r"Booting worker with pid: (\d+)")
SERVES = re.compile(r"Started server process \[(\d+)\]")
EXITING = re.compile(r"Worker exiting \(pid: (\d+)\)")


class GunicornProcess(ServerProcess):
    """`gunicorn APP OPTIONS` in a folder, on a free port; entering waits until its first worker serves."""

    def __init__(self, app: str, *options: str, cwd: Path, worker: str = WORKER, bind: str = "127.0.0.1:0") -> None:
        super().__init__(app, cwd=cwd, env=environment(cwd))
        always = ["--no-control-socket", "--worker-class", worker, "--bind", bind]
        # The script: an arbiter that was started with `-m` cannot start another on SIGUSR2.
        script = Path(sysconfig.get_path("scripts"), "gunicorn")
        self.command = [sys.executable, str(script), app, *always, *options]

    def start(self, *, wait: bool = True) -> None:
        """Starts the process; with `wait` reads host and port from the log, if it is a TCP socket."""
        super().start(wait=False)
        if wait:
            self.wait_for_line(SERVES, deadline=2 * DEADLINE)
            if match := LISTENING.search(self.stderr):
                self.host, self.port = match[1], int(match[2])

    def pids(self, pattern: re.Pattern[str] = SERVES) -> list[int]:
        """The workers that a line of the log tells something about, in its order."""
        return [int(match[1]) for match in pattern.finditer(self.stderr)]

    def kill(self) -> None:
        """Ends the process and its workers, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        super().kill()
