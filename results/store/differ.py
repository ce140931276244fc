"""Whether two folders hold the same run, and what of it differs: configuration, end, rows or what run.json says."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from batchlab.results.store import parquet
from batchlab.results.store.record import CONFIG_KEY, read_stream, to_arrow
from batchlab.results.store.run import COMMANDS, SEALED, SECONDS, STREAMS, Run, RunState
from batchlab.results.store.travel import placeless, unplaced
from batchlab.results.store.yaml_file import read_yaml

TIMES = ("changed", "started", "ended", "train_seconds", "eval_seconds", "contention", SECONDS, COMMANDS)
"""Of run.json, when something was and how long it took."""
FAULTS = (pa.ArrowException, OSError, ValueError, RecursionError)
"""What reading a damaged run may raise."""


def difference(one: Run, other: Run, here: str, there: str) -> str:
    """What differs between two runs that are over, in a phrase; empty where they are the same.

    What was rewritten on the way (names of the machine, metadata, encodings) is no difference; a number of a row is,
    its time included: no two trainings take the same. Of run.json all is compared but when and how long.

    Args:
        one: A run.
        other: The same, or what should be.
        here: What the phrase calls the place of the one,
        there: and of the other.

    Raises:
        ValueError: One of them cannot be read; `check_whole` says which.
    """
    ended, others = one.read_state(), other.read_state()
    if ended.state is not others.state:
        return f"it is {ended.state} in {here} and {others.state} in {there}"
    for stream in STREAMS:
        before, after = _rows(one, stream), _rows(other, stream)
        if (before is None) is not (after is None):
            return f"its {stream} are only in {here if after is None else there}"
        if before is not None and after is not None and (said := _differ(before, after, here, there)):
            return f"{stream}: {said}"
    if said := _unlike(config_of(one), config_of(other), here, there):
        return said
    said = _unlike(facts(ended), facts(others), here, there)
    return f"run.json: {said}" if said else ""


def facts(state: RunState) -> dict[str, Any]:
    """What run.json says that is the same wherever the run lies: neither times nor names of the machine."""
    return {key: value for key, value in placeless(state.info).items() if key not in (*TIMES, SEALED)}


def check_whole(run: Run) -> str:
    """What is wrong with a run's files, read to their end; empty where nothing is."""
    state = run.read_state()
    if state.state == "damaged":
        return state.reason or "it is damaged"
    for stream in STREAMS:
        try:
            _rows(run, stream)
        except FAULTS as error:
            return f"{run.sealed(stream)} is damaged ({' '.join(str(error).split())[:80]})"
    try:
        config_of(run)
    except FAULTS as error:
        return " ".join(str(error).split())
    return ""


def config_of(run: Run) -> dict[str, Any]:
    """A run's frozen configuration without what names a place, from where it is.

    Raises:
        ValueError: It has none.
        OSError: It cannot be read.
    """
    if run.config.exists():
        found = read_yaml(run.config)
    else:
        with parquet.opened(run.metrics) as file:
            found = json.loads((file.schema_arrow.metadata or {}).get(CONFIG_KEY, b"null"))
    if not isinstance(found, dict):
        raise ValueError(f"{run.folder} has no configuration")
    return unplaced(found)


def _rows(run: Run, stream: str) -> pa.Table | None:
    if run.sealed(stream).exists():
        return parquet.read(run.sealed(stream)).replace_schema_metadata(None)
    rows = read_stream(run, stream)
    return to_arrow(rows, {}) if rows else None


def _differ(one: pa.Table, other: pa.Table, here: str, there: str) -> str:
    """The first value in which two tables differ; empty where there is none."""
    if one.num_rows != other.num_rows:
        return f"{one.num_rows} rows in {here} and {other.num_rows} in {there}"
    for name in dict.fromkeys((*one.column_names, *other.column_names)):
        if name not in one.column_names or name not in other.column_names:
            return f"the column {name} is only in {here if name in one.column_names else there}"
        if one[name].equals(other[name]):
            continue
        for i, (mine, theirs) in enumerate(zip(one[name].to_pylist(), other[name].to_pylist(), strict=True), 1):
            if mine != theirs and not (mine != mine and theirs != theirs):
                return f"{name} of row {i} is {mine} in {here} and {theirs} in {there}"
    return ""


def _unlike(one: Any, other: Any, here: str, there: str) -> str:
    """The first key of which two objects say something else; empty where there is none."""
    mine, theirs = _flat(one), _flat(other)
    for key in dict.fromkeys((*mine, *theirs)):
        if (here_is := _said(mine, key)) != (there_is := _said(theirs, key)):
            return f"{key} is {here_is} in {here} and {there_is} in {there}"
    return ""


def _said(values: dict[str, Any], key: str) -> str:
    """A value as a text, NaN being what it is."""
    return repr(values[key]) if key in values else "not said"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    return {
        key: item
        for name, inner in value.items()
        for key, item in _flat(inner, f"{prefix}.{name}" if prefix else name).items()
    }
