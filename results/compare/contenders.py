"""Who is compared over problems, so that no contender is a tuning grid that was averaged over.

Each contender is at the rate that validation chose, where a validation metric was recorded, or runs that only choose;
otherwise each value that was tried is a contender of its own. Both are said. Where not every run has a value, the words
of its sweep for a run tell contenders and problems apart; where these do not either, it is refused, with conditions
that narrow the runs enough.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batchlab.results.compare.choice import TUNING, UnequalBudgetsError, choose, shown, validation
from batchlab.results.compare.frame import MISSING, Frame
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.problems import PROBLEMS, Field, problem_axes
from batchlab.results.compare.replicates import mixed_keys, tied_keys
from batchlab.results.compare.swept import is_rate
from batchlab.results.compare.where import Where
from batchlab.results.words import as_typed, listing

NAMED = 10
"""Parts of a note on what was chosen."""
UNMIXED = "methods are not averaged over"


@dataclass(frozen=True)
class Contenders:
    """Contenders of which none mixes methods.

    Attributes:
        field: They, on their problems.
        remarks: How they came about, one line each; none where they are as asked for.
    """

    field: Field
    remarks: tuple[str, ...] = ()


class _MixedError(ValueError):
    """Contenders mix methods, whatever is told apart.

    Attributes:
        field: They.
        key: What differs within one.
        said: Why it cannot make several of it.
        budgets: Why it was not chosen among the values of it.
    """

    def __init__(self, field: Field, key: str, said: str) -> None:
        super().__init__(said)
        self.field, self.key = field, key
        self.budgets: UnequalBudgetsError | None = None


def contenders(frame: Frame, metric: Metric, hue: str, problems: Sequence[str], asked: Sequence[str]) -> Contenders:
    """Make contenders of the values of a hue.

    Args:
        frame: The runs, with the columns of the metric and of `CHOOSERS`; those that only choose too.
        metric: What is compared.
        hue: What makes a contender.
        problems: What makes a problem, as a user asked for it.
        asked: Every axis and key that the user named.

    Raises:
        ValueError: With the way out, for problems that are averaged over, and for values that not every run has.
    """
    try:
        return _unmixed(frame, metric, hue, problems, asked)
    except _MixedError as error:
        narrow = _tuned_alike(error, frame, metric, hue, problems, asked)
        narrow = narrow or _narrowing(error, frame, metric, hue, problems, asked)
        ways = [f"add {' '.join(f'--where {shlex.quote(one)}' for one in narrow)}"] if narrow else []
        ways += ["name what is compared by --hue and --problems", "take fewer runs by --where"]
        why = error.budgets.why if error.budgets else error
        raise ValueError(f"{why}: {', or '.join(ways[:2])}") from None


def _unmixed(frame: Frame, metric: Metric, hue: str, problems: Sequence[str], asked: Sequence[str]) -> Contenders:
    """As `contenders`.

    Raises:
        _MixedError: For values that not every run has.
        ValueError: As `contenders`.
    """
    own, _ = shown(frame, asked)
    axes = problem_axes(own, hue, problems)
    field = Field(own, metric, hue, axes)
    mixed = _mixed(field)
    if not mixed:
        return Contenders(field)
    if averaged := [key for key in PROBLEMS if key in mixed]:
        raise ValueError(
            f"one problem has runs that differ in {listing(averaged)}: --problems {','.join([*axes, *averaged])} makes "
            f"several of them; or take one by --where {averaged[0]}=VALUE"
        )
    wider = _wider(field, [key for key in mixed if is_rate(key)], problems=not problems)
    rates = _mixed(wider)
    chooser = validation(frame) or (metric if any(run.labels.get(TUNING) is True for run in frame.runs) else None)
    why, budgets = "no validation metric was recorded to choose by (dataset.validation=0.1)", None
    if len(rates) == 1 and chooser is not None:
        try:
            return _tuned(frame, field, wider, rates[0], chooser)
        except ValueError as error:
            why = str(error).removeprefix(f"--tuned {rates[0]}: ")
            budgets = error if isinstance(error, UnequalBudgetsError) else None
    try:
        every = _wider(wider, [], problems=False)
    except _MixedError as error:
        error.budgets = budgets
        raise
    return Contenders(every, (*_parted(wider, every, why), *_parted(field, wider, UNMIXED)))


def _tuned(frame: Frame, field: Field, wider: Field, rate: str, chooser: Metric) -> Contenders:
    """Each contender at the rate that validation chose on seeds that are not judged.

    Args:
        frame: The runs, those that only choose too.
        field: The contenders that were asked for.
        wider: Those that differ in nothing but the rate.
        rate: That key.
        chooser: What chooses.
    """
    keys = [*wider.hue.split(","), *wider.axes]
    there = frame.select(lambda run: MISSING not in [run.value(key) for key in (*keys, rate)])
    made = choose(there, rate, chooser, keys)
    first, *rest = made.notes
    listed = first.split(", ")
    if len(listed) > NAMED:
        first = f"{', '.join(listed[:NAMED])} and {len(listed) - NAMED} more"
    judged = Field(made.frame, field.metric, wider.hue, wider.axes)
    return Contenders(judged, (first, *rest, *_parted(field, wider, UNMIXED)))


def _parted(field: Field, wider: Field, why: str) -> tuple[str, ...]:
    """What to say of contenders that were made several, and of problems, if they were."""
    added = wider.hue.split(",")[len(field.hue.split(",")) :]
    said = [f"each {' with '.join(added)} is a contender of its own: {why}"] if added else []
    if wider.axes != field.axes:
        said.append(f"each {' with '.join(wider.axes)} is a problem of its own")
    return tuple(said)


def _wider(field: Field, apart: Sequence[str], *, problems: bool) -> Field:
    """The same runs with more contenders: whatever differs within one makes several of it.

    A key of a choice that not every run has, or that is part of a problem, stands under the label that goes with it.

    Args:
        field: Contenders that mix methods.
        apart: Keys that may go on to differ within a contender.
        problems: Whether such labels may make problems too.

    Raises:
        _MixedError: For a key that some runs lack, or that leaves no problem which all have.
    """
    while mixed := [key for key in _mixed(field) if key not in apart]:
        key = mixed[0]
        label = _label(field, key) if "." in key else None
        if label and problems and (axes := _crossed(field, label)):
            field = Field(field.frame, field.metric, field.hue, axes)
            continue
        hue = f"{field.hue},{key}"
        if any(run.value(field.hue) != MISSING and run.value(hue) == MISSING for run in field.frame.runs):
            if label is None:
                raise _MixedError(field, key, f"runs of one {field.hue} differ in {key}, which others do not have")
            hue = f"{field.hue},{label}"
        wider = Field(field.frame, field.metric, hue, field.axes)
        if field.shared and not wider.shared:
            raise _MixedError(
                field,
                key,
                f"runs of one {field.hue} differ in {key}, and no problem has them all, so that nothing can be "
                "compared without averaging over it",
            )
        field = wider
    return field


def _label(field: Field, key: str) -> str | None:
    """A word that a sweep has for every run, and that tells those apart which differ in a key; None: there is none."""
    runs = field.frame.runs
    names = dict.fromkeys(name for run in runs for name in run.labels)
    for name in names:
        if name in (*field.hue.split(","), *field.axes) or not all(
            isinstance(run.labels.get(name), str) for run in runs
        ):
            continue
        if key not in _mixed(Field(field.frame, field.metric, f"{field.hue},{name}", field.axes)):
            return name
    return None


def _crossed(field: Field, label: str) -> tuple[str, ...]:
    """What makes a problem, with a label that all contenders have all values of; empty where it is not such a one.

    What the label says alone is left out.
    """
    pairs = {(run.value(field.hue), run.value(label)) for run in field.frame.runs}
    hues, values = ({pair[i] for pair in pairs} for i in (0, 1))
    if len(hues) < 2 or len(pairs) < len(hues) * len(values):
        return ()
    rest = [
        axis
        for axis in field.axes
        if len({(run.value(label), run.value(axis)) for run in field.frame.runs}) > len(values)
    ]
    return (*rest, label)


MOST = 8
"""Conditions that a refusal looks for."""


def _tuned_alike(
    error: _MixedError, frame: Frame, metric: Metric, hue: str, problems: Sequence[str], asked: Sequence[str]
) -> list[str]:
    """The condition that leaves the contenders which were tuned over as many values as most; none if it ends nowhere.

    Args and returns: as `_narrowing`.
    """
    key = hue.partition(",")[0]
    if error.budgets is None or key in asked[1:]:
        return []
    offered: dict[Any, set[int]] = {}
    for cell, n in error.budgets.sizes.items():
        offered.setdefault(cell[0], set()).add(n)
    kept = [as_typed(value) for value, sizes in offered.items() if sizes == {error.budgets.usual}]
    found = [f"{key}={','.join(kept)}"]
    try:
        made = _unmixed(frame.select(Where.parse(found).fits), metric, hue, problems, asked).field
    except ValueError:
        return []
    return found if len(made.contenders) > 1 and made.shared else []


def _narrowing(
    error: _MixedError, frame: Frame, metric: Metric, hue: str, problems: Sequence[str], asked: Sequence[str]
) -> list[str]:
    """Conditions that leave contenders which mix nothing: of each key the value that most runs of a problem have.

    Args:
        error: What is in the way.
        frame: The runs.
        metric: What is compared.
        hue: What makes a contender.
        problems: What makes a problem, as a user asked for it.
        asked: Every axis and key that the user named.

    Returns:
        `KEY=VALUE,...` each; none where that ends nowhere.
    """
    found: list[str] = []
    for _ in range(MOST):
        key, field = error.key, error.field
        by_problem: dict[str, Counter[Any]] = {}
        for (_, problem), own in field.members.items():
            values = (run.value(key) for _, run in own)
            by_problem.setdefault(problem, Counter()).update(value for value in values if value != MISSING)
        kept = dict.fromkeys(as_typed(counts.most_common(1)[0][0]) for counts in by_problem.values() if counts)
        lacking = any(run.value(key) == MISSING for run in field.frame.runs)
        texts = [*kept, *(["null"] if lacking else [])]
        found.append(f"{key}={','.join(texts)}")
        if key in asked:  # it has a condition already
            return []
        asked = [*asked, key]
        frame = frame.select(Where.parse(found[-1:]).fits)
        try:
            made = _unmixed(frame, metric, hue, problems, asked).field
        except _MixedError as other:
            if other.key == key:
                return []
            error = other
            continue
        except ValueError:
            return []
        return found if len(made.contenders) > 1 and made.shared else []
    return []


def _mixed(field: Field) -> list[str]:
    """The keys that differ between runs of one contender on one problem, but for those that go with the seed."""
    mixed = mixed_keys(field.groups)
    tied = [set(tied_keys(group, mixed)) for group in field.groups]
    varied = [{key for key in mixed if len({run.value(key) for run in group}) > 1} for group in field.groups]
    return [key for key in mixed if any(key in own and key not in t for own, t in zip(varied, tied, strict=True))]
