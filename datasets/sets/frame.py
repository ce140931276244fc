"""The reader of a pandas DataFrame of one's own, and of whatever becomes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.columns import features
from batchlab.datasets.dataset import Dataset, Preprocessing
from batchlab.datasets.names import no_column, text
from batchlab.datasets.shares import apart
from batchlab.datasets.targets import Target

if TYPE_CHECKING:
    from pandas import DataFrame

MADE = ("frame",)
"""Arguments that a configuration names by a path, or by a block of `_target_` and arguments."""
MISSING = ("error", "mean", "drop")


def frame(
    frame: DataFrame | tuple[DataFrame, DataFrame] | Callable[[], Any],
    target: str,
    test: float = 0.2,
    test_seed: int = 0,
    task: str = "auto",
    drop: Sequence[str] = (),
    missing: str = "error",
    standardize: bool = False,
    name: str = "frame",
) -> Dataset:
    """A table whose columns are features (see `features`) and one is the target (see `Target`).

    Args:
        frame: a DataFrame, of which a share is for testing; or one for training and one for testing.
        target: the column to predict.
        test: the share of the rows for testing, of each class alike, where there is no frame for it.
        test_seed: chooses other rows.
        task: `classification`, `regression`, or `auto`: what the target looks like.
        drop: columns to leave out.
        missing: what to do where a value is missing: `error`, `mean` (the training split's; of texts zeros) or `drop`
            (leave the row out).
        standardize: each feature to mean 0 and variance 1 on the training split, see `standardized`.
        name: as messages have it.

    Raises:
        ValueError: naming column and row, or the key to change.
    """
    train, other = _frames(name, frame)
    try:
        asked, target = target, text("target", target)
        notes: list[str] = []
        if missing not in MISSING:
            raise ValueError(f"dataset.missing={missing}: choose error, mean or drop")
        train = _without(train, asked, drop)
        if other is not None:
            there = {str(column) for column in other.columns}
            other = _without(other, asked, [column for column in drop if text("drop", column) in there])
            other = other.rename_axis(index=str(other.index.name or "test row"))
        if missing == "drop":
            n = len(train)
            train = train.dropna()
            other = None if other is None else other.dropna()
            notes += [f"{n - len(train):,} of {n:,} rows lack a value and are left out"] * (len(train) < n)
        if not len(train):
            raise ValueError("the table has no rows")
        wanted = Target.of(target, train[target], task)
        if other is None:
            chosen = apart(wanted.encoded(train[target]), test, test_seed)
            train, other = train[~chosen], train[chosen]
        x_train, x_test, names = features(train.drop(columns=target), other.drop(columns=target), missing)
        y_train, y_test = wanted.encoded(train[target]), wanted.encoded(other[target])
        notes += _shared((x_train, y_train), (x_test, y_test))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    columns = len(train.columns) - 1
    of = "" if len(names) == columns else f" of {columns} columns, texts one-hot"
    notes.append(
        f"{wanted.said}; {len(train):,} rows for training, {len(other):,} for testing, {len(names)} features{of}"
    )
    return Dataset(
        name,
        x_train,
        y_train,
        x_test,
        y_test,
        None if wanted.classes is None else len(wanted.classes),
        Preprocessing(standardize=standardize),
        notes=tuple(f"{name}: {note}" for note in notes),
    )


def _frames(name: str, given: Any) -> tuple[DataFrame, DataFrame | None]:
    """The training split and, where it comes with the other, the test split."""
    from pandas import DataFrame

    made = given() if callable(given) else given
    parts = [made] if isinstance(made, DataFrame) else made
    if isinstance(parts, (tuple, list)) and len(parts) in (1, 2) and all(isinstance(p, DataFrame) for p in parts):
        for part in parts:
            if part.columns.nlevels > 1:
                raise ValueError(
                    f"{name}: columns have names of {part.columns.nlevels} levels: give each one name, as "
                    "table.columns = ['_'.join(map(str, names)) for names in table.columns] does"
                )
        return parts[0], parts[1] if len(parts) == 2 else None
    raise ValueError(
        f"{name}: dataset.frame gave {type(made).__name__} where a pandas DataFrame is needed, or two of them, for "
        "training and for testing"
    )


def _without(table: DataFrame, target: str, drop: Sequence[str]) -> DataFrame:
    """The table without the columns to leave out, its names texts."""
    table = table.rename(columns=str)
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(f"two columns are called {twice[0]}: rename one")
    dropped = [text("drop", column) for column in drop]
    for key, said, column in (("target", target, text("target", target)), *zip(repeat("drop"), drop, dropped)):
        if column not in table.columns:
            raise no_column(key, said, column, [*table.columns])
        if key == "target" and column in dropped:
            raise ValueError(f"dataset.drop: {column} is the target")
    return table.drop(columns=dropped)


def _shared(train: Sequence[NDArray[Any]], test: Sequence[NDArray[Any]]) -> list[str]:
    """How many samples (x, y) both splits have: what is measured on them was seen in training."""
    import pandas as pd

    rows = [pd.util.hash_pandas_object(pd.DataFrame(np.column_stack(part)), index=False) for part in (train, test)]
    n = int(rows[1].isin(rows[0]).sum())
    return [f"{n:,} of the {len(rows[1]):,} rows for testing are, value for value, in the training split too"] * (n > 0)
