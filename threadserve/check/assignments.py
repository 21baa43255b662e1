"""The lines of a module's source that assign to a module-level name or to an attribute of one.

Runs on any thread. It owns nothing but a cache of the sources it has parsed, and executes none.
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
    """An assignment: its target as written (`lock`, `app.state.lock`), and the line.

    `is_empty` is true for a constant such as None, a placeholder for something else.
    """

    target: str
    line: int
    is_empty: bool


def find_assignment(module: ModuleType, path: str) -> SourceLocation | None:
    """Return the line where a module assigns to a path such as `lock` or `Shared.lock`, or to what holds it.

    None if there is none, as for an imported name.
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
    """Return the path of which a path is an attribute or an entry, or "" for a name."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


@cache
def read_assignments(file: str) -> tuple[Assignment, ...]:
    """Return all assignments of a file that reach a module's names; none if it cannot be read."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(iterate_assignments(tree.body, "", None))


def iterate_assignments(body: list[ast.stmt], prefix: str, names: frozenset[str] | None) -> Iterator[Assignment]:
    """Yield the assignments of statements.

    Within a function only `names` count, and attributes of any object.
    """
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield Assignment(prefix + statement.name, statement.lineno, is_empty=True)
            yield from iterate_assignments(statement.body, f"{prefix}{statement.name}.", names)
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from iterate_assignments(statement.body, "", find_global_names(statement))
        else:
            for target, value in iterate_assigned_targets(statement):
                written = ast.unparse(target)
                if names is None or written in names or not isinstance(target, ast.Name):
                    yield Assignment(prefix + written, target.lineno, isinstance(value, ast.Constant))
            for block in iterate_blocks(statement):
                yield from iterate_assignments(block, prefix, names)


def find_global_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the names that a function declares as global."""
    declared = (each for each in ast.walk(function) if isinstance(each, ast.Global))
    return frozenset(name for each in declared for name in each.names)


def iterate_assigned_targets(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Yield the targets of a statement's assignments, with the value if it is for that target alone."""
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
    """Return the single targets of a target such as `a, b`."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return [member for each in target.elts for member in flatten_target(each)]
    return [target.value] if isinstance(target, ast.Starred) else [target]


def iterate_blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the blocks of a compound statement, such as those of an `if` or a `try`."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(statement, field, None)
        if isinstance(block, list):
            yield block
    for handler in getattr(statement, "handlers", ()):
        yield handler.body
    for case in getattr(statement, "cases", ()):
        yield case.body
