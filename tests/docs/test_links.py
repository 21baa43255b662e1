"""Every link in the pages leads somewhere: to a file, and to a heading of it. Addresses elsewhere are not asked for."""

import re
import tomllib
from pathlib import Path

import pytest
from support.pages import DOCS, PAGES, anchors, links
from support.server_process import PACKAGE_ROOT

REPOSITORY = "https://github.com/threadserve/threadserve"
LINKING = [*PAGES, PACKAGE_ROOT / "loadtests" / "README.md"]


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(PACKAGE_ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}
    assert {page for page in DOCS.glob("*.md") if page.name != "README.md"} <= listed


def test_the_projects_addresses_lead_into_the_tree() -> None:
    urls = tomllib.loads((PACKAGE_ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert set(urls) == {"Documentation", "Source", "Issues", "Changelog"}
    for url in urls.values():
        assert url == REPOSITORY or url.startswith(f"{REPOSITORY}/")
        _, found, path = url.partition("/blob/main/")
        assert not found or (PACKAGE_ROOT / path).is_file()
