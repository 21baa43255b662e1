"""The micro-benchmarks: what they measure is right, and what has changed is told."""

import asyncio
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from loadtests.apps import hello
from loadtests.errors import INTERRUPTED, LoadTestError
from loadtests.micro import client, command, http, measuring, process, results, subjects, tables, websocket, wsgi
from loadtests.micro.all import TITLES
from loadtests.micro.benchmark import Benchmark, Repeat
from loadtests.micro.changes import Change, changes
from loadtests.micro.command import micro
from loadtests.micro.results import Results, Sample
from loadtests.servers.interpreters import ROOT, usable

# Each run starts several interpreters, which import a lot, and a process for each benchmark.
pytestmark = pytest.mark.timeout(600)

CROSSES_THREADS = {"wsgi", "wsgi-in-flight", "mailbox", "mailbox-batch"}
Send = Callable[[dict[str, Any]], Awaitable[None]]


def invoke(*arguments: str | Path) -> int:
    code: int = micro.main(list(map(str, arguments)), standalone_mode=False)
    return code


def found(costs: list[float], benchmark: str = "get", switches: float = 0.0) -> Results:
    """Results of a subject with this cost in each process."""
    samples = [Sample("3.13", benchmark, number, cost, 2 * cost, switches) for number, cost in enumerate(costs)]
    return Results({}, samples)


@pytest.fixture(scope="module", autouse=True)
def probed_once() -> Iterator[None]:
    """Asks the interpreter only once about itself, which takes seconds where a lot is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "usable", cache(usable))
        yield


@pytest.fixture(scope="module")
def working_tree() -> Path:
    """The folder with the sources that are measured."""
    if not (ROOT / "threadserve").is_dir():
        pytest.skip("there are no sources to measure where the installed server is tested")
    return ROOT


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, working_tree: Path) -> Path:
    """The results of a quick run of everything."""
    path = tmp_path_factory.mktemp("micro") / "new" / "micro.json"
    assert invoke("--quick", "--output", path) == 0
    return path


def test_everything_is_measured(measured: Path) -> None:
    """The benchmarks themselves check what comes out."""
    written = results.read(measured)
    (label,) = written.subjects
    assert label.startswith(platform.python_version())
    assert written.benchmarks == list(TITLES)
    for name in written.benchmarks:
        assert len(written.costs(label, name)) == 2
        assert min(written.costs(label, name)) > 0
    assert all(written.switches(label, name) > 0 for name in CROSSES_THREADS)


async def says_something_else(scope: object, receive: object, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": hello.HEADERS})
    await send({"type": "http.response.body", "body": b"Hello, wurld!"})


async def says_nothing_of_it(scope: object, receive: object, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": hello.HEADERS})
    await send({"type": "http.response.body", "body": hello.BODY})


def refuses(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("403 Forbidden", [("Content-Length", "13")])
    return [hello.BODY]


async def shouts(scope: object, receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
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
        (lambda: http.conversation(http.Asked(http.GET, says_something_else)), "wurld"),
        (lambda: http.conversation(http.Asked(http.GET, says_nothing_of_it)), "404 Not Found"),
        (lambda: http.conversation(http.Asked(http.GET * 2)), r"the answer is b'HTTP/1\.1 200 OK"),
        (lambda: wsgi.conversations(2, refuses), "403 Forbidden"),
        (lambda: websocket.echoed(b"x" * 10, shouts), "XXXXXXXXXX"),
        (lambda: websocket.echoed_compressed(b"x" * 1000, shouts), "the answer is b'"),
    ],
)
def test_a_wrong_answer_is_no_measurement(
    prepare: Callable[[], AbstractAsyncContextManager[Repeat]], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_FOR_REST", 0.5)
    with pytest.raises(LoadTestError, match=answer):
        asyncio.run(enter(prepare()))


def test_what_goes_wrong_is_named() -> None:
    async def fails(operations: int) -> None:
        raise ValueError("no such thing")

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Repeat]:
        yield fails

    async def measured() -> None:
        await process.measure(Benchmark("failing", "a failure", 1, prepare), 1)

    with pytest.raises(LoadTestError, match="failing: no such thing"):
        asyncio.run(measured())


def test_an_answer_that_grows_is_no_measurement() -> None:
    body = bytearray(hello.BODY)

    async def app(scope: object, receive: object, send: Send) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(body)})
        body.append(0)

    with pytest.raises(LoadTestError, match="bytes more than the first"):
        asyncio.run(enter(http.conversation(http.Asked(http.GET, app))))


def test_the_tree_that_was_asked_for_is_measured(tmp_path: Path, working_tree: Path) -> None:
    effort = measuring.Effort(["reference", "get"], processes=1, repeats=1)
    subject = subjects.Subject("changed", sys.executable, tmp_path)
    cpu = min(os.sched_getaffinity(0))
    with pytest.raises(LoadTestError, match=f"takes threadserve from {working_tree}"):
        measuring.run(effort, subject, cpu, seed=1)
    package = tmp_path / "threadserve"
    shutil.copytree(working_tree / "threadserve", package, ignore=shutil.ignore_patterns("__pycache__"))
    assert set(measuring.run(effort, subject, cpu, seed=1)["measured"]) == {"reference", "get"}
    refusal = package / "http" / "exchange.py"
    refusal.write_text("raise RuntimeError('nothing works here')\n")
    with pytest.raises(LoadTestError, match="changed: the process failed: RuntimeError: nothing works here"):
        measuring.run(effort, subject, cpu, seed=1)


@pytest.fixture
def clone(tmp_path: Path, working_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has revisions looked for in a repository that has one, of the package as it is."""
    folder = tmp_path / "clone"
    shutil.copytree(working_tree / "threadserve", folder / "threadserve", ignore=shutil.ignore_patterns("__pycache__"))
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@localhost")
    for line in (["init", "-q"], ["add", "."], [*somebody, "commit", "-q", "--message", "everything"]):
        subprocess.run(["git", *line], cwd=folder, check=True)
    monkeypatch.setattr(subjects, "ROOT", folder)


