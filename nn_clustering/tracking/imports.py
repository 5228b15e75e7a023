"""What a Python file imports, and what it reads of the modules that it imports, by its text."""

from __future__ import annotations

import ast
import contextlib
import gc
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# Stands in a chain of attributes for all names of a module.
STAR = "*"
# And where a module is handed on as it is, so that nobody can tell what is read of it.
WHOLE = "**"
Chain = tuple[str, ...]
# What statements hold other statements in; a Lambda's body is an expression, and not met here.
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
_NAMED_BY_TEXT = ("import_module", "__import__")


@dataclass(frozen=True)
class Import:
    """Something that a file imports, anywhere in it.

    Attributes:
        parts: Of its dotted name; what stands last may also be a name in a module, or `STAR`.
        local: The name that it has in the file; None where it has none.
        folder: Where the dotted name starts, for a relative import.
        text: The dotted name as it is written.
        only_binds: Whether it is what `import a.b` calls `a`.
    """

    parts: Chain
    local: str | None
    folder: Path | None = None
    text: str = ""
    only_binds: bool = False


@dataclass(frozen=True)
class FileImports:
    """What a file imports.

    Attributes:
        imports: All of it, but what only type checkers see.
        has_stub: Whether it hands out, when they are asked for, the names that its stub lists.
        finds_names: Whether it finds names when they are asked for in some other way.
    """

    imports: tuple[Import, ...] = ()
    has_stub: bool = False
    finds_names: bool = False

    def named(self, name: str) -> Iterator[Import]:
        """What has this name in the file."""
        return (imported for imported in self.imports if imported.local == name)


def imports_of(path: Path) -> FileImports:
    """What a file imports; nothing for one that is no Python, or cannot be read."""
    version = _version(path)
    return FileImports() if version is None else _imports_of(path, version)


def reads_of(path: Path) -> dict[str, frozenset[Chain]]:
    """What a file reads of each name in it: chains of attributes.

    A name that stands by itself, to be handed on, has the chain `WHOLE`.
    """
    version = _version(path)
    return {} if version is None else _reads_of(path, version)


def _version(path: Path) -> tuple[int, int] | None:
    """Tells a file from what it was before."""
    if path.suffix not in (".py", ".pyi"):
        return None  # compiled
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    return None


# A process with several experiments asks for most files more than once.
@lru_cache(maxsize=4096)
def _imports_of(path: Path, version: tuple[int, int]) -> FileImports:
    tree = _tree_of(path)
    if tree is None:
        return FileImports()
    content = path.read_bytes()
    # Expressions are many, and few of them import.
    has_calls = any(name.encode() in content for name in _NAMED_BY_TEXT)
    nodes = list(_running(tree.body, ast.iter_child_nodes if has_calls else _inner_statements))
    importers = {name for node in nodes for name in _names_of_importers(node)}
    imports = tuple(
        imported for node in nodes for imported in _imported_by(node, path.parent, importers)
    )
    has_stub = any(map(_attaches_stub, tree.body))
    return FileImports(imports, has_stub, not has_stub and any(map(_binds_getattr, tree.body)))


@lru_cache(maxsize=1024)
def _reads_of(path: Path, version: tuple[int, int]) -> dict[str, frozenset[Chain]]:
    tree = _tree_of(path)
    reads: dict[str, set[Chain]] = defaultdict(set)
    parts_of_others: set[int] = set()
    for node in _running([] if tree is None else tree.body):
        if id(node) in parts_of_others:
            continue
        if isinstance(node, ast.Attribute):
            chain, inner = [node.attr], node.value
            while isinstance(inner, ast.Attribute):
                parts_of_others.add(id(inner))
                chain.append(inner.attr)
                inner = inner.value
            if isinstance(inner, ast.Name):
                parts_of_others.add(id(inner))
                reads[inner.id].add(tuple(reversed(chain)))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            reads[node.id].add((WHOLE,))
    return {name: frozenset(chains) for name, chains in reads.items()}


def _tree_of(path: Path) -> ast.Module | None:
    was_enabled = gc.isenabled()
    gc.disable()  # of the many nodes, none is garbage yet
    try:
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            return ast.parse(path.read_bytes())
    finally:
        if was_enabled:
            gc.enable()
    return None


def _running(
    statements: Iterable[ast.AST],
    parts_of: Callable[[ast.AST], Iterable[ast.AST]] = ast.iter_child_nodes,
) -> Iterator[ast.AST]:
    """All nodes, each before its parts, but those that only type checkers see."""
    waiting = list(statements)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        yield node
        waiting += parts_of(node)


def _inner_statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements in a statement."""
    for part in _BLOCKS:
        yield from getattr(node, part, ())


def _last_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _attaches_stub(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and any(
        isinstance(node, ast.Call) and _last_name(node.func) == "attach_stub"
        for node in ast.walk(statement.value)
    )


def _binds_getattr(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef):
        return statement.name == "__getattr__"
    return isinstance(statement, ast.Assign) and any(
        isinstance(node, ast.Name) and node.id == "__getattr__"
        for target in statement.targets
        for node in ast.walk(target)
    )


def _names_of_importers(node: ast.AST) -> Iterator[str]:
    """What a file calls the functions that import what a text names."""
    yield from _NAMED_BY_TEXT
    if isinstance(node, ast.ImportFrom):
        yield from (alias.asname or "" for alias in node.names if alias.name in _NAMED_BY_TEXT)


def _imported_by(node: ast.AST, folder: Path, importers: Collection[str]) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = tuple(alias.name.split("."))
            yield Import(parts, alias.asname, text=alias.name)
            if alias.asname is None:
                yield Import(parts[:1], parts[0], text=parts[0], only_binds=len(parts) > 1)
    elif isinstance(node, ast.ImportFrom):
        start = [folder, *folder.parents][node.level - 1] if node.level else None
        module = tuple(node.module.split(".")) if node.module else ()
        for alias in node.names:
            text = f"{'.' * node.level}{'.'.join((*module, alias.name))}"
            local = None if alias.name == STAR else alias.asname or alias.name
            yield Import((*module, alias.name), local, start, text)
    elif isinstance(node, ast.Call) and _last_name(node.func) in importers and node.args:
        yield from _named_by_text(node, folder)


def _named_by_text(call: ast.Call, folder: Path) -> Iterator[Import]:
    text = _text_of(call.args[0])
    parts = tuple(text.lstrip(".").split("."))
    level, start = len(text) - len(text.lstrip(".")), None
    if level:
        named = [keyword.value for keyword in call.keywords if keyword.arg == "package"]
        package = next(iter([*call.args[1:2], *named]), None)
        if isinstance(package, ast.Constant):
            above = str(package.value).split(".")
            parts = (*above[: len(above) + 1 - level], *parts)
        else:  # `__package__`, or another name of the file's own
            start = [folder, *folder.parents][level - 1]
    if all(part.isidentifier() or part == STAR for part in parts) and parts[0] != STAR:
        # What is read of it nobody follows.
        yield Import((*parts, WHOLE), None, start, text)


def _text_of(node: ast.expr) -> str:
    """A text that is written there; of a package, where it goes on with what only a run knows.

    All modules of a package are meant then: `package.*`.
    """
    if isinstance(node, ast.Constant):
        return str(node.value)
    first: ast.expr | None = None
    if isinstance(node, ast.JoinedStr):
        first = next(iter(node.values), None)
    elif isinstance(node, ast.BinOp):
        first = node.left
    if not isinstance(first, ast.Constant):
        return ""
    package, dot, _ = str(first.value).rpartition(".")
    return f"{package}{dot}{STAR}"
