"""What a file sets beside a run's own keys is refused where it would mean nothing to the run: Hydra takes anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchlab.results.store.yaml_file import read_yaml
from batchlab.runner.plan import notes
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.conf.yaml_faults import shown
from batchlab.runner.plan.overrides import FIXED, Setting, leaves
from batchlab.runner.plan.schema import RunConfig

READ = ("train", "log", "seed", "nproc")
"""What the run itself reads; the keys of a choice are read by what it names."""
FIRST = "# @package _global_"
"""The first line of an experiment: without it Hydra keeps what follows under `experiment`, where nobody looks."""


def check_placed(content: object, files: Sequence[Path]) -> None:
    """See that what an experiment sets is where a run reads it.

    Args:
        content: what is under `experiment` in the composed tree.
        files: of experiments, the chosen one first.

    Raises:
        ConfigError: something is, naming the file and the key.
    """
    if not content:
        return
    if not isinstance(content, Mapping):
        raise ConfigError(f"{_saying('experiment', files)}: experiment names a file of conf/experiment: name it alone")
    key = str(next(iter(content)))
    bare = [path for path in files if not _headed(path)]
    raise ConfigError(f"{_saying(key, bare or files)}: {key} has no effect there: the first line must be `{FIRST}`")


def check_headed(path: Path) -> None:
    """Refuse an experiment without a first line: Hydra looks below it for the axes that it overrides.

    Raises:
        ConfigError: naming the file.
    """
    if path.is_file() and not _headed(path):
        raise ConfigError(f"{shown(path)}: the first line must be `{FIRST}`")


def _headed(path: Path) -> bool:
    return bool(re.match(r"\s*#\s*@package\s", _text(path)))


def check_keys(tree: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Refuse new keys that are called as a key of the run is, or nearly, as of `+key=value`; and options of no sense.

    Args:
        tree: composed, without what overrides set.
        files: that may set them, the likeliest first.

    Raises:
        ConfigError: naming the file, the key and the one that was meant.
    """
    known = {key: value for key, value in tree.items() if key in FIXED}
    for key in tree.keys() - known.keys():
        notes.check(Setting(key, tree[key], "add", f"{_saying(key, files)}, {key}"), known)
    read = {key: value for key, value in tree.items() if key in READ}
    if any(isinstance(leaf, str) and ("${" in leaf or leaf == "???") for leaf in leaves(read)):
        return  # once they have their values
    try:
        RunConfig.of(known)
    except ConfigError as error:
        found = re.match(r"[\w.]+", str(error))
        raise ConfigError(f"{_saying(found[0] if found else '', files)}: {error}") from error


def _saying(key: str, files: Sequence[Path]) -> str:
    """The first file that sets a dotted key, else the first that is there."""
    return shown(next((path for path in files if _sets(path, key.split("."))), files[0]))


def _sets(path: Path, key: Sequence[str]) -> bool:
    block: Any = None
    with suppress(OSError, ValueError):
        block = read_yaml(path)
    for part in key:
        if not isinstance(block, dict) or part not in block:
            return False
        block = block[part]
    return True


def _text(path: Path) -> str:
    """What a file holds; nothing where it cannot be read."""
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return ""
