"""A PostgreSQL server of a test's own, on a Unix socket in a folder that is removed in the end."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.waiting import DEADLINE, wait_until

SYSTEM_FOLDER = Path("/usr/lib/postgresql")
# PostgreSQL does not run as root; Debian's package brings this user.
USER = "postgres"


def program(name: str) -> str | None:
    """The path of one of PostgreSQL's programs, of the latest version that there is."""
    versions = sorted(SYSTEM_FOLDER.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(versions[-1]) if versions else shutil.which(name)


class PostgreSQL:
    """A server that runs. `folder` is the host by which clients find it; the database and its user are "postgres"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def connect(self) -> Any:
        """A connection of the test's own."""
        import psycopg

        return psycopg.connect(host=str(self.folder), user=USER, dbname="postgres", autocommit=True)

    def backends(self, name: str) -> list[int]:
        """The process ids of the connections of a client that calls itself so."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = %s", (name,)
            ).fetchall()
        return [pid for (pid,) in rows]

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        import psycopg

        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Starts a server, and ends it."""
    # A socket's path is short, and the folder is another user's.
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    user = pwd.getpwnam(USER) if os.geteuid() == 0 else None
    identity: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        data = str(folder / "data")
        subprocess.run(
            [str(program("initdb")), "-D", data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C"],
            check=True,
            capture_output=True,
            timeout=4 * DEADLINE,
            cwd=folder,
            **identity,
        )
        settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off")
        command = [str(program("postgres")), "-D", data, *(part for setting in settings for part in ("-c", setting))]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **identity)
        try:
            server = PostgreSQL(folder)
            wait_until(server.is_ready, "PostgreSQL to take connections")
            yield server
        finally:
            # It ends at once, connections and all.
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE)
    finally:
        shutil.rmtree(folder)
