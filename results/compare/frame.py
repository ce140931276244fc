"""Many runs as one table in memory (`load.load` fills it).

A `Frame` is Arrow below, so that printing a table does not wait for pandas; `Frame.to_pandas` is for
everybody else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batchlab.results.axes import COLUMNS
from batchlab.results.compare.quantities import Quantity, declared
from batchlab.results.legacy import switch
from batchlab.results.store.run import State
from batchlab.results.words import respelled, spelt, written

if TYPE_CHECKING:
    import pandas as pd

Made = TypeVar("Made")
MISSING = "?"
PROBLEMS = 3
"""So many damaged files are named where something is missing."""
FLOPS = "flops"
"""The column of training FLOPs, see `load.with_flops`."""
UNCOUNTED = (
    "no run here has counted its FLOPs: runs recorded before batchlab counted them, finite-sum solvers and models "
    "without matrix products or convolutions have none (--rerun trains runs anew); gradients is a clock that all have"
)
NO_RUNS = "no runs match: see `batchlab status` for what is there, or loosen --where"


@dataclass(frozen=True)
class RunRow:
    """A run in a frame: who it is, how it ended, and where its rows are.

    Attributes:
        run_id: Its identity.
        state: How it ended, or what it is doing.
        reason: One line that says why, where there is something to say.
        info: The rest of `run.json`: versions, hardware, git, times, the quantities it declares.
        config: Its configuration; empty where it never started.
        labels: What its sweep calls it.
        overrides: What its sweep changed, by dotted key.
        rows: Its rows in `Frame.table`.
    """

    run_id: str
    state: State
    reason: str | None
    info: dict[str, Any]
    config: dict[str, Any]
    labels: dict[str, Any]
    overrides: dict[str, str]
    rows: slice = field(default_factory=lambda: slice(0, 0))
    _made: dict[Any, tuple[dict[str, Any], Any]] = field(default_factory=dict, repr=False, compare=False)
    """By what made it: what was made of which configuration. Copies of the row share it."""

    @property
    def flat(self) -> dict[str, Any]:
        """The configuration by dotted keys, see `flatten`."""
        config, flat = self._made.get(flatten, (None, {}))
        if config is not self.config:
            flat = _flattened(self.config)
            self._made[flatten] = self.config, flat
        return flat

    def of_flat(self, make: Callable[[dict[str, Any]], Made]) -> Made:
        """What a function makes of `flat`, made once: a report of 5,000 runs asks ten times. It can be hashed."""
        config, found = self._made.get(make, (None, None))
        if config is not self.config:
            found = make(self.flat)
            if len(_SAME) > BLOCKS:
                _SAME.clear()
            found = _SAME.setdefault((make, repr(found)), found)
            self._made[make] = self.config, found
        made: Made = found  # type: ignore[assignment]  # of this function
        return made

    def value(self, key: str) -> Any:
        """A label, an axis, or a dotted key of the configuration; `MISSING` where the run has none.

        Several keys with commas between give their values as one text, if the run has them all. A run that
        never started is known by the overrides its sweep gave it.
        """
        if "," in key:
            values = [self.value(part) for part in key.split(",")]
            return MISSING if MISSING in values else " ".join(map(written, values))
        if key in self.labels:
            return self.labels[key]
        if key == "run_id":
            return self.run_id
        flat = self.flat
        if key in flat and not key.startswith("log."):
            return flat[key]
        if key == "measure" or switch(key):  # several choices, where other axes have one; or as 0.1 asked for one
            chosen = self.config.get("measure")
            if not isinstance(chosen, dict):
                return self.overrides.get(key, MISSING)
            return " ".join(sorted(chosen)) if key == "measure" else switch(key) in chosen
        value: Any = self.config
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                return self.overrides.get(key, MISSING)
            value = value[part]
        if isinstance(value, dict):
            return value.get("name", MISSING)
        return respelled(str(value)) if isinstance(value, list) else value

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Whether each axis or label equals its value (or is in it, when it is a list)."""
        wanted = ((key, v if isinstance(v, (list, tuple, set)) else [v]) for key, v in values.items())
        return all(self.value(key) in among for key, among in wanted)

    def matches(self, conditions: Mapping[str, list[str]]) -> bool:
        """Whether every axis has one of the values named for it.

        Args:
            conditions: By axis, values as a user types them: `1e-1` is 0.1, `null` is None, or that the run has no
                such key.
        """
        return all(any(self._has(key, text) for text in texts) for key, texts in conditions.items())

    def _has(self, key: str, text: str) -> bool:
        value = self.value(key)
        if value == MISSING and self.config and text.lower() == "null":  # who never started lacks what it will have
            return True
        return _same(value, text)


