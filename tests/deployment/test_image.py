"""The Dockerfile: what can be known without building it, and its commands in folders laid out as it does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
from support.deployment import DEPLOYMENT, CommandLine, port_of, wait_for_status
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE

from loadtests.servers.ports import free_port

Instruction = tuple[str, str]
FOLDER = DEPLOYMENT / "docker"


def stages() -> list[list[Instruction]]:
    """The instructions of each stage of the Dockerfile, without comments and with continued lines joined."""
    lines = [line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not re.match(r"\s*(#|$)", line)]
    found: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def last(name: str) -> str:
    """What the last stage has behind an instruction that is there once."""
    [rest] = [rest for given, rest in stages()[-1] if given == name]
    return rest


def command() -> CommandLine:
    """The command line of the image. Raises `ValueError` where a shell would run it."""
    return CommandLine(json.loads(last("CMD")))


def health_check(port: int) -> int:
    """Runs the image's health check against another port; returns its exit code."""
    options, _, words = last("HEALTHCHECK").partition("CMD ")
    program, *arguments = json.loads(words)
    assert program == "python"
    assert float(re.findall(r"--timeout=(\d+)s", options)[0]) > float(re.findall(r"timeout=(\d+)\)", words)[0])
    admin_port = port_of(command().options["--admin-bind"])
    arguments = [argument.replace(f":{admin_port}/", f":{port}/") for argument in arguments]
    ran = subprocess.run([sys.executable, *arguments], stderr=subprocess.DEVNULL, timeout=2 * DEADLINE, check=False)
    return ran.returncode


def test_the_image_runs_no_root_and_has_no_compiler() -> None:
    assert int(last("USER")) > 0
    assert not any("gcc" in rest for _, rest in stages()[-1])
    assert any("gcc" in rest for _, rest in stages()[0])
    names = [name for name, _ in stages()[-1]]
    # What comes behind it could not be written by others than that user, and the server is not to write its own code.
    assert names.index("COPY") < names.index("USER")


def test_what_is_exposed_is_what_is_listened_on() -> None:
    options = command().options
    addresses = [options["--bind"], options["--admin-bind"]]
    assert [address.rpartition(":")[0] for address in addresses] == ["0.0.0.0"] * 2
    assert [int(port) for port in last("EXPOSE").split()] == [port_of(address) for address in addresses]


def test_the_time_to_stop_that_it_asks_for_is_enough() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    assert float(re.findall(r"--stop-timeout (\d+)", text)[0]) >= command().seconds_to_stop()


def test_what_is_copied_between_the_stages_stays_in_its_place() -> None:
    copied = [rest.split()[1:] for name, rest in stages()[-1] if name == "COPY" and "--from=build" in rest]
    # A virtual environment's programs name its folder, and it links to its interpreter's.
    assert [source for source, target in copied if source != target] == []
    made = " ".join(rest for _, rest in stages()[0])
    assert all(source in made for source, _ in copied)


def test_secrets_and_history_stay_out() -> None:
    ignored = (FOLDER / ".dockerignore").read_text().split("\n")
    assert {".git", ".env", ".venv"} <= set(ignored)


def test_its_commands(tmp_path: Path) -> None:
    workdir = tmp_path / last("WORKDIR").lstrip("/")
    workdir.mkdir(parents=True)
    (workdir / "main.py").write_text((PACKAGE_ROOT / "examples" / "hello.py").read_text())
    port, admin_port = free_port(), free_port()
    changes = {"--bind": f"127.0.0.1:{port}", "--admin-bind": f"127.0.0.1:{admin_port}"}
    with ServerProcess(command().app, *command().words(changes), cwd=workdir) as server:
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=DEADLINE).status_code == 200
        wait_for_status(f"http://127.0.0.1:{admin_port}/livez", 200, server)
        assert health_check(admin_port) == 0
        assert server.stop() == 0
    assert health_check(admin_port) == 1
