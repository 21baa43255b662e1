"""The Python in the pages: an application is served and asked, a program is run, anything else is executed."""

import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.pages import Block, blocks
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE

from threadserve import Config

# What is in two pages is run once.
BLOCKS = [*{block.text: block for block in blocks("python")}.values()]
APPLICATIONS = [block for block in BLOCKS if re.search(r"^(async def app\(|app = )", block.text, re.MULTILINE)]
PROGRAMS = [block for block in BLOCKS if re.search(r"^\S.*\brun\(", block.text, re.MULTILINE)]
OTHERS = [block for block in BLOCKS if block not in (*APPLICATIONS, *PROGRAMS)]


def written(block: Block, folder: Path) -> Path:
    """Write a block to a file of its own, with a free port in place of one that may be taken."""
    file = folder / "main.py"
    file.write_text(re.sub(r"port=\d+", "port=0", block.text))
    return file


def test_there_are_blocks_of_each_kind() -> None:
    assert min(len(APPLICATIONS), len(PROGRAMS), len(OTHERS)) > 0
    assert not set(APPLICATIONS) & set(PROGRAMS)


@pytest.mark.parametrize("block", APPLICATIONS, ids=str)
def test_application_answers_on_two_threads(block: Block, tmp_path: Path) -> None:
    written(block, tmp_path)
    with ServerProcess("main:app", "--threads", "2", cwd=tmp_path) as server:
        answers = [httpx.get(server.url, timeout=DEADLINE) for _ in range(4)]
        assert server.stop() == 0
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.text for answer in answers)
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_program_serves_and_stops(block: Block, tmp_path: Path) -> None:
    """One that ends by itself has stopped its server; the others are asked, and stopped by a signal."""
    server = ServerProcess("", cwd=PACKAGE_ROOT)
    server.command = [sys.executable, str(written(block, tmp_path))]
    ends_by_itself = "should_exit" in block.text
    try:
        server.start(wait=not ends_by_itself)
        if not ends_by_itself:
            assert httpx.get(server.url, timeout=DEADLINE).text.startswith("Hello from ")
            server.send_signal()
        assert server.wait() == 0
    finally:
        server.kill()


@pytest.mark.parametrize("block", OTHERS, ids=str)
def test_anything_else_is_executed(block: Block) -> None:
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    for value in names.values():
        if isinstance(value, type) and "CONFIG_KWARGS" in vars(value):
            Config("main:app", **vars(value)["CONFIG_KWARGS"])
