"""The page for those who come from other servers names every option of the servers that the tests can ask."""

import re

import click
import pytest
import uvicorn
from gunicorn.config import KNOWN_SETTINGS
from support.pages import DOCS, rows, section

from threadserve.cli import main

PAGE = DOCS / "migrating.md"
OURS = {flag for option in main.params for flag in (*option.opts, *option.secondary_opts)}


def named(server: str) -> str:
    """Return what stands in the left column of the tables about a server."""
    return "\n".join(row[0] for row in rows(section(PAGE, server)))


def test_what_uvicorn_has_and_we_have_not_is_named() -> None:
    for option in uvicorn.main.params:
        if isinstance(option, click.Option):
            missing = {*option.opts, *option.secondary_opts} - OURS
            assert all(f"`{flag}`" in named("Uvicorn") for flag in missing)


def test_values_that_uvicorn_has_and_we_have_not_are_named() -> None:
    for option in uvicorn.main.params:
        ours = next((each for each in main.params if each.name == option.name), None)
        if isinstance(option.type, click.Choice) and ours is not None and ours.metavar:
            missing = {str(choice) for choice in option.type.choices} - set(re.split(r"[\[\]|]", ours.metavar))
            assert all(f"`{option.opts[0]} {value}`" in named("Uvicorn") for value in missing)


def test_every_option_of_gunicorn_is_named() -> None:
    flags = [flag for setting in KNOWN_SETTINGS for flag in setting.cli or ()]
    assert len(flags) > 50
    assert [flag for flag in flags if not re.search(rf"`{flag}[ `]", named("Gunicorn"))] == []


@pytest.mark.parametrize("server", ["Uvicorn", "Gunicorn", "Hypercorn", "Daphne", "Granian"])
def test_every_server_has_a_table_for_programs(server: str) -> None:
    assert len(rows(section(PAGE, f"{server} in a program"))) > 2
