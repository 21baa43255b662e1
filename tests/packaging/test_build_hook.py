"""What a build compiles, and what becomes of it where that fails. That a compiler is content is the CI's to test."""

from pathlib import Path
from typing import Any

import build_hook
import pytest
from build_hook import BuildHook, NotCompiled, compiled_sources, why_impossible

BUILT = {"/build/lib/threadserve/leaf.so": "threadserve/leaf.so"}


def tree(root: Path, *names: str) -> Path:
    """A project whose package has these files."""
    for name in names:
        path = root / "threadserve" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def hook(root: Path) -> BuildHook:
    """The hook as hatchling makes it."""
    builder: Any = None
    return BuildHook(str(root), {}, builder, builder, "dist", "wheel")


def built(root: Path, version: str = "standard") -> dict[str, Any]:
    """What the hook has told the builder of a wheel."""
    data: dict[str, Any] = {"force_include": {}}
    made = hook(root)
    made.initialize(version, data)
    made.finalize(version, data, "threadserve.whl")
    return data


@pytest.fixture(autouse=True)
def ask_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which most people build."""
    monkeypatch.delenv("THREADSERVE_BUILD", raising=False)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler with which everything can be compiled."""
    monkeypatch.setattr(build_hook, "why_impossible", lambda: None)
    monkeypatch.setattr(build_hook, "compile_modules", lambda root, folder: BUILT)


def test_leaves_and_declared_modules_are_compiled(tmp_path: Path) -> None:
    interpreted = ["__init__.py", "plain.py", "http/__init__.py", "http/__init__.pxd", "http/only_c.pxd"]
    leaves = ["http/scan.pyx", "http/scan.pxd", "http/scan.py", "leaf.pyx", "leaf.py"]
    modules = ["http/flow.py", "http/flow.pxd"]
    elsewhere = tree(tmp_path, *interpreted, *leaves, *modules) / "tests"
    elsewhere.mkdir()
    (elsewhere / "other.pyx").touch()
    found = [str(path) for path in compiled_sources(tmp_path)]
    assert found == ["threadserve/http/flow.py", "threadserve/http/scan.pyx", "threadserve/leaf.pyx"]


def test_a_leaf_without_a_twin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotCompiled, match=r"^threadserve/http/scan\.pyx has no Python form beside it$"):
        compiled_sources(tree(tmp_path, "http/scan.pyx", "http/scan.pxd"))


@pytest.mark.usefixtures("compiler")
def test_a_wheel_has_what_was_compiled(tmp_path: Path) -> None:
    assert built(tmp_path) == {"force_include": BUILT, "pure_python": False, "infer_tag": True}
    assert hook(tmp_path).dependencies() == build_hook.NEEDED


@pytest.mark.usefixtures("compiler")
def test_an_editable_install_is_not_compiled(tmp_path: Path) -> None:
    assert built(tmp_path, "editable") == {"force_include": {}}


@pytest.mark.usefixtures("compiler")
def test_nothing_is_compiled_or_fetched_for_a_pure_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADSERVE_BUILD", "pure")
    assert built(tmp_path) == {"force_include": {}}
    assert hook(tmp_path).dependencies() == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotCompiled("there is no C compiler (cc)"), "there is no C compiler (cc)"),
        (ImportError("no Cython"), "ImportError: no Cython"),
        (RuntimeError("gcc failed\nwith exit code 1\n"), "RuntimeError: gcc failed with exit code 1"),
    ],
)
def test_what_cannot_be_compiled_is_a_warning_or_if_demanded_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, reason: str
) -> None:
    def fail(root: Path, folder: Path) -> dict[str, str]:
        raise error

    monkeypatch.setattr(build_hook, "compile_modules", fail)
    assert built(tmp_path) == {"force_include": {}}
    assert capsys.readouterr().err == f"Warning: threadserve was not compiled and runs more slowly: {reason}\n"
    monkeypatch.setenv("THREADSERVE_BUILD", "compiled")
    with pytest.raises(SystemExit) as stopped:
        built(tmp_path)
    assert stopped.value.code == 1
    line = f"Error: THREADSERVE_BUILD is compiled, but threadserve was not compiled: {reason}\n"
    assert capsys.readouterr().err == line


def test_a_wrong_demand_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THREADSERVE_BUILD", "1")
    with pytest.raises(SystemExit):
        hook(tmp_path).dependencies()
    assert capsys.readouterr().err == "Error: THREADSERVE_BUILD is '1', neither pure nor compiled\n"


def test_without_a_compiler_nothing_is_fetched_unless_it_is_demanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -pthread")
    assert why_impossible() == "there is no C compiler (no-such-compiler)"
    assert hook(tmp_path).dependencies() == []
    monkeypatch.setenv("THREADSERVE_BUILD", "compiled")
    assert hook(tmp_path).dependencies() == build_hook.NEEDED
