"""The Python forms of modules of which the compiled forms serve."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest


def python_form_of(module: ModuleType) -> ModuleType:
    """The Python form of a module; skips the test where the module is that itself."""
    file = Path(str(module.__file__))
    source = file.with_name(f"{module.__name__.rpartition('.')[2]}.py")
    if file == source:
        pytest.skip("only the Python form is here")
    loader = SourceFileLoader(f"{source.stem}_python_form", str(source))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    python_form = module_from_spec(spec)
    loader.exec_module(python_form)
    return python_form
