"""What of a run travels in an archive: its results and how they came about, not the machine's names and paths.

Hardware, versions, commit, times and hashes are facts of a result and stay. What goes: the process and the host's name;
where files lay (`at` of the fingerprint, `dataset.root`), whom callbacks told, what an executor was called by (its
account, partition, addresses); of absolute paths in any text of run.json all but the last name. A path that is part of
a run's identity (`dataset.path`) stays, as the run's id is a hash of it.

What is left is a run like one that was trained where it is read: sizes, checksums and digests are its own.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchlab.results.store import parquet
from batchlab.results.store.objects import formatted
from batchlab.results.store.record import CONFIG_KEY, RUN_KEY
from batchlab.results.store.regular import LINES, content_of
from batchlab.results.store.run import SEALED, STATE_FILE, STREAMS, Run, RunState, State
from batchlab.results.store.yaml_file import parse_yaml

PATH = re.compile(r"(?<![\w.:/…~])~?/(?:[^\s/'\",;:()<>\[\]{}]+/)+")
"""The folders of an absolute path, in a text."""
GONE = ("pid", "host")
SAYS_HOW = ("name", "_target_", "devices", "launcher", "fuse")
"""Texts of an executor that name no place."""


class NotWholeError(ValueError):
    """A run's files are not what they should be; why, in one line."""


class ChangedError(ValueError):
    """A run went on while it was read."""


def belongings(run: Run) -> tuple[RunState, dict[str, bytes]]:
    """A run's state, and its files as they travel, by name.

    Raises:
        NotWholeError: They are damaged.
        ChangedError: A process trains it.
        OSError: They cannot be read.
    """
    before = run.read_state()
    if before.state is State.RUNNING:
        raise ChangedError("it is being trained")
    if before.state is State.DAMAGED:
        raise NotWholeError(before.reason or "it is damaged")
    files: dict[str, bytes] = {}
    sealed = dict(before.info.get(SEALED, {}))
    for stream in STREAMS:
        if run.sealed(stream).exists():
            name = run.sealed(stream).name
            files[name] = _table(run.sealed(stream))
            if name in sealed:
                sealed[name] = len(files[name])
        elif run.stream(stream).exists():
            files[run.stream(stream).name] = content_of(run.stream(stream), LINES)
    if run.config.exists() and (content := _config(run)):
        files[run.config.name] = content
    if run.state_file.exists():
        info = placeless(before.info) | ({SEALED: sealed} if sealed else {})
        state = State.RUNNING if before.state is State.CRASHED else before.state
        info.pop("state", None)
        if before.state is State.CRASHED:
            info.pop("reason", None)
        files[STATE_FILE] = formatted({"state": state.value} | info)
    if run.read_state() != before:
        raise ChangedError("it went on meanwhile")
    return before, files


def placeless(info: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says, without names and paths of the machine.

    >>> placeless({"pid": 7, "git": "1f", "reason": "no file /home/me/wine.csv"})
    {'git': '1f', 'reason': 'no file …/wine.csv'}
    """
    kept = {key: value for key, value in info.items() if key not in GONE}
    if isinstance(parts := kept.get("fingerprint"), dict):
        kept["fingerprint"] = {name: {"is": part["is"]} for name, part in parts.items() if "is" in part}
    if isinstance(commits := kept.get("user_git"), dict):
        kept["user_git"] = {Path(folder).name: commit for folder, commit in commits.items()}
    bare: dict[str, Any] = _without_folders(kept)
    return bare


def unplaced(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what names a place; its identity is the same.

    >>> unplaced({"dataset": {"name": "mnist", "root": "/data"}, "seed": 1})
    {'dataset': {'name': 'mnist', 'root': None}, 'seed': 1}
    """
    kept = dict(config)
    if isinstance(dataset := kept.get("dataset"), dict) and dataset.get("root") is not None:
        kept["dataset"] = dataset | {"root": None}
    if kept.get("callback"):
        kept["callback"] = {}
    if isinstance(executor := kept.get("executor"), dict):
        kept["executor"] = {
            key: value if key in SAYS_HOW or isinstance(value, (bool, int, float)) else None
            for key, value in executor.items()
        }
    return kept


def _config(run: Run) -> bytes:
    """A frozen configuration, word for word where nothing is taken out; empty where it is damaged and rows have it."""
    import yaml

    content = content_of(run.config)
    try:
        tree = parse_yaml(content, run.config)
        if not isinstance(tree, dict):
            raise ValueError(f"{run.config} is no configuration")
    except ValueError as error:
        if run.metrics.exists():
            return b""
        raise NotWholeError(str(error)) from error
    bare = unplaced(tree)
    return content if bare == tree else yaml.safe_dump(bare, sort_keys=False).encode()


def _table(path: Path) -> bytes:
    """A sealed stream, bit for bit where nothing is taken out of what it says of its run."""
    import pyarrow as pa

    try:
        with parquet.opened(path) as file:
            metadata = dict(file.schema_arrow.metadata or {})
            table = file.read(use_threads=False)
        bare = dict(metadata)
        for key, make in ((RUN_KEY, placeless), (CONFIG_KEY, unplaced)):
            if key in bare:
                said = json.loads(bare[key])
                if isinstance(said, dict) and (made := make(said)) != said:
                    bare[key] = json.dumps(made).encode()
    except (pa.ArrowException, ValueError, RecursionError, AttributeError) as error:
        raise NotWholeError(f"{path} is damaged ({' '.join(str(error).split())[:80]})") from error
    if bare == metadata:
        return content_of(path, LINES)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        parquet.write(written, table.replace_schema_metadata(bare))
        return written.read_bytes()


def _without_folders(value: Any) -> Any:
    if isinstance(value, str):
        return PATH.sub("…/", value)
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    return [_without_folders(item) for item in value] if isinstance(value, list) else value


def mended(text: str) -> str:
    """What is said of a damaged run, with the way out of one that is in an archive.

    >>> mended("rows end early: delete runs/abc to train the run again")
    'rows end early: pack it again where it was trained'
    """
    return re.sub(r"delete \S+ to train the run again( \([^)]*\))?", "pack it again where it was trained", text)
