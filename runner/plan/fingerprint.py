"""What runs would be made of now, beside their configurations: the user's files, data, packages of others.

Made in the process that asks for the runs, before anything of theirs is imported; each distinct choice once.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from batchlab.results.axes import NEUTRAL
from batchlab.results.store.fingerprint import Contents, Fingerprint, Part, package_version
from batchlab.runner.plan.blocks import OfBlocks
from batchlab.runner.plan.reading import asked_again, called_from_here, data_files, read_by, returned_by
from batchlab.runner.plan.schema import Node
from batchlab.runner.plan.sources import Finder

MANY = 20
"""Above so many files that a reader of the user's own reads, the folder that they are in is one part."""
RETURNED = "data: what dataset="
"""So the part is called that is what a reader returned."""
EVERYWHERE = "torch"
"""Trains every run, whoever has its `_target_`: its version is in run.json's `versions`, and makes no run stale."""


class Fingerprints:
    """Fingerprints of runs as they would be trained now; what is said of a file stays, however long the sweep takes."""

    def __init__(self) -> None:
        self.contents = Contents()
        self._finder = Finder()
        self._targets: dict[str, Fingerprint] = {}
        self._block = OfBlocks(self._built)
        self._data = OfBlocks(self._read)
        self._returned: dict[str, str] = {}
        self._loaded = False

    def of(self, tree: dict[str, Any]) -> Fingerprint:
        """Of a run.

        Args:
            tree: its whole configuration.
        """
        parts: Fingerprint = {}
        for key, block in tree.items():
            if key not in NEUTRAL:
                parts |= self._block(key, block) if isinstance(block, (dict, list)) else self._built(key, block)
        return parts | (self._data(tree["dataset"]) if "dataset" in tree else self._read({}))

    def _built(self, key: str, block: Any) -> Fingerprint:
        """The code and the packages that a block is made with."""
        parts: Fingerprint = {}
        for text, builds in _dotted({key: block}):
            found = self._code(text)
            parts |= found if builds else {name: part for name, part in found.items() if part.path}
        return parts

    def forget_data(self) -> None:
        """Ask again what data there is: this process loaded the data sets."""
        self._data = OfBlocks(self._read)
        self._returned.clear()
        self._loaded = True

    def returned(self, node: Node) -> Fingerprint:
        """What the user's own reader of a `dataset` choice returns, as a part; nothing of batchlab's own readers.

        The reader is called where no run was checked before.
        """
        key = json.dumps(node, sort_keys=True, default=str)
        if key not in self._returned:
            self._returned[key] = (returned_by(node) if self._loaded else "") or asked_again(node)
        digest = self._returned[key]
        return {f"{RETURNED}{node.get('name')} returned": Part(digest)} if digest else {}

    def folders(self) -> list[Path]:
        """Where the user's own code is; the current folder where there is none."""
        files = [Path(part.path) for parts in self._targets.values() for part in parts.values() if part.path]
        return sorted({file.parent for file in files}) or [Path.cwd()]

    def _code(self, target: str) -> Fingerprint:
        if target not in self._targets:
            found = self._finder.of(target)
            parts = self._files("code", found.files.items())
            name = "" if found.package == EVERYWHERE else distribution(found.package)
            if name and (version := package_version(name)):
                parts[f"package: {name}"] = Part(version)
            self._targets[target] = parts
        return self._targets[target]

    def _read(self, node: Node) -> Fingerprint:
        parts = self._files("data", data_files(node).items())
        known = {os.path.realpath(part.path) for part in parts.values()}
        seen = [path for path in read_by(node) if str(path) not in known]
        if len(seen) > MANY:
            folder = Path(os.path.commonpath([path.parent for path in seen]))
            value = self.contents.folder(folder)
            return parts | ({f"data: {called_from_here(folder)}": Part(value, str(folder))} if value else {})
        return parts | self._files("data", ((called_from_here(path), path) for path in seen))

    def _files(self, kind: str, files: Iterable[tuple[str, Path]]) -> Fingerprint:
        look = self.contents
        made = {
            f"{kind}: {name}": (look.folder(path) if path.is_dir() else look.digest(path), str(path.absolute()))
            for name, path in files
        }
        return {name: Part(value, path) for name, (value, path) in made.items() if value is not None}


def _dotted(tree: Any, key: str = "") -> Iterator[tuple[str, bool]]:
    """Texts that may be the path of something to import, and whether they stand at a `_target_`.

    Any of them: `train.loss` is such a path, and what a user's class is given by its name is as much of the run.
    """
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name != "executor":  # no part of what a run is
                yield from _dotted(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from _dotted(value)
    elif isinstance(tree, str) and "." in tree and tree.replace(".", "").isidentifier():
        yield tree, key == "_target_"


def distribution(package: str) -> str:
    """What a package is installed as: `sklearn` is scikit-learn's; empty where nobody knows."""
    if not package or package_version(package) is not None:
        return package
    from importlib.metadata import packages_distributions  # reads all that is installed

    return next(iter(packages_distributions().get(package, [])), "")


def commits(folders: Iterable[Path]) -> dict[str, str]:
    """The commit of each folder's git repository, with a + where what is tracked, or in these folders, differs from it.

    Returns:
        Commits by the repository's folder; of folders in none there is nothing.
    """
    found: dict[str, str] = {}
    for folder in folders:
        root = _git(folder, "rev-parse", "--show-toplevel")
        head = root and _git(folder, "rev-parse", "--short=12", "HEAD")
        if root and head:
            tracked = _git(folder, "status", "--porcelain", "--untracked-files=no")
            own = _git(folder, "status", "--porcelain", "--", "./*.py")
            known = found.get(root, head)
            found[root] = known if known.endswith("+") or not (tracked or own) else f"{head}+"
    return found


def _git(folder: Path, *command: str) -> str:
    try:
        whole = ["git", "-C", str(folder), *command]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):  # no git, no repository, no commit yet
        return ""
    return done.stdout.strip()
