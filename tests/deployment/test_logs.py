"""The logging configurations: every line is an object, and rotation leaves none behind."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.deployment import DEPLOYMENT
from support.programs import needs_program, run_program
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

FOLDER = DEPLOYMENT / "logging"
LOGS = "/var/log/threadserve"
APP = """
import logging

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/fail":
        raise RuntimeError("first line\\nsecond line")
    if scope["type"] == "http":
        logging.getLogger("shop").info("asked for %s", scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
"""
REQUESTS = {"time", "client", "method", "path", "status", "duration", "pid"}
MESSAGES = {"time", "level", "logger", "message", "pid", "thread", "exception"}

Rotate = Callable[[Path, int], None]
"""Rotates the logs in a folder, and tells the process with this id."""


def server_with(name: str, folder: Path, *options: str) -> ServerProcess:
    """A server that logs as the file of this name says, in a folder in place of the one that is named there."""
    (folder / "main.py").write_text(APP)
    (folder / name).write_text((FOLDER / name).read_text().replace(LOGS, str(folder)))
    return ServerProcess(
        "main:app", "--log-config", name, "--access-log-format", "json", "--bind", "unix:app.sock", *options, cwd=folder
    )


def ask(folder: Path, *paths: str) -> None:
    """Asks for these paths."""
    transport = httpx.HTTPTransport(uds=str(folder / "app.sock"))
    with httpx.Client(base_url="http://app", timeout=DEADLINE, transport=transport) as client:
        for path in paths:
            client.get(path)


def objects(text: str) -> list[dict[str, Any]]:
    """The objects on the lines of a log."""
    return [json.loads(line) for line in text.splitlines()]


def check_logs(messages: str, requests: str) -> None:
    """Checks what the logs have of a request for `/`, one for `/fail`, and the server's life."""
    assert [(made["path"], made["status"]) for made in objects(requests)] == [("/", 204), ("/fail", 500)]
    assert all(made.keys() >= REQUESTS for made in objects(requests))
    lines = objects(messages)
    assert all(made.keys() == MESSAGES for made in lines)
    assert [made["message"] for made in lines if made["logger"] == "shop"] == ["asked for /"]
    [failed] = [made for made in lines if made["exception"]]
    assert (failed["logger"], failed["level"]) == ("threadserve.error", "ERROR")
    assert failed["exception"].startswith("Traceback (most recent call last):\n")
    assert failed["exception"].endswith("RuntimeError: first line\nsecond line")


def start(server: ServerProcess, folder: Path) -> None:
    """Starts a server that says nothing on its streams."""
    server.start(wait=False)
    wait_for(folder / "error.log", "threadserve running on")


def wait_for(log: Path, text: str, times: int = 1) -> None:
    """Waits until a log has this, so many times."""
    wait_until(lambda: log.exists() and log.read_text().count(text) == times, f"{text!r} in {log.name}")


def test_on_the_console(tmp_path: Path) -> None:
    with server_with("console.json", tmp_path) as server:
        ask(tmp_path, "/", "/fail")
        assert server.stop() == 0
        check_logs(server.stderr, server.stdout)


def test_in_files(tmp_path: Path) -> None:
    server = server_with("files.json", tmp_path)
    try:
        start(server, tmp_path)
        ask(tmp_path, "/", "/fail")
        assert server.stop() == 0
    finally:
        server.kill()
    check_logs((tmp_path / "error.log").read_text(), (tmp_path / "access.log").read_text())
    assert server.stdout == server.stderr == ""


def by_hand(folder: Path, process: int) -> None:
    """Does what logrotate does."""
    for log in folder.glob("*.log"):
        log.rename(f"{log}.1")
    os.kill(process, signal.SIGUSR1)


def by_logrotate(folder: Path, process: int) -> None:
    """Has logrotate do as its file says, but for whose the logs are and how the process is found."""
    text = (FOLDER / "logrotate").read_text().replace(LOGS, str(folder))
    text = re.sub(r"^ *su .+$", "", text, flags=re.MULTILINE)
    text, count = re.subn(r"systemctl kill .+ --signal=SIG(\w+) .+", rf"kill -s \1 {process}", text)
    assert count == 1
    configuration = folder / "logrotate.conf"
    configuration.write_text(text)
    configuration.chmod(0o600)
    run_program("logrotate", "--force", "--state", folder / "state", configuration)


@pytest.mark.parametrize("options", [[], ["--workers", "2"]], ids=["one process", "workers"])
@pytest.mark.parametrize(
    "rotate", [by_hand, pytest.param(by_logrotate, marks=needs_program("logrotate"))], ids=["by hand", "by logrotate"]
)
def test_rotation(tmp_path: Path, rotate: Rotate, options: list[str]) -> None:
    messages, requests = tmp_path / "error.log", tmp_path / "access.log"
    processes = 3 if options else 1
    server = server_with("files.json", tmp_path, *options)
    try:
        start(server, tmp_path)
        ask(tmp_path, "/before")
        wait_for(requests, "/before")
        rotate(tmp_path, server.pid)
        wait_for(messages, "Reopened 2 log files", processes)
        ask(tmp_path, "/after")
        wait_for(requests, "/after")
        assert server.stop() == 0
    finally:
        server.kill()
    old, new = (objects(Path(name).read_text()) for name in (f"{requests}.1", requests))
    assert [made["path"] for made in old] == ["/before"]
    assert [made["path"] for made in new] == ["/after"]
    assert any("Shutting down" in made["message"] for made in objects(messages.read_text()))
    assert not any("Shutting down" in made["message"] for made in objects(Path(f"{messages}.1").read_text()))


def test_the_files_are_where_the_units_and_logrotate_have_them() -> None:
    configured = json.loads((FOLDER / "files.json").read_text())
    names = [handler["filename"] for handler in configured["handlers"].values()]
    assert {str(Path(name).parent) for name in names} == {LOGS}
    assert f"{LOGS}/*.log {{" in (FOLDER / "logrotate").read_text()
    [unit] = re.findall(r"systemctl kill .* (\S+\.service)", (FOLDER / "logrotate").read_text())
    assert f"LogsDirectory={Path(LOGS).name}\n" in (DEPLOYMENT / "systemd" / unit).read_text()
