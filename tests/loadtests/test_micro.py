"""The micro-benchmarks: what they measure is right, and a revision is measured beside the working tree."""

import asyncio
import importlib
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from wsproto.extensions import PerMessageDeflate

from loadtests.apps import hello
from loadtests.apps.hello import Receive, Scope, Send
from loadtests.errors import LoadTestError
from loadtests.micro import client, command
from loadtests.micro.benchmarks import BENCHMARKS, GET, WSGI, conversation, echoed
from loadtests.micro.client import Repeat
from loadtests.servers.interpreters import ROOT

pyperf = pytest.importorskip("pyperf", reason="pyperf is not installed, which is in the extra loadtests")
runner = importlib.import_module("loadtests.micro.__main__")

# Some runs start several interpreters, which import a lot.
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_everything_is_measured(name: str) -> None:
    """The benchmarks themselves check what comes out."""
    assert runner.measure(2, name, 1, time.process_time, min) > 0
    assert runner.measure(2, name, 1, runner.switches, fmean) > 0 or not BENCHMARKS[name].crosses_threads


async def says_something_else(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": hello.HEADERS})
    await send({"type": "http.response.body", "body": b"Hello, wurld!"})


async def says_nothing_of_it(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": hello.HEADERS})
    await send({"type": "http.response.body", "body": hello.BODY})


def refuses(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("403 Forbidden", [("Content-Length", "13")])
    return [hello.BODY]


async def shouts(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})


async def enter(prepared: AbstractAsyncContextManager[Repeat]) -> None:
    async with prepared as repeat:
        await repeat(3)


@pytest.mark.parametrize(
    ("prepare", "answer"),
    [
        (lambda: conversation(GET, says_something_else), "wurld"),
        (lambda: conversation(GET, says_nothing_of_it), "404 Not Found"),
        (lambda: conversation(GET * 2), r"the answer is b'HTTP/1\.1 200 OK"),
        (lambda: conversation(GET, refuses, connections=2, **WSGI), "403 Forbidden"),
        (lambda: echoed("x" * 10, app=shouts), "XXXXXXXXXX"),
        (lambda: echoed("x" * 1000, PerMessageDeflate(), app=shouts), "XXXXXXXXXX"),
    ],
)
def test_a_wrong_answer_is_no_measurement(
    prepare: Callable[[], AbstractAsyncContextManager[Repeat]], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(LoadTestError, match=answer):
        asyncio.run(enter(prepare()))


def test_an_answer_that_grows_is_no_measurement() -> None:
    body = bytearray(hello.BODY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(body)})
        body.append(0)

    with pytest.raises(LoadTestError, match="bytes more than the first"):
        asyncio.run(enter(conversation(GET, app)))


def test_a_revision_is_measured_before_the_working_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The revision is that of a repository with the package as it is, and then with one that does not work."""
    if not (ROOT / "threadserve").is_dir():
        pytest.skip("there are no sources to measure where the installed server is tested")
    shutil.copytree(ROOT / "threadserve", tmp_path / "threadserve", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    commit_all(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda layout: str(tmp_path / "results"))
    monkeypatch.setattr(command, "TURNS", 1)
    monkeypatch.setattr(command, "TOLERANCE_PERCENT", 1000)
    arguments = ["--against", "HEAD", "get", "--processes=1", "--values=2", "--loops=10", "--warmups=0"]
    assert command.micro.main(arguments, standalone_mode=False) == 0
    assert "Benchmark hidden because not significant (1): get" in capfd.readouterr().out
    (tmp_path / "threadserve/http1/scan.py").write_text("raise RuntimeError('nothing works here')\n")
    commit_all(tmp_path)
    with pytest.raises(LoadTestError, match="nothing works here"):
        command.micro.main(arguments, standalone_mode=False)


def commit_all(folder: Path) -> None:
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@localhost")
    for line in (["init", "-q"], ["add", "."], [*somebody, "commit", "-q", "--message", "everything"]):
        subprocess.run(["git", *line], cwd=folder, check=True)


@pytest.mark.parametrize("revision", ["no-such-revision", "--output=somewhere"])
def test_a_revision_that_git_does_not_know(revision: str) -> None:
    with pytest.raises(LoadTestError, match="git failed: "):
        command.micro.main([f"--against={revision}"], standalone_mode=False)


def test_pyperf_gets_all_other_arguments(tmp_path: Path) -> None:
    arguments = ["reference", "--debug-single-value", "-o", str(tmp_path / "results.json")]
    assert command.micro.main(arguments, standalone_mode=False) == 0
    assert pyperf.BenchmarkSuite.load(str(tmp_path / "results.json")).get_benchmark_names() == ["reference"]
    assert command.micro.main(["nonsense"], standalone_mode=False) == 2
