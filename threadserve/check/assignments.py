"""Where a module's source gives a value to a name at module level, or to an attribute of one.

Runs on whichever thread asks. It owns nothing but the sources that it remembers having read, and executes none.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from threadserve.check.findings import SourceLocation


@dataclass(frozen=True)
class Assignment:
    """What is assigned to, as it is written (`lock`, `app.state.lock`), and the line. `is_empty` tells of a constant
    in its place, such as None, which something else is to replace."""

    target: str
    line: int
    is_empty: bool


def find_assignment(module: ModuleType, path: str) -> SourceLocation | None:
    """Where a module assigns to a path such as `lock` or `Shared.lock`, or to what that is an attribute of.

    None where it does not, as where it has imported the name.
    """
    file = getattr(module, "__file__", None)
    if not file or not str(file).endswith(".py"):
        return None
    known = read_assignments(str(file))
    while path:
        found = [each for each in known if each.target == path]
        if found:
            best = next((each for each in found if not each.is_empty), found[0])
            return SourceLocation(str(file), best.line)
        path = get_parent_path(path)
    return None


def get_parent_path(path: str) -> str:
    """What a path is an attribute or an entry of, or "" if it is a name."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


@cache
def read_assignments(file: str) -> tuple[Assignment, ...]:
    """All assignments of a file that reach a module's names; none where it cannot be read."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(iterate_assignments(tree.body, "", None))


def iterate_assignments(body: list[ast.stmt], prefix: str, names: frozenset[str] | None) -> Iterator[Assignment]:
    """The assignments of some statements; within a function only `names` count, and attributes of whatever it is."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield Assignment(prefix + statement.name, statement.lineno, is_empty=True)
            yield from iterate_assignments(statement.body, f"{prefix}{statement.name}.", names)
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from iterate_assignments(statement.body, "", find_global_names(statement))
        else:
            for target, value in iterate_targets(statement):
                written = ast.unparse(target)
                if names is None or written in names or not isinstance(target, ast.Name):
                    yield Assignment(prefix + written, target.lineno, isinstance(value, ast.Constant))
            for block in iterate_blocks(statement):
                yield from iterate_assignments(block, prefix, names)


def find_global_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """The names that a function declares to be the module's."""
    declared = (each for each in ast.walk(function) if isinstance(each, ast.Global))
    return frozenset(name for each in declared for name in each.names)


def iterate_targets(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """What a statement assigns to, with the value if that is for this target alone."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from ((each, statement.value) for each in flatten_target(target))
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        yield statement.target, statement.value
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        for item in statement.items:
            if item.optional_vars is not None:
                yield from ((each, None) for each in flatten_target(item.optional_vars))


def flatten_target(target: ast.expr) -> list[ast.expr]:
    """The targets that one is made of, as of `a, b = ...`."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return [member for each in target.elts for member in flatten_target(each)]
    return [target.value] if isinstance(target, ast.Starred) else [target]


def iterate_blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The statements within a statement, as under an `if` or a `try`."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(statement, field, None)
        if isinstance(block, list):
            yield block
    for handler in getattr(statement, "handlers", ()):
        yield handler.body
    for case in getattr(statement, "cases", ()):
        yield case.body
