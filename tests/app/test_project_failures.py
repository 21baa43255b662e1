"""A project that can be imported once, and not for a further thread: one line says why, and nothing is left behind."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.probed_app import APP, probe_all
from support.waiting import DEADLINE

from threadserve.errors import AppLoadError, AppNotRepeatable
from threadserve.instances.current_instance import instances_by_globals
from threadserve.instances.module_proxy import ModuleProxy

Loads = Callable[..., Any]

SECOND_TIME = "import library\nlibrary.times.append(1)\nif len(library.times) == 2:\n    "


@pytest.mark.parametrize(
    "raised", ["SystemExit(7)", "KeyboardInterrupt", "ImportError('no')", "ExceptionGroup('a', [E()])"]
)
def test_raised_for_the_second_thread(project: Any, load: Loads, raised: str) -> None:
    project.write("library.py", "times = []\n")
    project.write("models.py", f"class E(Exception): pass\n{SECOND_TIME}raise {raised}\n")
    project.write("main.py", "import models\n" + APP)
    loader = project.loader("main:app", app_shared="library")
    load(loader)
    with pytest.raises(AppLoadError) as caught:
        load(loader)
    kind = raised.partition("(")[0]
    assert type(caught.value) is AppNotRepeatable
    assert str(caught.value).startswith(
        f"main:app cannot be loaded once per thread: the module models can be executed only once ({kind}"
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["broken", "gone"])
def test_edited_meanwhile(project: Any, load: Loads, how: str) -> None:
    file = project.write("models.py")
    project.write("main.py", "import models\n" + APP)
    loader = project.loader("main:app")
    load(loader)
    if how == "gone":
        file.unlink()
        os.utime(project.folder, (1, 1))
    else:
        file.write_text("x = = 1\n")
    with pytest.raises(AppLoadError) as caught:
        load(loader)
    error = "ModuleNotFoundError: No module named 'models'" if how == "gone" else "SyntaxError: invalid syntax ("
    message = str(caught.value)
    assert message.startswith(
        "main:app cannot be loaded once per thread: its files have changed since it was imported first (" + error
    )
    assert message.endswith("). Start the server again")


def test_import_that_is_expected_to_fail(project: Any) -> None:
    project.write("optional.py", "import not_installed\n")
    source = """
try:
    import optional
except ImportError as error:
    optional = error
import sys
def probe(): return str(optional), "optional" in sys.modules
"""
    project.write("main.py", source + APP)
    assert probe_all(project.loader("main:app", threads=3)) == [("No module named 'not_installed'", False)] * 3


def test_nothing_is_left_of_a_copy_that_could_not_be_loaded(project: Any, load: Loads) -> None:
    project.write("library.py", "times = []\n")
    project.write("helpers.py")
    project.write("models.py", SECOND_TIME + "raise ValueError\n")
    project.write("main.py", "import helpers, models\n" + APP)
    loader = project.loader("main:app", app_shared="library")
    load(loader)
    with pytest.raises(AppLoadError):
        load(loader)
    loader.stop(DEADLINE)
    project.loaders.remove(loader)
    assert instances_by_globals == {}
    assert not [name for name, module in sys.modules.items() if type(module) is ModuleProxy]


def test_successors_take_the_place_of_the_dead(project: Any) -> None:
    """Each has a new copy, the others keep theirs, and those of the dead are given up."""
    project.write("state.py", "kept = object()\n")
    project.write("main.py", "import state\ndef probe():\n    import late\n    return state.kept, late.kept\n" + APP)
    project.write("late.py", "kept = object()\n")
    loader = project.loader("main:app", threads=2)
    apps: list[Any] = []

    def run(number: int) -> None:
        async def load_and_probe() -> None:
            apps.append(loader.load_threadsafe(number))
            apps[-1].probe()

        asyncio.run(load_and_probe())

    def on_a_thread(number: int) -> None:
        thread = threading.Thread(target=run, args=(number,))
        thread.start()
        thread.join()

    for number in (1, 2):
        on_a_thread(number)
    first, _ = apps
    before, count = first.probe(), len(instances_by_globals)
    seen = []
    for _ in range(20):
        on_a_thread(2)
        seen.append(apps.pop().probe())
    assert len({kept for pair in seen for kept in pair}) == 40, "each has its own"
    assert first.probe() == before
    assert len(instances_by_globals) == count
