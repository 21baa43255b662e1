"""The micro-benchmarks: what they measure is right, and what has changed is told."""

import asyncio
import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from wsproto.extensions import PerMessageDeflate

from loadtests.apps import hello
from loadtests.apps.hello import Receive, Scope, Send
from loadtests.errors import INTERRUPTED, LoadTestError
from loadtests.micro import client, command, subjects
from loadtests.micro.client import Repeat
from loadtests.micro.command import micro
from loadtests.micro.conversations import GET, WSGI, conversation, echoed
from loadtests.micro.subjects import Subject
from loadtests.micro.table import BENCHMARKS, Benchmark
from loadtests.servers.interpreters import ROOT, Interpreter

pyperf = pytest.importorskip("pyperf", reason="pyperf is not installed, which is in the extra loadtests")
process = importlib.import_module("loadtests.micro.process")

# Some runs start several interpreters, which import a lot.
pytestmark = pytest.mark.timeout(300)


def invoke(*arguments: str | Path) -> int:
    code: int = micro.main(list(map(str, arguments)), standalone_mode=False)
    return code


@pytest.fixture(scope="module", autouse=True)
def known_interpreter() -> Iterator[None]:
    """Asks no interpreter about itself, which takes seconds where a lot is installed."""

    def usable(path: Path) -> Interpreter:
        is_free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
        packages = dict.fromkeys(subjects.REQUIRED, "1.0")
        return Interpreter(str(path), sys.version, is_free_threaded, not is_free_threaded, packages)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "usable", usable)
        yield


@pytest.fixture(scope="module")
def working_tree() -> Path:
    """The folder with the sources that are measured."""
    if not (ROOT / "threadserve").is_dir():
        pytest.skip("there are no sources to measure where the installed server is tested")
    return ROOT


@pytest.mark.parametrize("name", BENCHMARKS)
def test_everything_is_measured(name: str) -> None:
    """The benchmarks themselves check what comes out."""
    assert process.cpu_seconds(2, name) > 0
    assert process.switches(2, name) > 0 or not BENCHMARKS[name].crosses_threads


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
        (lambda: echoed("x" * 10, (), shouts), "XXXXXXXXXX"),
        (lambda: echoed("x" * 1000, (PerMessageDeflate,), shouts), "XXXXXXXXXX"),
    ],
)
def test_a_wrong_answer_is_no_measurement(
    prepare: Callable[[], AbstractAsyncContextManager[Repeat]], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(LoadTestError, match=answer):
        asyncio.run(enter(prepare()))


def test_what_goes_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(operations: int) -> None:
        raise ValueError("no such thing")

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Repeat]:
        yield fails

    monkeypatch.setitem(BENCHMARKS, "get", Benchmark(prepare))
    with pytest.raises(LoadTestError, match="get: no such thing"):
        process.cpu_seconds(1, "get")


def test_an_answer_that_grows_is_no_measurement() -> None:
    body = bytearray(hello.BODY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(body)})
        body.append(0)

    with pytest.raises(LoadTestError, match="bytes more than the first"):
        asyncio.run(enter(conversation(GET, app)))


