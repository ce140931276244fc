"""The reader of a user's own CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batchlab.datasets.dataset import Dataset
from batchlab.datasets.files import first_line, own_path
from batchlab.datasets.sets.frame import frame

if TYPE_CHECKING:
    from pandas import DataFrame

SEPARATORS = ",;\t|"
"""Of which the first line has one most often."""


def csv(
    path: str,
    target: str,
    test_path: str | None = None,
    test: float = 0.2,
    test_seed: int = 0,
    root: str | Path | None = None,
    task: str = "auto",
    drop: Sequence[str] = (),
    missing: str = "error",
    na: Sequence[str] = (),
    separator: str | None = None,
    standardize: bool = False,
) -> Dataset:
    """A CSV file with a line of names and a line for each sample; what becomes of its columns says `frame`.

    Args:
        path: the file, relative to the data root or absolute; compressed as its name says (`.gz`, `.xz`, ...).
        target: the column to predict.
        test_path: a file with the test split; without one a share of the lines is for testing.
        test: that share.
        test_seed: chooses other lines.
        root: the data root; `None` for the usual one.
        task: as in `frame`.
        drop: columns to leave out.
        missing: as in `frame`.
        na: texts that mean that a value is missing, beside the empty one, NA, NaN, null and their like.
        separator: between values; `None` is the one of `, ; | tab` that the first line has most often.
        standardize: as in `frame`.

    Raises:
        ValueError: a file is missing or no CSV text, or what `frame` refuses.
    """
    if separator is not None and (not isinstance(separator, str) or len(separator) != 1):
        raise ValueError(f"dataset.separator={separator!r}: one character, or null for the one that the file has")
    named = [(path, "path")] if test_path in (None, "") else [(path, "path"), (str(test_path), "test_path")]
    files = [own_path(file, root, key) for file, key in named]
    tables = [_table(file, separator, na) for file in files]
    tables[1:] = [
        table.rename_axis(index=f"{file.name}, line") for table, file in zip(tables[1:], files[1:], strict=True)
    ]
    given = tables[0] if len(tables) == 1 else (tables[0], tables[1])
    return frame(given, target, test, test_seed, task, drop, missing, standardize, files[0].name)


def _table(file: Path, separator: str | None, na: Sequence[str]) -> DataFrame:
    import numpy as np
    import pandas as pd

    try:
        head = pd.read_csv(file, sep="\x00", header=None, nrows=1, encoding="utf-8-sig", dtype=str)
        first = str(head.iloc[0, 0])
        found = separator or max(SEPARATORS, key=first.count)
        names = pd.read_csv(file, sep=found, header=None, nrows=1, encoding="utf-8-sig", dtype=str).iloc[0]
        table = pd.read_csv(file, sep=found, na_values=[*map(str, na)], encoding="utf-8-sig", low_memory=False)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise ValueError(f"{file}: not CSV text in UTF-8, or damaged ({first_line(error)})") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError(f"{file}: its lines have more values than its first line has names")
    twice = names[names.duplicated() & names.notna()]
    if len(twice):
        raise ValueError(f"{file}: two columns are called {twice.iloc[0]}: rename one")
    counted = table.columns[0]
    if str(counted).startswith("Unnamed:") and np.array_equal(table[counted], np.arange(len(table))):
        table = table.drop(columns=counted)  # pandas' own row numbers, by `to_csv`: no feature
    table.index = pd.RangeIndex(2, len(table) + 2, name="line")
    return table
