"""The source files behind a `_target_`: found and read, never imported.

A module that is neither batchlab's nor installed is the user's own, and so is what it imports of that kind, relative or
absolute, at its top or within a function. Imports whose name is made at run time cannot be seen.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from batchlab.runner.plan.build import see_modules_beside_the_user

OURS = "batchlab"
INSTALLED = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True)
class Sources:
    """What a target is made of.

    Attributes:
        files: The user's own, by what they are called: `mine/steps.py`.
        package: The top-level name of the installed package that has the target; empty where it is not installed.
    """

    files: dict[str, Path] = field(default_factory=dict)
    package: str = ""


class Finder:
    """Finds modules as an import would, and remembers what their files import."""

    def __init__(self) -> None:
        importlib.invalidate_caches()  # a file may have been written since this process last looked
        self._specs: dict[str, ModuleSpec | None] = {}
        self._imports: dict[str, list[str]] = {}

    def of(self, target: str) -> Sources:
        """The sources of what a `_target_` names; none where it cannot be found, which whoever builds it will say."""
        see_modules_beside_the_user()
        module = target.rpartition(".")[0]
        top = module.partition(".")[0]
        if top in ("", OURS):
            return Sources()
        while module and self._spec(module) is None:  # a method of a class is named after the class
            module = module.rpartition(".")[0]
        if module and not self._own(module) and not self._is_namespace(module):
            return Sources(package="" if top in sys.stdlib_module_names else top)
        files: dict[str, Path] = {}
        left = [module] if module else []
        while left:
            name = left.pop()
            for part in _upwards(name):  # to import a.b runs a/__init__.py too
                called = self._called(part)
                if self._own(part) and called not in files:
                    files[called] = self._file(part)
                    left += self._imported(part)
        return Sources(files)

    def _spec(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            parent = name.rpartition(".")[0]
            found: ModuleSpec | None = None
            try:
                if not parent:
                    found = importlib.util.find_spec(name)
                else:  # not by find_spec, which imports the parent
                    above = self._spec(parent)
                    places = None if above is None else above.submodule_search_locations
                    found = None if places is None else PathFinder.find_spec(name, list(places))
            except (ImportError, ValueError, AttributeError):  # what is no module, or one that hides how it was found
                found = None
            self._specs[name] = found
        return self._specs[name]

    def _own(self, name: str) -> bool:
        """Whether it is a file of the user's."""
        top = name.partition(".")[0]
        if top == OURS or top in sys.stdlib_module_names:
            return False
        above = self._spec(top)
        if above is None or (above.has_location and installed(str(above.origin))):
            return False
        spec = self._spec(name)
        return spec is not None and spec.has_location and not installed(str(spec.origin))

    def _is_namespace(self, name: str) -> bool:
        """Whether it is a folder without an `__init__.py`, which has no source of its own."""
        spec = self._spec(name)
        return spec is not None and not spec.has_location and spec.submodule_search_locations is not None

    def _called(self, name: str) -> str:
        spec = self._spec(name)
        if spec is None or spec.origin is None:
            return name
        path = Path(spec.origin)
        stem = name.replace(".", "/")
        return f"{stem}/{path.name}" if spec.submodule_search_locations is not None else f"{stem}{path.suffix}"

    def _file(self, name: str) -> Path:
        spec = self._spec(name)
        assert spec is not None
        path = Path(str(spec.origin))
        while not path.is_file() and path != path.parent:  # within a zip archive: the archive
            path = path.parent
        return path

    def _imported(self, name: str) -> list[str]:
        """Names of modules that a file of the user's may import."""
        if name not in self._imports:
            spec, path = self._spec(name), self._file(name)
            assert spec is not None
            package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
            names: list[str] = []
            if path.suffix == ".py":
                try:
                    names = [*_imports(ast.parse(path.read_bytes()), package)]
                except (OSError, SyntaxError, ValueError):  # whoever builds the target says so
                    names = []
            self._imports[name] = names
        return self._imports[name]


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)  # each may be a module
        elif isinstance(node, ast.Call) and _calls_import(node.func) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield _absolute(first.value, package)


def _calls_import(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__")


def _absolute(name: str, package: str) -> str:
    try:
        return importlib.util.resolve_name(name, package)
    except (ImportError, ValueError):  # beyond the top, or relative to nothing
        return ""


def _upwards(name: str) -> list[str]:
    """a.b.c, a.b, a."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1) if parts[0]]


def installed(path: str) -> bool:
    """Whether a file came with Python or a package, rather than from the user's hands."""
    place = Path(path)
    return bool(INSTALLED & {*place.parts}) or any(place.is_relative_to(root) for root in _standard())


@cache
def _standard() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(key)) for key in ("stdlib", "platstdlib")})
