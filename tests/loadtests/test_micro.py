"""The micro-benchmarks: what they measure is right, and what has changed is told."""

import asyncio
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
from loadtests.micro import client, process, results, subjects
from loadtests.micro.all import BENCHMARKS
from loadtests.micro.benchmark import Benchmark, Repeat
from loadtests.micro.command import micro
from loadtests.micro.conversations import GET, WSGI, conversation, echoed
from loadtests.micro.results import Results
from loadtests.micro.subjects import Subject
from loadtests.servers.interpreters import ROOT, Interpreter

# Some runs start several interpreters, which import a lot.
pytestmark = pytest.mark.timeout(300)

CROSSES_THREADS = {"wsgi", "wsgi-in-flight", "mailbox", "mailbox-batch"}


def invoke(*arguments: str | Path) -> int:
    code: int = micro.main(list(map(str, arguments)), standalone_mode=False)
    return code


def found(costs: list[float], benchmark: str = "get", switches: float = 0.0) -> Results:
    """Results of a subject with this cost in each process."""
    outcome = Results({})
    for cost in costs:
        outcome.add("3.13", benchmark, cost, switches)
    return outcome


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


@pytest.mark.parametrize("benchmark_", BENCHMARKS.values(), ids=lambda each: each.name)
def test_everything_is_measured(benchmark_: Benchmark) -> None:
    """The benchmarks themselves check what comes out."""
    microseconds, switches = asyncio.run(process.measure(benchmark_, 2))
    assert microseconds > 0
    assert switches > 0 or benchmark_.name not in CROSSES_THREADS


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


def test_what_goes_wrong_is_named() -> None:
    async def fails(operations: int) -> None:
        raise ValueError("no such thing")

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Repeat]:
        yield fails

    with pytest.raises(LoadTestError, match="failing: no such thing"):
        asyncio.run(process.measure(Benchmark("failing", "a failure", 1, prepare), 1))


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
    subject, cpu = Subject("changed", sys.executable, tmp_path), min(os.sched_getaffinity(0))
    with pytest.raises(LoadTestError, match=f"takes threadserve from {working_tree}"):
        subject.measure(["reference"], 1, cpu, seed=1)
    package = copied(working_tree, tmp_path)
    assert [name for name, _, _ in subject.measure(["reference", "get"], 1, cpu, seed=1)] == ["reference", "get"]
    (package / "config" / "__init__.py").write_text("raise RuntimeError('nothing works here')\n")
    with pytest.raises(LoadTestError, match="changed: the process failed: RuntimeError: nothing works here"):
        subject.measure(["reference"], 1, cpu, seed=1)


