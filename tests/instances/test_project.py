"""Which modules belong to the project, by where they lie."""

import importlib
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from pathlib import Path

import httpx
import pytest

from threadserve.instances.project import Project, is_within

PROJECT = Project("main")


def spec_of(folder: Path, name: str) -> ModuleSpec | None:
    """What the import system finds for a module whose top-level package is in this folder."""
    package = ""
    path: Sequence[str] = [str(folder)]
    *packages, _ = name.split(".")
    for part in packages:
        package = f"{package}.{part}".removeprefix(".")
        path = importlib.import_module(package).__path__
    return PathFinder.find_spec(name, path)


def write(file: Path, source: str = "") -> Path:
    """A file, with the folders around it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    return file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules that nobody has installed."""
    write(tmp_path / "main.py")
    write(tmp_path / "pkg/__init__.py")
    write(tmp_path / "pkg/sub/views.py")
    write(tmp_path / "pkg/sub/__init__.py")
    write(tmp_path / "space/inside/views.py")
    importlib.invalidate_caches()
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    "name", ["main", "pkg", "pkg.sub", "pkg.sub.views", "space", "space.inside", "space.inside.views"]
)
def test_what_nobody_installed(folder: Path, name: str) -> None:
    assert PROJECT.contains(name, spec_of(folder, name))


@pytest.mark.parametrize("name", ["asyncio", "asyncio.tasks", "json", "httpx", "httpx._client", "pytest"])
def test_libraries(name: str) -> None:
    spec = importlib.import_module(name).__spec__
    assert not PROJECT.contains(name, spec)
    assert Project("httpx").contains(name, spec) is name.startswith("httpx")


@pytest.mark.parametrize(
    "name", ["sys", "_thread", "_frozen_importlib", "threadserve", "threadserve.config", "__main__"]
)
def test_never(name: str) -> None:
    assert not Project(name.partition(".")[0]).contains(name, sys.modules[name].__spec__)


@pytest.mark.parametrize("place", ["lib/python3.11/site-packages", "usr/lib/python3/dist-packages"])
def test_folders_of_installers(tmp_path: Path, place: str) -> None:
    write(tmp_path / place / "pkg/__init__.py")
    spec = spec_of(tmp_path / place, "pkg")
    assert not PROJECT.contains("pkg", spec)
    assert Project("pkg").contains("pkg", spec), "the application may be installed itself"


def test_installed_beside_the_project(folder: Path) -> None:
    """As `pip install --target .` does, and services that take a folder with all in it ask for."""
    write(folder / "vendored/__init__.py")
    write(folder / "single.py")
    write(
        folder / "vendored-1.0.dist-info/RECORD",
        'vendored/__init__.py,sha256=x,0\nsingle.py,,\n"vendored-1.0.dist-info/RECORD",,\n',
    )
    importlib.invalidate_caches()
    assert not PROJECT.contains("vendored", spec_of(folder, "vendored"))
    assert not PROJECT.contains("single", spec_of(folder, "single"))
    assert PROJECT.contains("pkg", spec_of(folder, "pkg"))


def test_installed_in_a_zip_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "app.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("inside_zip.py", "library_in_zip/__init__.py"):
            archive.writestr(name, "")
        archive.writestr("library_in_zip-1.dist-info/METADATA", "Name: library_in_zip\nVersion: 1\n")
        archive.writestr("library_in_zip-1.dist-info/RECORD", "library_in_zip/__init__.py,,\n")
    monkeypatch.syspath_prepend(file)
    assert PROJECT.contains("inside_zip", spec_of(file, "inside_zip"))
    assert not PROJECT.contains("library_in_zip", spec_of(file, "library_in_zip"))


def test_namespace_with_parts_of_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("src/parts/mine.py", "site-packages/parts/library.py", "site-packages/parts/app/__init__.py"):
        write(tmp_path / place)
        monkeypatch.syspath_prepend(tmp_path / place.partition("/")[0])
    path = [str(tmp_path / folder / "parts") for folder in ("src", "site-packages")]
    specs = {name: PathFinder.find_spec(f"parts.{name}", path) for name in ("mine", "library", "app")}
    project = Project("parts.app")
    assert [name for name, spec in specs.items() if project.contains(f"parts.{name}", spec)] == ["mine", "app"]
    assert not project.contains("parts", PathFinder.find_spec("parts"))


@pytest.mark.parametrize(
    "place", ["site-packages-of-mine", "lib/python3.11", "lib/python3.13", "dist-packages.old", "my/lib"]
)
def test_folders_with_names_like_those_of_installers(tmp_path: Path, place: str) -> None:
    write(tmp_path / place / "pkg/__init__.py")
    assert PROJECT.contains("pkg", spec_of(tmp_path / place, "pkg"))


def test_links(tmp_path: Path) -> None:
    """What lies where an installer has put it does so by the name that the path has for it."""
    write(tmp_path / "real/pkg/__init__.py")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert PROJECT.contains("pkg", spec_of(tmp_path / "link", "pkg"))


def test_extension_modules(folder: Path) -> None:
    file = str(folder / "pkg/quick.so")
    spec = ModuleSpec("pkg.quick", ExtensionFileLoader("pkg.quick", file), origin=file)
    spec.has_location = True
    assert not PROJECT.contains("pkg.quick", spec)


def test_kept_in_one_copy(folder: Path) -> None:
    project = Project("main", ("pkg.sub", "other"))
    assert project.contains("pkg", spec_of(folder, "pkg"))
    assert not project.contains("pkg.sub", spec_of(folder, "pkg.sub"))
    assert not project.contains("pkg.sub.views", spec_of(folder, "pkg.sub.views"))


def test_other_names_for_a_module(folder: Path) -> None:
    assert not PROJECT.contains("another", spec_of(folder, "main"))
    assert not PROJECT.contains("made_by_hand", None)


def test_within() -> None:
    assert is_within("models", ["models"])
    assert is_within("models.user", ["models"])
    assert not is_within("models_of_others", ["models"])


def test_interpreters_folders() -> None:
    assert httpx.__file__
    assert Path(httpx.__file__).is_relative_to(sysconfig.get_path("purelib")) or "site-packages" in httpx.__file__
