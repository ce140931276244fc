"""Who is compared over problems, so that no contender is a tuning grid that was averaged over.

Each contender is at the rate that validation chose, where a validation metric was recorded; otherwise each value that
was tried is a contender of its own. Both are said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from batchlab.results.compare.choice import choose, shown, validation
from batchlab.results.compare.frame import MISSING, Frame
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.problems import PROBLEMS, Field, problem_axes
from batchlab.results.compare.replicates import mixed_keys, tied_keys
from batchlab.results.words import listing

NAMED = 10
"""Parts of a note on what was chosen."""


@dataclass(frozen=True)
class Contenders:
    """Contenders of which none mixes methods.

    Attributes:
        field: They, on their problems.
        remarks: How they came about, one line each; none where they are as asked for.
    """

    field: Field
    remarks: tuple[str, ...] = ()


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
    wider = _wider(field, [key for key in mixed if _rate(key)])
    rates = _mixed(wider)
    chooser = validation(frame)
    why = "no validation metric was recorded to choose by (dataset.validation=0.1)"
    if len(rates) == 1 and chooser is not None:
        try:
            return _tuned(frame, field, wider, rates[0], chooser)
        except ValueError as error:
            why = str(error).removeprefix(f"--tuned {rates[0]}: ")
    every = _wider(wider, [])
    return Contenders(every, (*_parted(wider, every, why), *_parted(field, wider, "methods are not averaged over")))


def _rate(key: str) -> bool:
    return key.rpartition(".")[2] == "lr"


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
    return Contenders(judged, (first, *rest, *_parted(field, wider, "methods are not averaged over")))


def _parted(field: Field, wider: Field, why: str) -> tuple[str, ...]:
    """What to say of contenders that were made several, if they were."""
    added = wider.hue.split(",")[len(field.hue.split(",")) :]
    return (f"each {' with '.join(added)} is a contender of its own: {why}",) if added else ()


def _wider(field: Field, apart: Sequence[str]) -> Field:
    """The same runs with more contenders: whatever differs within one makes several of it.

    Args:
        field: Contenders that mix methods.
        apart: Keys that may go on to differ within a contender.
    """
    while mixed := [key for key in _mixed(field) if key not in apart]:
        hue = f"{field.hue},{mixed[0]}"
        without = [run for run in field.frame.runs if run.value(field.hue) != MISSING and run.value(hue) == MISSING]
        if without:
            raise ValueError(
                f"runs of one {field.hue} differ in {mixed[0]}, which others do not have: name what is compared by "
                "--hue, or take fewer runs by --where"
            )
        wider = Field(field.frame, field.metric, hue, field.axes)
        if field.shared and not wider.shared:
            raise ValueError(
                f"runs of one {field.hue} differ in {mixed[0]}, and no problem has them all, so that nothing can be "
                f"compared without averaging over it: take one by --where {mixed[0]}=VALUE"
            )
        field = wider
    return field


def _mixed(field: Field) -> list[str]:
    """The keys that differ between runs of one contender on one problem, but for those that go with the seed."""
    mixed = mixed_keys(field.groups)
    tied = [set(tied_keys(group, mixed)) for group in field.groups]
    varied = [{key for key in mixed if len({run.value(key) for run in group}) > 1} for group in field.groups]
    return [key for key in mixed if any(key in own and key not in t for own, t in zip(varied, tied, strict=True))]