def test_a_revision_is_measured_before_the_working_tree(
    tmp_path: Path, working_tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The revision is that of a repository with the package as it is."""
    clone, output = tmp_path / "clone", tmp_path / "micro.json"
    copied(working_tree, clone)
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@localhost")
    for line in (["init", "-q"], ["add", "."], [*somebody, "commit", "-q", "--message", "everything"]):
        subprocess.run(["git", *line], cwd=clone, check=True)
    monkeypatch.setenv("GIT_DIR", str(clone / ".git"))
    assert invoke("get", "--quick", "--against", "HEAD", "--output", output) == 0
    written = results.read(output)
    before, now = written.costs
    assert before == f"{now} at HEAD"
    assert {name: len(costs) for name, costs in written.costs[now].items()} == {"reference": 2, "get": 2}
    title, *last = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert title == f"{before} before, {now} now:"
    assert [row.split()[1] for row in last] == ["benchmark", last[1].split()[1], "reference", "get"]


@pytest.mark.parametrize("revision", ["no-such-revision", "--output=somewhere"])
def test_a_revision_that_git_does_not_know(revision: str, tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=f"git, which is to give the code at {revision}, failed: "):
        subjects.extract(revision, tmp_path)
    assert not any(tmp_path.rglob("*.py"))


def test_what_has_changed_since_an_earlier_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier, factors = tmp_path / "earlier.json", {"reference": 100.0, "get": 1.0}

    def measure(self: Subject, names: list[str], *effort: int, seed: int) -> list[tuple[str, float, float]]:
        return [(name, factors[name], 0.0) for name in names]

    monkeypatch.setattr(Subject, "measure", measure)
    assert invoke("get", "--output", earlier) == 0
    factors = {"reference": 1.0, "get": 100.0}
    assert invoke("get", "--baseline", earlier, "--output", tmp_path / "later.json") == 0
    last = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert [row.split("|")[-2].strip() for row in last[3:]] == ["quicker", "slower"]


def test_what_was_measured_before_an_interrupt_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: Subject, names: list[str], *effort: int, seed: int) -> list[tuple[str, float, float]]:
        if seed:
            raise KeyboardInterrupt
        return [("get", 10.0, 0.0)]

    monkeypatch.setattr(Subject, "measure", interrupted)
    assert invoke("get", "--output", tmp_path / "micro.json") == INTERRUPTED
    assert [*results.read(tmp_path / "micro.json").costs.values()] == [{"get": [10.0]}]
    assert "| get " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        ([10.0, 10.1, 10.2, 10.1], [10.5, 10.6, 10.7, 10.6], "slower"),
        ([10.5, 10.6, 10.7, 10.6], [10.0, 10.1, 10.2, 10.1], "quicker"),
        ([10.0, 10.0, 10.0, 10.0], [10.2, 10.2, 10.2, 10.2], ""),
        ([10.0, 12.0, 10.1, 12.1], [10.4, 11.9, 10.7, 13.0], ""),
        ([10.0, 15.0, 10.1, 10.2], [30.0, 10.0, 10.2, 10.1], ""),
        ([10.0, 15.0, 10.1, 10.2], [16.0, 10.8, 10.9, 11.0], "slower"),
        ([10.0], [11.0], "slower"),
    ],
)
def test_changes_beyond_the_noise_are_marked(before: list[float], now: list[float], verdict: str) -> None:
    assert results.verdict(before, now) == verdict
    table = results.changed({"get": before, "ws": now}, {"get": now, "wsgi": now})
    assert table.endswith(f"| {verdict} |" if verdict else "|  |")
    assert len(table.splitlines()) == 3


def test_switches_are_shown_where_there_are_any() -> None:
    both = found([10.0], "get")
    both.add("3.13", "wsgi", 80.0, 2.0)
    lines = [[cell.strip() for cell in line.split("|")] for line in results.measured(both).splitlines()]
    assert [line[1:5] for line in lines[2:]] == [
        ["get", "10.00", "", BENCHMARKS["get"].title],
        ["wsgi", "80.00", "2.00", BENCHMARKS["wsgi"].title],
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "'nonsense' is not one of"),
        (["--python", "/nowhere/python"], "'/nowhere/python' does not exist"),
        (["--baseline", "/nowhere/micro.json"], "/nowhere/micro.json cannot be read: No such file"),
        (["--baseline", __file__], "is no results of `micro`: it is not JSON"),
        (["--output", "/proc/nowhere/micro.json"], "/proc/nowhere/micro.json cannot be written: No such file"),
    ],
)
def test_mistakes_are_named_in_one_line(arguments: list[str], complaint: str) -> None:
    with pytest.raises(click.ClickException) as raised:
        invoke(*arguments)
    assert raised.value.exit_code == 2
    assert complaint in raised.value.format_message()
    assert "\n" not in raised.value.format_message()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", "in the format loadtests-micro-2"),
        ('{"format": "loadtests-micro-2", "facts": {}}', "is damaged: KeyError 'costs'"),
    ],
)
def test_other_files_are_no_results(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(LoadTestError, match=complaint):
        results.read(tmp_path / "other.json")