def copied(tree: Path, folder: Path) -> Path:
    """A copy of the package, in a folder."""
    shutil.copytree(tree / "threadserve", folder / "threadserve", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "threadserve"


def test_the_tree_that_was_asked_for_is_measured(tmp_path: Path, working_tree: Path) -> None:
    subject, package = Subject("changed", sys.executable, tmp_path), copied(working_tree, tmp_path)
    (package / "http1" / "scan.py").write_text("raise RuntimeError('nothing works here')\n")
    with pytest.raises(LoadTestError, match="changed: the process failed: RuntimeError: nothing works here"):
        subject.measure(tmp_path / "changed.json", ["reference"], 1, 1, min(os.sched_getaffinity(0)))


def test_the_reason_of_a_failure_reaches_the_command(tmp_path: Path, working_tree: Path) -> None:
    """The access log of this tree is empty, which the process that pyperf starts finds out."""
    with (copied(working_tree, tmp_path) / "logging" / "access_log.py").open("a") as file:
        file.write("\n\ndef write_entries(entries): ...\n")
    subject, cpu = Subject("changed", sys.executable, tmp_path), min(os.sched_getaffinity(0))
    with pytest.raises(LoadTestError, match="changed: the process failed: log-line: the access log has ''"):
        subject.measure(tmp_path / "changed.json", ["log-line"], 1, 1, cpu)


def test_a_revision_is_measured_before_the_working_tree(
    tmp_path: Path, working_tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The revision is that of a repository with the package as it is."""
    clone, output = tmp_path / "clone", tmp_path / "micro"
    copied(working_tree, clone)
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@localhost")
    for line in (["init", "-q"], ["add", "."], [*somebody, "commit", "-q", "--message", "everything"]):
        subprocess.run(["git", *line], cwd=clone, check=True)
    monkeypatch.setenv("GIT_DIR", str(clone / ".git"))
    assert invoke("get", "--quick", "--against", "HEAD", "--output", output) == 0
    now = next(path.stem for path in output.glob("*.json") if " at " not in path.stem)
    for path in (output / f"{now}.json", output / f"{now} at HEAD.json"):
        suite = pyperf.BenchmarkSuite.load(str(path))
        assert {each.get_name(): each.get_nvalue() for each in suite} == {"reference": 4, "get": 4}
    assert f"{now} at HEAD before, {now} now:\n" in capsys.readouterr().out


@pytest.mark.parametrize("revision", ["no-such-revision", "--output=somewhere"])
def test_a_revision_that_git_does_not_know(revision: str, tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=f"git, which is to give the code at {revision}, failed: "):
        subjects.extract(revision, tmp_path)
    assert not any(tmp_path.rglob("*.py"))


def measured(factors: dict[str, float]) -> Callable[..., None]:
    """Stands in for a measurement: each benchmark takes that many seconds."""

    def measure(self: Subject, output: Path, names: list[str], *effort: int) -> None:
        for name in names:
            values = [factors[name] * noise for noise in (1.0, 1.001, 0.999)]
            run = pyperf.Run(values, metadata={"name": name}, collect_metadata=False)
            pyperf.add_runs(str(output), pyperf.Benchmark([run]))

    return measure


def test_what_has_changed_since_an_earlier_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Subject, "measure", measured({"reference": 2.0, "get": 1.0, "ws": 1.0}))
    assert invoke("get", "ws", "--output", tmp_path / "earlier") == 0
    monkeypatch.setattr(Subject, "measure", measured({"reference": 1.0, "get": 3.0, "ws": 1.02}))
    assert invoke("get", "ws", "--baseline", tmp_path / "earlier", "--output", tmp_path / "later") == 0
    told = capsys.readouterr().out.rpartition(" now:\n")[2]
    assert "2.00x faster" in told
    assert "3.00x slower" in told
    assert "not significant (1): ws" in told


def test_what_was_measured_before_an_interrupt_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure_once = measured({"reference": 1.0, "get": 1.0})

    def interrupted(self: Subject, output: Path, *effort: Any) -> None:
        if output.exists():
            raise KeyboardInterrupt
        measure_once(self, output, *effort)

    monkeypatch.setattr(Subject, "measure", interrupted)
    assert invoke("get", "--output", tmp_path / "micro") == INTERRUPTED
    assert "get: Mean +- std dev: 1.00 sec" in capsys.readouterr().out


def test_processes_are_shared_out_among_the_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[int] = []

    def measure(self: Subject, output: Path, names: list[str], processes: int, *effort: int) -> None:
        shares.append(processes)

    monkeypatch.setattr(Subject, "measure", measure)
    assert invoke("get", "--processes", "6", "--output", tmp_path / "micro") == 0
    assert invoke("get", "--processes", "1", "--output", tmp_path / "micro") == 0
    assert shares == [2, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "'nonsense' is not one of"),
        (["--python", "/nowhere/python"], "'/nowhere/python' does not exist"),
        (["--baseline", "/nowhere/micro"], "--baseline /nowhere/micro is no folder with results of `micro`"),
        (["--baseline", __file__], "is no folder with results of `micro`"),
        (["--output", "/proc/nowhere/micro"], "--output /proc/nowhere/micro: No such file"),
    ],
)
def test_mistakes_are_named_in_one_line(arguments: list[str], complaint: str) -> None:
    with pytest.raises(click.ClickException) as raised:
        invoke(*arguments)
    assert raised.value.exit_code == 2
    assert complaint in raised.value.format_message()
    assert "\n" not in raised.value.format_message()


def test_a_run_does_not_replace_what_it_is_compared_with(tmp_path: Path) -> None:
    (tmp_path / "3.13.json").write_text("{}")
    with pytest.raises(LoadTestError, match="would replace the --baseline"):
        invoke("--baseline", tmp_path, "--output", tmp_path)


def test_results_that_pyperf_cannot_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(LoadTestError, match="pyperf show failed: "):
        command.pyperf("show", tmp_path / "other.json")
