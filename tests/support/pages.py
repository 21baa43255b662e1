"""The project's pages in Markdown: their blocks of code, their inline code, their links, tables and headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.server_process import PACKAGE_ROOT

DOCS = PACKAGE_ROOT / "docs"
README = PACKAGE_ROOT / "README.md"
PAGES = [README, PACKAGE_ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is that of its first fence."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages that are in one of these languages, or all blocks."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[1], match[2]))
    return [block for block in found if not languages or block.language in languages]


def prose(page: Path) -> str:
    """Return the text of a page without its blocks."""
    return FENCE.sub("", page.read_text())


def section(page: Path, heading: str) -> str:
    """Return what stands below a heading of the second level or a deeper one, up to the next of its level."""
    text = page.read_text()
    found = re.search(rf"^(##+) {re.escape(heading)}$\n", text, re.MULTILINE)
    assert found is not None, f"{page.name} has no heading {heading!r}"
    return re.split(rf"^#{{2,{len(found[1])}}} ", text[found.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the tables in a text, the rows of dashes left out."""
    cells = [re.split(r"(?<!\\) ?\| ?", line.strip())[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [row for row in cells if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]


def inline_code(text: str) -> list[str]:
    """Return the spans of code in a text."""
    return re.findall(r"`([^`\n]+)`", text)


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    return set(_slugs(re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)))


def _slugs(headings: list[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for heading in headings:
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        yield f"{slug}-{count}" if count else slug
