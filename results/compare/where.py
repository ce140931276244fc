"""`--where optimizer=adamw,optimizer.lr=0.03 --or optimizer=shb,optimizer.lr=0.1`: which runs are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchlab.results.words import meant, parted

if TYPE_CHECKING:
    from batchlab.results.compare.frame import RunRow

BEGINS = re.compile(r"[A-Za-z_][\w.]*\s*=", re.ASCII)
"""A key and its `=`, where another condition may begin; a value that looks like that is quoted."""

Conditions = Mapping[str, list[str]]
"""By axis the values that a run may have, as they were typed."""


@dataclass(frozen=True)
class Where:
    """Which runs are meant: those that meet all conditions of one of the alternatives.

    Attributes:
        alternatives: each by axis, label or dotted key, the values that are allowed there, as texts.
    """

    alternatives: tuple[Conditions, ...] = ({},)

    @classmethod
    def parse(cls, where: Iterable[str] = (), others: Iterable[str] = ()) -> Where:
        """What `--where` and `--or` say.

        >>> Where.parse(["optimizer=shb,nshb", "seed=0"]).alternatives
        ({'optimizer': ['shb', 'nshb'], 'seed': ['0']},)
        >>> Where.parse(["optimizer=shb,seed=0"], ["optimizer=adamw,seed=1"]).alternatives
        ({'optimizer': ['shb'], 'seed': ['0']}, {'optimizer': ['adamw'], 'seed': ['1']})

        Args:
            where: Conditions that must all hold.
            others: Each an alternative to all of them together, or to all runs where there are none.

        Raises:
            ValueError: For a text that cannot be read, or an axis that is given twice.
        """
        first: dict[str, list[str]] = {}
        for text in where:
            found = conditions(text, "--where")
            if twice := first.keys() & found.keys():
                key = twice.pop()
                raise ValueError(
                    f"--where {text}: {key} is given before, and all must hold; either value is "
                    f"--where {key}={','.join([*first[key], *found[key]])}"
                )
            first |= found
        rest = [conditions(text, "--or") for text in others]
        return cls((*([first] if first or not rest else []), *rest))

    @classmethod
    def of(cls, where: Where | Iterable[str]) -> Where:
        """What was parsed, or texts that must all hold."""
        return where if isinstance(where, Where) else cls.parse(where)

    @property
    def keys(self) -> list[str]:
        """The axes that it names."""
        return list(dict.fromkeys(key for one in self.alternatives for key in one))

    def fits(self, run: RunRow) -> bool:
        """Whether a run is meant."""
        return any(run.matches(one) for one in self.alternatives)


def conditions(text: str, option: str) -> dict[str, list[str]]:
    """Conditions that must all hold, as texts by axis.

    >>> conditions("optimizer=adamw,optimizer.lr=0.03,0.1", "--where")
    {'optimizer': ['adamw'], 'optimizer.lr': ['0.03', '0.1']}
    >>> conditions("batch_schedule.sizes=[64,128],[32],note='a, b=c'", "--where")
    {'batch_schedule.sizes': ['[64,128]', '[32]'], 'note': ['a, b=c']}

    Args:
        text: `AXIS=VALUE`, `AXIS=VALUE,VALUE`, several of them with commas between.
        option: What the user wrote it after, for messages.

    Raises:
        ValueError: For a text of another form, or an axis that is given twice.
    """
    found: dict[str, list[str]] = {}
    key = ""
    for part in parted(text):
        value = part
        if not found or BEGINS.match(part):
            key, equals, value = (word.strip() for word in part.partition("="))
            if not (key and equals and value):
                raise ValueError(
                    f"{option} takes AXIS=VALUE or AXIS=VALUE,VALUE, several with commas between, and quotes around "
                    f"a value that has commas; not {text!r}"
                )
            if key in found:
                raise ValueError(f"{option} {text}: {key} is given twice: give it once")
            found[key] = []
        found[key].append(meant(value))
    return found
