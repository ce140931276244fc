"""Columns of a table as features: numbers as they are, texts as one feature for each of their categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.dataset import LARGEST
from batchlab.datasets.names import in_list

if TYPE_CHECKING:
    from pandas import DataFrame, Series

CATEGORIES = 20
"""So many different texts in a column are looked at twice."""


def features(train: DataFrame, test: DataFrame, missing: str = "error") -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """Both splits as numbers, by what the training split has.

    A column of numbers, or of true and false, is one feature. One of texts, or of categories, is one for each text that
    the training split has, in sorted order, 1 where it is this one; a text that only the test split has is 0 in all.

    Args:
        train: (N, k), at least one row.
        test: (M, k) or more columns; may have no rows.
        missing: `mean` puts the training split's mean where a number is missing, and zeros where a text is; `error`
            refuses both.

    Returns:
        (N, d) and (M, d) float64, and what the d features are called.

    Raises:
        ValueError: naming the column, and the row where it is one.
    """
    absent = [str(column) for column in train.columns if column not in test.columns]
    if absent:
        raise ValueError(f"the test split has no column {absent[0]}; it must have those of the training split")
    if not len(train.columns):
        raise ValueError("no column is left beside the target: a feature is needed")
    parts: tuple[list[NDArray[Any]], ...] = ([], [])
    names: list[str] = []
    for column in train.columns:
        made, called = _encoded(str(column), train[column], test[column], missing)
        for part, block in zip(parts, made, strict=True):
            part.append(block)
        names += called
    return np.concatenate(parts[0], 1), np.concatenate(parts[1], 1), names


def place(column: Series[Any], where: NDArray[np.bool_]) -> str:
    """The first row of a mask as people call it: `row 3`, `line 17 of a file`."""
    index = int(where.argmax())
    return f"{column.index.name or 'row'} {column.index[index]}"


def refuse_missing(name: str, column: Series[Any], way: str) -> None:
    """ValueError where a column lacks a value.

    Args:
        name: of the column.
        column: of any type.
        way: what to do about it.
    """
    absent = column.isna().to_numpy()
    if absent.any():
        n = int(absent.sum())
        more = f" (and {n - 1} more)" if n > 1 else ""
        raise ValueError(f"column {name} has no value in {place(column, absent)}{more}: {way}")


def as_numbers(name: str, column: Series[Any]) -> NDArray[np.float64] | None:
    """(n,) float64 with NaN where a value is missing; None of a column of texts.

    Raises:
        ValueError: a date, or an infinite value.
    """
    import pandas as pd
    from pandas.api import types

    if types.is_object_dtype(column):  # of a frame made by hand: numbers that nobody called so
        column = column.infer_objects()
    if isinstance(column.dtype, pd.CategoricalDtype) or types.is_string_dtype(column):
        return None
    if (
        types.is_object_dtype(column)
        and column.dropna().map(lambda value: isinstance(value, (str, bool, int, float))).all()
    ):
        return None
    if not (types.is_numeric_dtype(column) or types.is_bool_dtype(column)) or types.is_complex_dtype(column):
        raise ValueError(
            f"column {name} is of type {column.dtype}: make numbers or texts of it, or leave it out with "
            f"{in_list('drop', name)}"
        )
    values: NDArray[np.float64] = column.to_numpy(np.float64, na_value=np.nan)
    infinite = np.abs(values) > LARGEST
    if infinite.any():
        beyond = "" if np.isinf(values).any() else f" in float32 (beyond {LARGEST:.3g})"
        raise ValueError(f"column {name} is infinite{beyond} in {place(column, infinite)}: mend it")
    return values


def _encoded(
    name: str, train: Series[Any], test: Series[Any], missing: str
) -> tuple[tuple[NDArray[Any], NDArray[Any]], list[str]]:
    """Features of a column, (N, k) and (M, k), and their names."""
    if missing == "error":
        for part in (train, test):
            refuse_missing(name, part, "dataset.missing=mean fills it, dataset.missing=drop leaves the row out")
    numbers = as_numbers(name, train)
    if numbers is None:
        return _one_hot(name, train, test)
    others = as_numbers(name, test) if len(test) else np.zeros(0)
    if others is None:
        refuse_strays(name, test.dropna().astype(str))
        raise ValueError(f"column {name} holds numbers in the training split and texts in the test split")
    absent = np.isnan(numbers)
    if absent.all():
        raise ValueError(f"column {name} has no value at all: leave it out with {in_list('drop', name)}")
    fill = float(numbers[~absent].mean())
    filled = [np.where(np.isnan(part), fill, part)[:, None] for part in (numbers, others)]
    return (filled[0], filled[1]), [name]


def _one_hot(name: str, train: Series[Any], test: Series[Any]) -> tuple[tuple[NDArray[Any], NDArray[Any]], list[str]]:
    import pandas as pd

    texts = train.dropna().astype(str)
    refuse_strays(name, texts, test.dropna().astype(str))
    categories = sorted(set(texts))
    if len(categories) > CATEGORIES and 2 * len(categories) > len(train):
        raise ValueError(
            f"column {name} has {len(categories):,} different texts in {len(train):,} rows, which are no categories: "
            f"leave it out with {in_list('drop', name)}"
        )
    if not categories:
        raise ValueError(f"column {name} has no value at all: leave it out with {in_list('drop', name)}")
    index = pd.Index(categories, dtype=object)
    places = [index.get_indexer(pd.Index(part.astype(object).map(str, na_action="ignore"))) for part in (train, test)]
    made = [(place[:, None] == np.arange(len(categories))).astype(np.float64) for place in places]
    return (made[0], made[1]), [f"{name}={category}" for category in categories]


def refuse_strays(name: str, *parts: Series[Any]) -> None:
    """ValueError for a column of numbers that a few texts keep from being one: each number would be a category.

    Args:
        name: of the column.
        *parts: its texts, split by split.
    """
    import pandas as pd

    for part in parts:
        comma = part.str.fullmatch(r"\s*[-+]?\d+,\d+\s*").to_numpy(bool)
        if len(part) and comma.mean() > 0.5:
            text = str(part.iloc[int(comma.argmax())])
            raise ValueError(
                f"column {name} has {text!r} in {place(part, comma)}, a number with a decimal comma: write a "
                "point, or let a function read it with pandas.read_csv(..., decimal=','), for dataset=frame"
            )
    strays = [pd.to_numeric(part, errors="coerce").isna().to_numpy() for part in parts]
    n = sum(len(part) for part in parts)
    if not n or sum(int(stray.sum()) for stray in strays) >= 0.5 * n:
        return
    for part, stray in zip(parts, strays, strict=True):
        if stray.any():  # else numbers that are called texts: '01', '02'
            text = str(part.iloc[int(stray.argmax())])
            raise ValueError(
                f"column {name} has {text!r} in {place(part, stray)}, where most values are numbers: mend it, or leave "
                f"the column out with {in_list('drop', name)}; of a CSV file {in_list('na', text)} reads it as missing"
            )
