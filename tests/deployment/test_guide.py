"""The page on deployment and the files that it is about: nothing is forgotten, and every option is one."""

import re
from pathlib import Path

import click
import pytest
from support.deployment import DEPLOYMENT
from support.server_process import PACKAGE_ROOT

from threadserve.cli import main

GUIDE = PACKAGE_ROOT / "docs" / "deployment.md"
FILES = sorted(path for path in DEPLOYMENT.rglob("*") if path.is_file())
# Those of other programs that the files run.
OTHERS = {
    "--from",
    "--kill-whom",
    "--signal",
    "--stop-timeout",
    "--interval",
    "--timeout",
    "--start-period",
    "--retries",
}
INSTALLING = {"--yes", "--no-install-recommends", "--no-cache-dir", "--python", "--requirement"}
INSTALLING |= {"--system", "--uid", "--no-create-home", "--now"}


def name_of(path: Path) -> str:
    """A file's name from the root on."""
    return str(path.relative_to(PACKAGE_ROOT))


def test_every_file_is_linked_and_every_link_leads_somewhere() -> None:
    links = {(GUIDE.parent / link).resolve() for link in re.findall(r"\]\(([^)#:]+)\)", GUIDE.read_text())}
    assert [link for link in links if not link.exists()] == []
    assert set(FILES) <= links


@pytest.mark.parametrize("path", [GUIDE, *FILES], ids=name_of)
def test_every_option_is_one(path: Path) -> None:
    known = {flag for option in main.params if isinstance(option, click.Option) for flag in option.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", path.read_text()))
    assert named - known - OTHERS - INSTALLING == set()
