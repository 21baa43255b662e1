"""The copies of one instance, while other threads import as well."""

import gc
import sys
from itertools import count
from types import ModuleType

import pytest

from threadserve.instances.instance import add_shared_submodules


def test_modules_may_be_imported_while_submodules_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector stands for another thread: until Python 3.11 both may come in wherever an object is made."""
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    numbers = count()

    def import_another(phase: str, info: dict[str, int]) -> None:
        sys.modules[f"another{next(numbers)}"] = ModuleType("another")

    package = ModuleType("email")
    # Pairs that were freed would be used again, and nothing be made.
    pairs = [(number, number) for number in range(5_000)]
    before = gc.get_threshold()
    gc.callbacks.append(import_another)
    gc.set_threshold(1)
    try:
        add_shared_submodules(package)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(import_another)
    assert pairs
    assert package.message is sys.modules["email.message"]