@dataclass(frozen=True)
class Frame:
    """Runs and their rows. Cheap to narrow: `select` shares the rows.

    Attributes:
        runs: The runs.
        table: The rows of all runs, one after another; one column per metric.
        names: Every column that some run has, whether it was loaded or not.
        problems: One line per damaged file, which names the way out.
        ordered: Whether the runs come in an order somebody chose (a sweep's).
        reread: Reads another stream of some of the runs; None for a frame that was computed.
        measured: What was measured apart from the runs, for a paper that asks for it (`RunStore.measured`).
    """

    runs: list[RunRow]
    table: pa.Table
    names: frozenset[str]
    problems: list[str]
    ordered: bool = False
    reread: Callable[[str, Sequence[RunRow]], Frame] | None = field(default=None, repr=False, compare=False)
    measured: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """What the runs declare of their columns, by name; see `quantities.declared`."""
        return declared(run.info for run in self.runs)

    def select(self, keep: Callable[[RunRow], bool]) -> Frame:
        """The runs for which `keep` is true."""
        return replace(self, runs=[run for run in self.runs if keep(run)])

    def where(self, **values: Any) -> Frame:
        """The runs whose axis or label equals the value (or is in it, when it is a list)."""
        return self.select(lambda run: run.fits(values))

    def stream(self, name: str) -> Frame:
        """Rows of another stream of these runs: `steps`, or `layers`; none where there are none.

        It is read when this is called.
        """
        if self.reread is None:
            empty = [replace(run, rows=slice(0, 0)) for run in self.runs]
            return replace(self, runs=empty, table=pa.table({}), names=frozenset())
        read = self.reread(name, self.runs)
        rows = {run.run_id: run.rows for run in read.runs}
        runs = [replace(run, rows=rows.get(run.run_id, slice(0, 0))) for run in self.runs]
        return replace(read, runs=runs, ordered=self.ordered)

    def column(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """A metric over all rows.

        Returns:
            Two arrays of shape (rows,): its values as float64, and whether it was measured at all. NaN may be a
            measurement.

        Raises:
            ValueError: For a name that no run has, with those that there are; for a column without numbers.
        """
        if name not in self.table.column_names:
            if not self.runs:
                raise ValueError(NO_RUNS)
            if name == FLOPS and name not in self.names:
                raise ValueError(UNCOUNTED)
            if name not in self.names:
                raise ValueError(self._unknown("metric", name, self.names))
            rows = self.table.num_rows
            return np.full(rows, np.nan), np.zeros(rows, dtype=bool)
        column = self.table[name].combine_chunks()
        if not pa.types.is_primitive(column.type) or pa.types.is_temporal(column.type):
            raise ValueError(f"the column {name} holds no numbers")
        valid = np.from_dlpack(column.is_valid().cast(pa.uint8())).astype(bool)
        numbers = column.cast(pa.float64())  # its buffer, because to_numpy and fill_null import pandas
        values = np.frombuffer(numbers.buffers()[1], np.float64)[numbers.offset :][: len(numbers)]
        return np.where(valid, values, np.nan), valid

    def has(self, *names: str) -> bool:
        """Whether each of these columns was measured in some row of these runs, maybe some of a wider frame's."""

        def measured(name: str) -> bool:
            valid = self.column(name)[1]
            return any(valid[run.rows].any() for run in self.runs)

        return bool(self.runs) and all(name in self.names and measured(name) for name in names)

    def values(self, key: str) -> list[Any]:
        """The values of an axis over these runs: numbers in order, a sweep's in its order, else by name.

        Raises:
            ValueError: For a key that no run has, with those that there are.
        """
        found = list(dict.fromkeys(run.value(key) for run in self.runs))
        known = [value for value in found if value != MISSING]
        if not known and found:
            hint = "" if self.ordered else "; the labels that a sweep gives its runs are axes with --sweep NAME"
            raise ValueError(self._unknown("axis", key, self.keys(), hint))
        if all(isinstance(value, (int, float)) for value in known):
            return sorted(known)
        return known if self.ordered else sorted(known, key=str)

    def _unknown(self, what: str, name: str, known: Iterable[str], hint: str = "") -> str:
        """As `unknown`; where files are damaged, it may have been in one of them."""
        return "; ".join([unknown(what, name, known) + hint, *self.problems[:PROBLEMS]])

    def keys(self) -> list[str]:
        """Every axis, label and dotted configuration key these runs know."""
        names: dict[str, None] = dict.fromkeys(COLUMNS)
        for run in self.runs:
            names.update(dict.fromkeys(run.labels))
            names.update(dict.fromkeys(run.flat))
        return list(names)

    def to_pandas(self, *keys: str) -> pd.DataFrame:
        """All rows as a DataFrame, with the axes, labels and state of their runs.

        Args:
            *keys: Further columns, by dotted configuration key (`optimizer.lr`).

        Raises:
            ValueError: For a key that no run has.
        """
        import pandas as pd

        for key in keys:
            self.values(key)
        labels = dict.fromkeys(label for run in self.runs for label in run.labels)
        lengths = [run.rows.stop - run.rows.start for run in self.runs]
        indices = [np.arange(run.rows.start, run.rows.stop) for run in self.runs]
        columns: dict[str, pd.Series[Any]] = {}
        for key in dict.fromkeys(["state", *COLUMNS, *labels, *keys]):
            values = [run.state.value if key == "state" else run.value(key) for run in self.runs]
            column = pd.Series([None if value == MISSING else value for value in values])
            column = column if pd.api.types.is_numeric_dtype(column) else column.astype("category")
            columns[key] = column.repeat(lengths).reset_index(drop=True)
        rows = self.table.take(pa.array(np.concatenate(indices) if indices else [], pa.int64()))
        measured: pd.DataFrame = rows.to_pandas()
        return pd.concat([pd.DataFrame(columns), measured], axis=1)


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration by dotted keys; lists become text.

    >>> flatten({"model": {"name": "resnet8", "widths": [16, 32]}, "seed": 0})
    {'model.name': 'resnet8', 'model.widths': '[16, 32]', 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = respelled(str(value)) if isinstance(value, list) else value
    return flat


BLOCKS = 4096
"""So many blocks of configurations are remembered."""
_BLOCKS: dict[tuple[str, int], tuple[dict[str, Any], dict[str, Any]]] = {}
"""By key and identity: a block, which stays as long as it is known by that, and its dotted keys."""


_SAME: dict[Any, Any] = {}
"""What `RunRow.of_flat` made, once for all runs of which the same is made."""


def _flattened(config: dict[str, Any]) -> dict[str, Any]:
    """As `flatten`. Runs that were loaded together have blocks in common, which are flattened once."""
    flat: dict[str, Any] = {}
    if len(_BLOCKS) > BLOCKS:
        _BLOCKS.clear()
    for key, value in config.items():
        if isinstance(value, dict):
            block, made = _BLOCKS.get((key, id(value)), (None, {}))
            if block is not value:
                made = flatten(value, f"{key}.")
                _BLOCKS[key, id(value)] = value, made
            flat |= made
        else:
            flat[key] = respelled(str(value)) if isinstance(value, list) else value
    return flat


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that does not exist: the nearest ones, or the short ones of all that are there.

    Args:
        what: What it should be the name of (`axis`, `metric`).
        name: What was asked for.
        known: What there is.
    """
    names = sorted(known)
    near = [key for key in names if key.endswith(f".{name}")] or difflib.get_close_matches(name, names, 2, 0.6)
    short = [key for key in names if "." not in key]
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(short)}" if short else ""
    return f"no run has the {what} {name}{hint}"


def _same(value: Any, text: str) -> bool:
    """Whether a configured value is what the user typed: 0.1 is 1e-1, null is None."""
    if isinstance(value, bool) or value is None:
        return text.lower() == {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (int, float)):
        try:
            return text == str(value) or float(text) == value  # a seed may have more digits than a float holds
        except ValueError:
            return False
    known = str(value)
    return known == text or (known.startswith("[") and spelt(known) == spelt(text))
