"""Names of applications that lead nowhere: each gives one line that says what is wrong and what to type."""

import signal
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from threadserve.app.import_string import ImportString, parse_import_string
from threadserve.errors import AppImportFailed, AppLoadError
from threadserve.runtime.signals import handling_signals

APP = "async def app(scope, receive, send): pass\n"


def refusal(project: Any, app: Any, **settings: Any) -> str:
    """The line of the error that an application is refused with."""
    with pytest.raises(AppLoadError) as caught:
        project.load(app, **settings)
    assert not isinstance(caught.value, AppImportFailed), caught.value
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def failure(project: Any, app: Any, **settings: Any) -> AppImportFailed:
    """The error of an application whose own code raises."""
    with pytest.raises(AppImportFailed) as caught:
        project.load(app, **settings)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def test_parts() -> None:
    assert parse_import_string("pkg.main:holder.app") == ImportString("pkg.main", "holder.app")
    assert str(ImportString("main", "app")) == "main:app"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("main.py", "main:app"),
        ("main.py:app", "main:app"),
        ("./main.py:api", "main:api"),
        ("pkg/main:app", "pkg.main:app"),
        ("pkg/main.py:create_app()", "pkg.main:create_app --factory"),
        ("pkg\\main:app", "pkg.main:app"),
        ("pkg/__init__.py", "pkg:app"),
        ("/srv/site/main.py:app", "main:app --app-dir /srv/site"),
        ("../site/main.py", "main:app --app-dir ../site"),
    ],
)
def test_path_of_a_file(typed: str, meant: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        parse_import_string(typed)
    assert str(caught.value) == f"{typed!r} names a file, not a module; did you mean {meant}?"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("main", "main:app"),
        ("main:", "main:app"),
        ("pkg.main", "pkg.main:app"),
        (":api", "main:api"),
        ("", "main:app"),
        (".main:app", "main:app"),
        ("main:create_app()", "main:create_app --factory"),
    ],
)
def test_part_is_missing(typed: str, meant: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        parse_import_string(typed)
    assert str(caught.value) == f"{typed!r} is not of the form module:attribute; did you mean {meant}?"


def test_module_in_the_working_directory(project: Any) -> None:
    project.write("main.py", APP)
    app = project.load("main:app")
    assert app is sys.modules["main"].app
    assert sys.path[0] == str(project.folder)


def test_module_in_the_app_dir(project: Any) -> None:
    project.write("main.py", "raise RuntimeError('the wrong one')")
    project.write("src/main.py", APP)
    project.load("main:app", app_dir="src")
    assert sys.modules["main"].__file__ == str(project.folder / "src" / "main.py")
    assert sys.path[0] == str(project.folder / "src")


def test_dotted_attribute(project: Any) -> None:
    project.write("main.py", APP + "class holder:\n    inner = app\n")
    assert project.load("main:holder.inner") is sys.modules["main"].app


def test_misspelt_module(project: Any) -> None:
    project.write("main.py", APP)
    line = refusal(project, "mian:app")
    assert line == f"module 'mian' was not found in {project.folder}; did you mean main:app?"


def test_misspelt_package(project: Any) -> None:
    project.write("backend/core/main.py", APP)
    project.write("backend/__init__.py")
    assert refusal(project, "bakcend.core.main:app").endswith("; did you mean backend.core.main:app?")


def test_misspelt_module_in_a_package(project: Any) -> None:
    project.write("pkg/main.py", APP)
    line = refusal(project, "pkg.mian:app")
    assert line == f"module 'pkg.mian' was not found in {project.folder}; did you mean pkg.main:app?"


def test_package_is_a_module(project: Any) -> None:
    project.write("main.py", APP)
    assert refusal(project, "main.core:app").endswith("; main is a module, not a package")


def test_nothing_like_it(project: Any) -> None:
    project.write("main.py", APP)
    assert refusal(project, "zzz:app") == f"module 'zzz' was not found in {project.folder}"


@pytest.mark.parametrize("name", ["a..b:app", "main :app", "no-such:app", "pkg.:app"])
def test_impossible_name(project: Any, name: str) -> None:
    assert "was not found" in refusal(project, name)


def test_module_is_below(project: Any) -> None:
    project.write("src/main.py", APP)
    assert refusal(project, "main:app").endswith("; it is in src: add --app-dir src")


def test_module_of_a_package_is_below(project: Any) -> None:
    project.write("my-site/pkg/main.py", APP)
    assert refusal(project, "pkg.main:app").endswith("; it is in my-site: add --app-dir my-site")


def test_module_is_in_a_package_below(project: Any) -> None:
    project.write("site_pkg/__init__.py")
    project.write("site_pkg/main.py", APP)
    assert refusal(project, "main:app").endswith("; did you mean site_pkg.main:app?")


def test_module_is_above(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("pkg/main.py", APP)
    monkeypatch.chdir(project.folder / "pkg")
    assert refusal(project, "pkg.main:app").endswith(f"; it is in {project.folder}: add --app-dir ..")


@pytest.mark.parametrize(
    ("place", "line", "meant"),
    [
        ("pkg", "from . import routers", "pkg.main:app --app-dir .."),
        ("pkg", "from .routers import nothing", "pkg.main:app --app-dir .."),
        ("pkg", "from pkg import routers", "pkg.main:app --app-dir .."),
        ("pkg", "import pkg.routers", "pkg.main:app --app-dir .."),
        ("pkg/api", "from ..core import nothing", "pkg.api.main:app --app-dir ../.."),
        ("pkg/api", "import pkg.core", "pkg.api.main:app --app-dir ../.."),
    ],
)
def test_started_within_its_own_package(
    project: Any, monkeypatch: pytest.MonkeyPatch, place: str, line: str, meant: str
) -> None:
    for folder in ("pkg", "pkg/api"):
        project.write(f"{folder}/__init__.py")
    project.write(f"{place}/main.py", f"{line}\n{APP}")
    monkeypatch.chdir(project.folder / place)
    assert str(failure(project, "main:app")).endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize("line", ["import nowhere", "from json import nothing", "raise ImportError", "import my.site"])
def test_what_is_missing_for_another_reason(project: Any, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    project.write("my-site/main.py", f"{line}\n{APP}")
    monkeypatch.chdir(project.folder / "my-site")
    assert "did you mean" not in str(failure(project, "main:app"))


def test_virtual_environment_is_not_looked_into(project: Any) -> None:
    project.write("venv/pyvenv.cfg")
    project.write("venv/main.py", APP)
    project.write(".hidden/main.py", APP)
    assert refusal(project, "main:app") == f"module 'main' was not found in {project.folder}"


def test_folder_that_cannot_be_read(project: Any) -> None:
    project.write("pkg/__init__.py", "__path__ = ['no/such/folder']")
    assert refusal(project, "pkg.main:app") == f"module 'pkg.main' was not found in {project.folder}"


def test_misspelt_attribute(project: Any) -> None:
    project.write("main.py", APP + "api_key = 'x'\n")
    assert refusal(project, "main:ap") == "module 'main' has no attribute 'ap'; did you mean main:app?"


def test_usual_attribute(project: Any) -> None:
    project.write("main.py", "async def application(scope, receive, send): pass")
    assert refusal(project, "main:zzz").endswith("; did you mean main:application?")


def test_only_what_can_be_called_is_suggested(project: Any) -> None:
    project.write("main.py", "apps = []")
    assert refusal(project, "main:app") == "module 'main' has no attribute 'app'"


def test_misspelt_attribute_of_an_attribute(project: Any) -> None:
    project.write("main.py", APP + "class holder:\n    inner = app\n")
    assert (
        refusal(project, "main:holder.iner") == "main:holder has no attribute 'iner'; did you mean main:holder.inner?"
    )


def test_application_is_in_a_submodule(project: Any) -> None:
    project.write("mysite/__init__.py")
    project.write("mysite/asgi.py", APP)
    assert refusal(project, "mysite:app") == "module 'mysite' has no attribute 'app'; did you mean mysite.asgi:app?"


def test_application_is_in_a_submodule_of_a_plain_folder(project: Any) -> None:
    project.write("src/server.py", APP)
    assert refusal(project, "src:server") == "module 'src' has no attribute 'server'; did you mean src.server:app?"


def test_hidden_by_another_module(project: Any) -> None:
    project.write("textwrap.py", APP)
    file = sys.modules["textwrap"].__file__
    assert refusal(project, "textwrap:app").startswith(f"module 'textwrap' ({file}) has no attribute 'app'")


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("import no_such_dependency", ModuleNotFoundError, "No module named 'no_such_dependency'"),
        ("from os import no_such_name", ImportError, "cannot import name 'no_such_name'"),
        ("raise SystemExit('no settings')", SystemExit, "no settings"),
        ("raise ValueError('first line\\nsecond line')", ValueError, "first line"),
        ("raise KeyboardInterrupt", KeyboardInterrupt, "KeyboardInterrupt"),
        ("class Quiet(BaseException): pass\nraise Quiet", BaseException, "Quiet"),
        ("def app(:", SyntaxError, "invalid syntax (main.py, line 1)"),
        ("raise ModuleNotFoundError('without a name')", ModuleNotFoundError, "without a name"),
    ],
)
def test_application_raises(project: Any, source: str, error: type[BaseException], text: str) -> None:
    project.write("main.py", source)
    raised = failure(project, "main:app")
    assert isinstance(raised.__cause__, error)
    assert str(raised).startswith("main:app cannot be imported: ")
    assert text in str(raised)


def test_error_whose_text_cannot_be_had(project: Any) -> None:
    project.write("main.py", "class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute")
    assert str(failure(project, "main:app")).startswith("main:app cannot be imported: Mute")


def test_missing_submodule_of_another_package_is_the_applications_mistake(project: Any) -> None:
    project.write("pkg/__init__.py", "import pkg.helpers")
    project.write("pkg/main.py", APP)
    assert "No module named 'pkg.helpers'" in str(failure(project, "pkg.main:app"))


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


class CallableHandler:
    def __call__(self, number: int, frame: object) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("handler", [signal.default_int_handler, interrupt, partial(interrupt), CallableHandler()])
def test_keyboard_interrupt_of_a_signal_is_the_users(project: Any, handler: Any) -> None:
    project.write("main.py", "import signal\nsignal.raise_signal(signal.SIGINT)")
    with handling_signals(handler, [signal.SIGINT]), pytest.raises(KeyboardInterrupt):
        project.loader("main:app").import_threadsafe()


def test_lazy_attribute_raises(project: Any) -> None:
    project.write("main.py", "def __getattr__(name):\n    if name == 'app':\n        raise ValueError('lazily')\n")
    with pytest.raises(AppImportFailed, match="ValueError: lazily"):
        project.load("main:app")


def test_traceback_leads_into_the_application(project: Any) -> None:
    project.write("main.py", "import deep")
    file = project.write("deep.py", "\n\n1 / 0")
    cause = failure(project, "main:app").__cause__
    last = traceback.extract_tb(cause.__traceback__ if cause else None)[-1]
    assert (Path(last.filename), last.lineno) == (file, 3)
