"""What the pages list is what there is: states, folders, files, codes of the check, exit codes, metrics, versions."""

import re
from enum import IntEnum
from pathlib import Path

import httpx
import pytest
from support.pages import DOCS, PAGES, prose, rows, section
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE

import threadserve
from loadtests.servers.ports import free_port
from threadserve import check, errors
from threadserve.check.contradictions import RULES
from threadserve.check.log_records import CODES
from threadserve.http.states import RequestState, ResponseState
from threadserve.http1.states import Closing, Reading
from threadserve.http2 import states as http2_states

ARCHITECTURE = DOCS / "architecture.md"
PACKAGE = Path(threadserve.__file__).parent


@pytest.mark.parametrize(
    ("heading", "states"),
    [
        ("An exchange", RequestState),
        ("An exchange", ResponseState),
        ("An HTTP/1.1 connection", Reading),
        ("An HTTP/1.1 connection", Closing),
        ("An HTTP/2 connection", http2_states.ConnectionPhase),
    ],
)
def test_every_state_is_drawn(heading: str, states: type[IntEnum]) -> None:
    drawn = section(ARCHITECTURE, heading)
    assert [state.name for state in states if state.name not in drawn] == []


def test_the_folders_of_the_package_are_listed() -> None:
    listed = {row[0].strip("`/") for row in rows(section(ARCHITECTURE, "The folders of the package"))[1:]}
    assert listed == {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_package_that_are_named_exist(page: Path) -> None:
    """A file may be named with its folder, or as one of those at the top; those of `tests` by their whole path."""
    named = re.findall(r"`([\w/]+\.pyx?)`", prose(page))
    places = (PACKAGE, PACKAGE_ROOT)
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []


def test_every_code_of_the_check_is_explained() -> None:
    sources = "".join(file.read_text() for file in Path(check.__file__).parent.glob("*.py"))
    codes = {*re.findall(r'evel(?:\.[A-Z]+)?,\s*"([a-z-]+)"', sources), *CODES.values(), *(rule.code for rule in RULES)}
    assert {"loop-bound", "gil-on", "hangs"} <= codes
    explained = section(DOCS / "check.md", "Codes")
    assert sorted(code for code in codes if f"`{code}`" not in explained) == []


def errors_with_codes() -> list[type[errors.ThreadserveError]]:
    """Return the errors that have an exit code of their own."""
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, errors.ThreadserveError) and "exit_code" in vars(each)]


@pytest.mark.parametrize("error", errors_with_codes()[1:], ids=lambda error: error.__name__)
def test_every_exit_code_is_listed(error: type[errors.ThreadserveError]) -> None:
    codes = {row[0]: row[1] for row in rows(section(DOCS / "programs.md", "Exit codes and errors"))}
    if error is not errors.WorkerFailed:  # It has the code of the worker that failed.
        assert f"`{error.__name__}`" in codes[str(error.exit_code)]


def test_every_metric_is_listed() -> None:
    admin = f"127.0.0.1:{free_port()}"
    with ServerProcess("examples.hello:app", "--admin-bind", admin, cwd=PACKAGE_ROOT) as server:
        text = httpx.get(f"http://{admin}/metrics", timeout=DEADLINE).text
        assert server.stop() == 0
    served = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    listed = set()
    for row in rows(section(DOCS / "operations.md", "Metrics"))[1:]:
        first, *others = re.findall("`([^`]+)`", row[0])
        listed |= {first, *(f"threadserve_wsgi{name}" if name.startswith("_") else name for name in others)}
    assert len(served) > 20
    assert served - listed == set()


def test_the_version_has_a_place_in_the_changelog() -> None:
    text = (PACKAGE_ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[?{re.escape(threadserve.__version__)}\]? ", text, re.MULTILINE)