@pytest.mark.usefixtures("clone")
def test_a_revision_is_measured_before_the_working_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("get", "--quick", "--against", "HEAD", "--output", tmp_path / "micro.json") == 0
    written = results.read(tmp_path / "micro.json")
    before, now = written.subjects
    assert before == f"{now} at HEAD"
    assert [sample.subject for sample in written.samples] == 2 * [before, before, now, now]
    last = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert [row.split()[1] for row in last] == ["benchmark", last[1].split()[1], "reference", "get"]


@pytest.mark.parametrize("revision", ["no-such-revision", "--output=somewhere"])
def test_a_revision_that_git_does_not_know(revision: str, tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=f"git does not give the code at {revision}: "):
        subjects.extract(revision, tmp_path)
    assert not any(tmp_path.iterdir())


def test_what_has_changed_since_an_earlier_run_is_told(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = results.read(measured)
    factors = {"reference": 100, "get": 0.01}
    scaled = [replace(sample, least=factors.get(sample.benchmark, 1) * sample.least) for sample in before.samples]
    earlier = tmp_path / "earlier.json"
    results.write(earlier, Results(before.facts, scaled))
    assert invoke("get", "--quick", "--baseline", earlier, "--output", tmp_path / "later.json") == 0
    last = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert [row.split("|")[-2].strip() for row in last[2:]] == ["quicker", "slower"]


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
def test_changes_beyond_the_noise_are_marked(
    before: list[float], now: list[float], verdict: str, tmp_path: Path
) -> None:
    for name, costs in (("before", before), ("now", now)):
        results.write(tmp_path / name, found(costs))
    read = [(results.read(tmp_path / name), "3.13") for name in ("before", "now")]
    (change,) = changes(*read)
    assert change.verdict == verdict
    assert tables.changed([change], "before", "now").endswith(f"| {verdict} |" if verdict else "|  |")


def test_only_what_both_have_is_compared() -> None:
    both = found([10.0, 10.0]).samples
    before = Results({}, both + found([1.0], "ws").samples)
    now = Results({}, both + found([1.0], "wsgi", switches=2.0).samples)
    assert list(changes((before, "3.13"), (now, "3.13"))) == [Change("get", [10.0, 10.0], [10.0, 10.0])]
    assert not list(changes((before, "3.14"), (now, "3.13")))


def test_switches_are_shown_where_there_are_any() -> None:
    both = Results({}, found([10.0], "get").samples + found([80.0], "wsgi", switches=2.0).samples)
    lines = [[cell.strip() for cell in line.split("|")] for line in tables.measured(both).splitlines()]
    assert [line[1:5] for line in lines[2:]] == [
        ["get", "10.00", "", TITLES["get"]],
        ["wsgi", "80.00", "2.00", TITLES["wsgi"]],
    ]


def test_what_was_measured_before_an_interrupt_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(effort: object, chosen: object, taken: Callable[[str, list[Sample]], None]) -> None:
        taken("3.13", found([10.0]).samples)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", interrupted)
    assert invoke("get", "--output", tmp_path / "micro.json") == INTERRUPTED
    assert results.read(tmp_path / "micro.json").costs("3.13", "get") == [10.0]
    assert "| get " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "'nonsense' is not one of"),
        (["--python", "/nowhere/python"], "'/nowhere/python' does not exist"),
        (["--against", "no-such-revision", "get"], "git does not give the code at no-such-revision"),
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
        ('{"format": "loadtests-compare-1"}', "in the format loadtests-micro-1"),
        ("[]", "in the format loadtests-micro-1"),
        ('{"format": "loadtests-micro-1", "facts": {}}', "is damaged: KeyError 'samples'"),
        ('{"format": "loadtests-micro-1", "facts": {}, "samples": [{"least": 1}]}', "is damaged: TypeError"),
    ],
)
def test_other_files_are_no_results(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(LoadTestError, match=complaint):
        results.read(tmp_path / "other.json")
