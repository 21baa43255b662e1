"""Extension modules that do, and do not, declare that they run without the GIL, compiled for this interpreter."""

import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

from threadserve.runtime.gil import is_free_threaded_build

needs_free_threading = pytest.mark.skipif(not is_free_threaded_build(), reason="this build always has the GIL")

SOURCE = """
#include <Python.h>
static PyModuleDef_Slot slots[] = {
#if defined(READY) && defined(Py_mod_gil)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, NAME, NULL, 0, NULL, slots, NULL, NULL, NULL};
PyMODINIT_FUNC INIT(void) { return PyModuleDef_Init(&definition); }
"""


def build_extension(folder: Path, name: str, *options: str) -> None:
    """Compiles an extension module the way this interpreter's own settings say."""
    (folder / "extension.c").write_text(SOURCE)
    compiler = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
    command = [*compiler, "-fPIC", f"-I{sysconfig.get_path('include')}", f'-DNAME="{name}"', f"-DINIT=PyInit_{name}"]
    target = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    try:
        subprocess.run(
            [*command, *options, str(folder / "extension.c"), "-o", str(target)],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except FileNotFoundError:
        pytest.skip(f"there is no C compiler {compiler[0]}")
    except subprocess.CalledProcessError as error:
        pytest.fail(f"the extension module does not compile:\n{error.stderr}")
