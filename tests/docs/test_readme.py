"""What the README promises that can be checked word for word: its two commands, its length and its table of options."""

import re
from pathlib import Path

from support.command_line import option_of
from support.pages import README, blocks, rows, section

import threadserve
from threadserve.config import settings


def test_the_commands_need_nothing_but_a_clone() -> None:
    commands = [block.text.strip() for block in blocks("sh") if block.page == README]
    assert len(commands) == 2
    assert all("\n" not in command for command in commands)
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/pip install") for command in commands)
    assert "threadserve examples.hello:app" in commands[0]
    assert "&& .venv/bin/python -m pytest" in commands[1]


def test_it_can_be_read_in_one_go() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_it_has_the_sections_that_the_log_names() -> None:
    sources = "".join(file.read_text() for file in Path(threadserve.__file__).parent.rglob("*.py"))
    named = re.findall(r"""\"([A-Z][\w ]+)\" in ['"\s]*the README""", sources)
    assert len(named) >= 2
    assert all(section(README, heading) for heading in named)


def test_the_options_are_ten_with_their_defaults() -> None:
    declared = {setting.name: setting for setting in settings()}
    table = rows(section(README, "Ten options"))[1:]
    assert len(table) == 10
    for names, defaults, _ in table:
        for flag, default in zip(re.findall("`([^`]+)`", names), defaults.split(", "), strict=True):
            option = option_of(flag.removeprefix("--").replace("-", "_"))
            value = declared[str(option.name)].default if option.name in declared else None
            assert default == f"`{value}`" if value else default in ("one", "off", "none", "nowhere", "loopback")
