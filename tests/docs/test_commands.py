"""The commands in the pages: the real command line takes each of threadserve's, and every other program is a known one.

TOML is read by the real reader. Options that stand in the text are parsed with their values.
"""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from click.core import ParameterSource
from gunicorn.config import Config as GunicornConfig
from support.command_line import run_module
from support.pages import DOCS, PAGES, Block, blocks, inline_code, prose
from support.server_process import PACKAGE_ROOT

from threadserve import Config
from threadserve.cli import main
from threadserve.config.config_file import read_config_file

LANGUAGES = {"console", "python", "sh", "text", "toml"}

# What is not run here, and why.
ELSEWHERE = {
    "curl": "it asks a server that runs",
    "uv": "it downloads an interpreter",
    "ruff": "it checks the tree",
    "mypy": "it checks the tree",
}
# `python -m` these.
MODULES_ELSEWHERE = {
    "venv": "it makes an environment",
    "loadtests": "it measures for minutes",
}
EXTRAS = tomllib.loads((PACKAGE_ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
OPTIONS = re.compile("--[a-z]|threadserve ")
# Words in place of a value, as in `--timeout-request SECONDS`.
PLACEHOLDER = re.compile(r"[A-Z]+(:[A-Z]+)?|.*\.toml")


def commands() -> list[tuple[Block, str]]:
    """Return the commands of all blocks: the lines behind a prompt, and every line of those without any output."""
    found = []
    for block in blocks("console", "sh"):
        lines = block.text.splitlines()
        if block.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found += [(block, command) for line in lines for command in line.split(" && ")]
    return found


COMMANDS = commands()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave all settings to the pages, where no configuration file is."""
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    monkeypatch.chdir(tmp_path)


def configure(arguments: list[str]) -> Config:
    """Return the configuration for the arguments of the command, which are parsed by it."""
    with main.make_context("threadserve", list(arguments)) as context:
        values = dict(context.params)
        values.pop("check")
        given = {
            name: value
            for name, value in values.items()
            if context.get_parameter_source(name) != ParameterSource.DEFAULT
        }
    given.setdefault("app", "main:app")
    return Config(**given)


def check_pip(arguments: list[str]) -> None:
    """Check that the extras that are installed are the project's."""
    for extras in re.findall(r"\[([\w,]+)\]", " ".join(arguments)):
        assert set(extras.split(",")) <= set(EXTRAS)


def check_pytest(arguments: list[str]) -> None:
    """Check that the files that are tested exist."""
    for name in arguments:
        if name.startswith("tests"):
            assert (PACKAGE_ROOT / name).exists(), name


def check_gunicorn(arguments: list[str]) -> None:
    """Check that Gunicorn takes its options."""
    options = GunicornConfig().parser().parse_args(arguments)
    assert options.worker_class == "threadserve.gunicorn.ThreadserveWorker"


CHECKS = {"threadserve": configure, "pip": check_pip, "pytest": check_pytest, "gunicorn": check_gunicorn}


def program_and_arguments(command: str) -> tuple[str, list[str]]:
    """Return the name of a command's program, or of the module that Python runs, and its arguments."""
    words = shlex.split(command, comments=True)
    name = Path(words[0]).name
    if name.startswith("python") or "-m" in words[:4]:
        _, name, *arguments = words[words.index("-m") :]
        return name, arguments
    return name, words[1:]


@pytest.mark.parametrize(("block", "command"), COMMANDS, ids=[f"{block}-{command}" for block, command in COMMANDS])
def test_command_is_taken(block: Block, command: str) -> None:
    program, arguments = program_and_arguments(command)
    if program in CHECKS:
        CHECKS[program](arguments)
    else:
        assert program in {**ELSEWHERE, **MODULES_ELSEWHERE}


def test_the_commands_are_found() -> None:
    programs = [program_and_arguments(command)[0] for _, command in COMMANDS]
    assert programs.count("threadserve") > 10
    assert set(CHECKS) | set(ELSEWHERE) | set(MODULES_ELSEWHERE) == set(programs)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_read(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "threadserve.toml"
    file.write_text(block.text)
    settings = read_config_file(file)
    assert settings
    Config(**{"app": "main:app", **settings})


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in blocks()} <= LANGUAGES


def own_text(page: Path) -> str:
    """Return a page's text without the left columns of tables in which other servers' options are."""
    text = prose(page)
    return re.sub(r"^\| .*? \|", "|", text, flags=re.MULTILINE) if page.name == "migrating.md" else text


def options_in(page: Path) -> list[list[str]]:
    """Return what is written of options in a page's text, in words: an option's name, or arguments of the command."""
    spans = [span.replace("APP [OPTIONS]", "main:app") for span in inline_code(own_text(page)) if OPTIONS.match(span)]
    words = [shlex.split(span) for span in spans]
    return [each[1:] if each[0] == "threadserve" else each if len(each) == 1 else ["main:app", *each] for each in words]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_text_are_taken(page: Path) -> None:
    known = {flag for option in main.params for flag in (*option.opts, *option.secondary_opts)} | {"--help"}
    for words in options_in(page):
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known
        if len(words) > 1 and not any(PLACEHOLDER.fullmatch(word) for word in words):
            configure(words)


def test_options_are_found_in_the_text() -> None:
    assert sum(len(options_in(page)) for page in PAGES) > 300
    assert len(options_in(DOCS / "migrating.md")) > 100


def test_the_check_reports_what_its_page_shows(tmp_path: Path) -> None:
    """The last lines are left out: they tell the machine's CPUs and the interpreter."""
    [block] = [block for block in blocks("console") if block.page.name == "check.md"]
    command, finding, remedy, *_ = block.text.splitlines()
    (tmp_path / "models.py").write_text("import asyncio\n\nlock = asyncio.Lock()\n")
    (tmp_path / "main.py").write_text(
        "import models\n\n\nasync def app(scope, receive, send):\n    assert models.lock\n"
    )
    found = run_module(*program_and_arguments(command.removeprefix("$ "))[1], cwd=tmp_path)
    assert found.stdout.splitlines()[:2] == [finding, remedy]
    assert found.returncode == 1
