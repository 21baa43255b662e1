"""Writes docs/settings.md from the declared settings: `python docs/make_settings.py`.

Runs on the main thread of a process of its own. It owns that page alone, and says nothing of a setting that its
declaration could say.
"""

import re
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

import click

from threadserve.cli import main
from threadserve.config import groups

PAGE = Path(__file__).with_name("settings.md")

INTRODUCTION = """\
# Settings

<!-- Written by docs/make_settings.py from the declarations in threadserve/config. Change those, and run it again. -->

Every setting is declared once. The command line, the environment variables, the keys of the TOML file and the keyword
arguments of `threadserve.run` and `threadserve.Config` are made from these declarations, and so is this page.

`threadserve APP [OPTIONS]` and `python -m threadserve APP [OPTIONS]` are the same command. `APP` is `module:attribute`.

## Where a setting is read

* **Command line**: `--timeout-keep-alive 10`. An option that may be repeated is given once for each value.
* **Environment**: `THREADSERVE_TIMEOUT_KEEP_ALIVE=10`. A flag is `=true` or `=false`. An option that may be repeated
  has one line for each value. `APP` is `THREADSERVE_APP`.
* **TOML file**: `timeout_keep_alive = 10`. An option that may be repeated is a list. `APP` is the key `app`.
* **Python**: `timeout_keep_alive=10`, by the name of the TOML key. Some settings are [for programs
  alone](programs.md#settings-for-programs-alone).

The command line is used before the environment, and the environment before the file.

`--config FILE` names the TOML file. Its settings stand at the top level, or in a table `[threadserve]`, or in
`[tool.threadserve]`. Without `--config` the server reads the table `[tool.threadserve]` of a `pyproject.toml` in the
working directory, if there is one. A key may be written with hyphens, and as the option is called (`header`). An
unknown key is an error.

```toml
app = "main:app"
port = 8001
threads = "auto"
headers = ["X-Frame-Options: DENY"]
```

An environment variable that begins with `THREADSERVE_` and belongs to no setting is reported in a warning. So are
Uvicorn's variables (`UVICORN_...`), which are not read. Two variables are not settings: `THREADSERVE_PURE` and
`THREADSERVE_BUILD` choose [the form of the package](contributing.md#compiled-and-interpreted).

The server refuses a wrong value with one line that names the option, and exit code 2.
"""

# What belongs to a group as a whole and to none of its declarations.
NOTES = {
    "Serving": "[Where to listen](deployment.md#where-to-listen) explains the addresses, and [applications on "
    "free-threaded Python](free-threading.md) the threads. `--loop auto` is uvloop where it is installed. In a program "
    "`host` may also be a list.",
    "Application": "See [loading](asgi.md#loading), [lifespan](asgi.md#lifespan), [extensions](asgi.md#extensions), "
    "[app instances](free-threading.md#app-instances) and [threads for blocking calls](app-threads.md).",
    "Processes": "See [worker processes](deployment.md#worker-processes) and [automatic "
    "reload](deployment.md#automatic-reload).",
    "WSGI": "See [WSGI sites](wsgi.md).",
    "WebSockets": "See [HTTP/2 and WebSockets](http2-websockets.md#websockets).",
    "TLS": "See [TLS](deployment.md#tls) and [security](security.md#tls).",
    "Proxies": "See [behind a proxy](deployment.md#behind-a-proxy) and [security](security.md#trust-in-proxies).",
    "Limits and timeouts": "See [limits on requests](limits.md), [stopping](deployment.md#stopping) and [worker "
    "processes](deployment.md#worker-processes).",
    "Response headers": "In a program `headers` is a list of pairs.",
    "Logging": "See [logging](logging.md). In a program `log_config` may also be a dictionary, or `None` to leave "
    "logging as it is.",
    "Operations": "See [metrics and operations](operations.md).",
    "Other": "These are options of the command alone.",
}

HEAD = (
    "| Option | Environment variable | TOML key | Default | Unit or values | Meaning |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)
UNITS = {"SECONDS": "seconds", "BYTES": "bytes", "N": "number", "TEXT": "text", "LIST": "text"}


def page() -> str:
    """Return the text of the page."""
    options = {option.name: option for option in main.params if isinstance(option, click.Option)}
    sections = [INTRODUCTION]
    for heading, members in groups():
        rows = [setting_row(declared, options.pop(declared.name)) for declared in members]
        sections.append(section(heading, HEAD + "".join(rows)))
    rows = [f"| {flags(option)} | {plain(option.help or '')} |\n" for option in options.values()]
    sections.append(section("Other", "| Option | |\n| --- | --- |\n" + "".join(rows)))
    return "\n".join(sections)


def section(heading: str, table: str) -> str:
    """Return the section of a group: its heading, its note and its table."""
    return f"## {heading}\n\n{NOTES[heading]}\n\n{table}"


def setting_row(declared: Field[Any], option: click.Option) -> str:
    """Return the row of a setting."""
    cells = (
        flags(option),
        f"`{option.envvar}`",
        f"`{declared.name}`",
        default_of(declared),
        value_of(option),
        plain(declared.metadata["help"]),
    )
    return f"| {' | '.join(cells)} |\n"


def flags(option: click.Option) -> str:
    """Return an option's names."""
    return ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))


def default_of(declared: Field[Any]) -> str:
    """Return a setting's default: a value as code, a description as it is."""
    if shown := declared.metadata["shown_default"]:
        return plain(shown)
    default = declared.default
    if isinstance(default, bool):
        return "on" if default else "off"
    return "none" if default in (None, "", (), MISSING) else f"`{default}`"


def value_of(option: click.Option) -> str:
    """Return the unit of an option's value, or the values that it may have."""
    if option.is_flag:
        return "flag"
    metavar = option.metavar or "TEXT"
    members = metavar.removeprefix("[").removesuffix("]") if metavar.endswith("]") else metavar
    unit = UNITS.get(metavar) or " or ".join(f"`{member}`" for member in members.split("|"))
    return f"{unit}; repeatable" if option.multiple else unit


def plain(text: str) -> str:
    """Return a text without Markdown's marks, and with options, variables and addresses as code."""
    escaped = re.sub(r"([*|<])", r"\\\1", text)
    return re.sub(r"(?<![\w`-])(--[a-z][a-z0-9-]*|\$[A-Z_]+)", r"`\1`", escaped)


if __name__ == "__main__":
    PAGE.write_text(page())
