"""A table's target: labels of classes or values to regress, and which of the two it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets.columns import as_numbers, place, refuse_missing, refuse_strays

if TYPE_CHECKING:
    from pandas import Series

MOST = 100
"""More whole numbers than that are values, where nobody says that they are labels."""
TASKS = ("auto", "classification", "regression")


@dataclass(frozen=True)
class Target:
    """What a column's values mean.

    Attributes:
        name: of the column.
        classes: its labels in sorted order, by whose place they are numbered; None for values.
        said: what was decided, and how to decide otherwise; empty where it was asked for, or goes without saying.
    """

    name: str
    classes: tuple[Any, ...] | None
    said: str

    @classmethod
    def of(cls, name: str, column: Series[Any], task: str = "auto") -> Target:
        """What a column holds.

        Texts, and true and false, are labels. Numbers are labels where all are whole, there are no more than 100
        different ones, and each comes twice on average; else they are values.

        Args:
            name: of the column.
            column: (n,) at least one.
            task: `classification` or `regression` says it; `auto` decides.

        Raises:
            ValueError: a value is missing, or they cannot be what they are said to be.
        """
        if task not in TASKS:
            raise ValueError(f"dataset.task={task}: choose {', '.join(TASKS[:-1])} or {TASKS[-1]}")
        refuse_missing(name, column, "dataset.missing=drop leaves the row out")
        numbers = as_numbers(name, column)
        if numbers is None or column.dtype == bool:
            return cls._of_texts(name, column, task)
        different = np.unique(numbers)
        whole = bool((different == np.round(different)).all())
        span = f"{different[0]:g} to {different[-1]:g}"
        kind = "whole numbers" if whole else "numbers"
        few = whole and len(different) <= MOST and 2 * len(different) <= len(numbers)
        if task == "regression" or (task == "auto" and not few):
            other = "" if task == "regression" else "; dataset.task=classification takes them as labels" * whole
            return cls(name, None, f"{name} holds {kind}, {span}: regression{other}")
        other = "; dataset.task=regression takes them as values" if task == "auto" else ""
        labels = tuple(int(value) if whole else float(value) for value in different)
        return cls._several(name, labels, f"{name} holds {kind}, {span}: {len(labels)} classes{other}")

    @classmethod
    def _of_texts(cls, name: str, column: Series[Any], task: str) -> Target:
        if task == "regression":
            raise ValueError(f"dataset.task=regression: column {name} holds texts, not numbers")
        labels = tuple(sorted(set(column.astype(str))))
        if 2 * len(labels) > max(len(column), 4):
            refuse_strays(name, column.astype(str))
            raise ValueError(
                f"column {name} has {len(labels):,} different texts in {len(column):,} rows, which are no labels: "
                "dataset.target names the column with the labels"
            )
        shown = ", ".join(labels[:4]) + (", ..." if len(labels) > 4 else "")
        return cls._several(name, labels, f"{name} holds {len(labels)} classes: {shown}")

    @classmethod
    def _several(cls, name: str, labels: tuple[Any, ...], said: str) -> Target:
        if len(labels) < 2:
            raise ValueError(f"column {name} is {labels[0]} in all rows: there is nothing to tell apart")
        return cls(name, labels, said)

    def encoded(self, column: Series[Any]) -> NDArray[Any]:
        """(n,) int64 labels from 0, or float64 values.

        Raises:
            ValueError: a value is missing, or a label that is not one of the classes.
        """
        refuse_missing(self.name, column, "mend the test split")
        numbers = as_numbers(self.name, column) if len(column) else np.zeros(0)
        if self.classes is None:
            if numbers is None:
                raise ValueError(f"column {self.name} holds numbers in the training split and texts in the test split")
            return numbers
        texts = isinstance(self.classes[0], str)
        values = column.astype(str).to_numpy(object) if texts or numbers is None else numbers
        numbered = {label: number for number, label in enumerate(self.classes)}
        found = np.array([numbered.get(value, -1) for value in values], np.int64)
        if (found < 0).any():
            label = column.iloc[int((found < 0).argmax())]
            where = place(column, found < 0)
            raise ValueError(f"column {self.name} is {label!r} in {where}, which it is in no row for training")
        return found
