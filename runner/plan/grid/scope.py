"""`optimizer.lr@shb=0.1`: which choice an override is for.

KEY@CHOICE          of the key's own axis: optimizer.lr@shb; else of the only axis that has it: optimizer.lr@cosine
KEY@AXIS.CHOICE     where several have it: optimizer.lr@lr_schedule.constant
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from batchlab.results.axes import CHOICES
from batchlab.results.words import listing
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.grid.parsing import Sweep
from batchlab.runner.plan.overrides import Setting, suggest

SCOPES = (*CHOICES, "executor", "experiment")
Chosen = Mapping[str, AbstractSet[str]]
"""By axis what is chosen: by a run its one choice, under its file's name and the name within, by a sweep all."""


def chosen(base: Mapping[str, Any], settings: Iterable[Setting]) -> dict[str, set[str]]:
    """What a run chooses.

    Args:
        base: its tree, of which only the choices are looked at.
        settings: that may choose.
    """
    found = {axis: {str(base[axis]["name"])} for axis in SCOPES if axis in base}
    for setting in settings:
        if setting.key in SCOPES and setting.value is not None:
            found.setdefault(setting.key, set()).add(str(setting.value))
    return found


def target(sweep: Sweep, every: Chosen, given: AbstractSet[str]) -> tuple[str, str]:
    """The axis and the choice that a scoped override is for.

    Args:
        sweep: the override.
        every: what all runs of the sweep choose.
        given: the axes that overrides choose.

    Raises:
        ConfigError: naming what there is, or the long form where several axes have that choice.
    """
    axis, dot, name = sweep.scope.partition(".")
    if dot and axis in SCOPES:
        if name not in every.get(axis, ()):
            raise ConfigError(f"{sweep.text}: no run here has {axis}={name}; {suggest(name, every.get(axis, ()))}")
        return axis, name
    own = sweep.key.partition(".")[0]
    having = [axis for axis, names in every.items() if sweep.scope in names]
    if own in having:
        return own, sweep.scope
    having = [axis for axis in having if axis in given] or having
    if len(having) > 1:
        long = f"{sweep.key}@{having[0]}.{sweep.scope}"
        raise ConfigError(f"{sweep.text}: {sweep.scope} is a choice of {listing(having)}: write {long}=...")
    if not having:
        names = every.get(own) or {name for names in every.values() for name in names}
        raise ConfigError(f"{sweep.text}: no run here has the choice {sweep.scope}; {suggest(sweep.scope, names)}")
    return having[0], sweep.scope


def in_force(sweeps: Sequence[tuple[int, Sweep]], targets: Mapping[int, tuple[str, str]], here: Chosen) -> list[int]:
    """Places of the overrides that hold for a run: one that is for its choice takes the place of one for every run.

    Args:
        sweeps: the overrides, each with its place.
        targets: by place the axis and choice of those that have one.
        here: what the run chooses.

    Raises:
        ConfigError: two of one key are for choices of this run.
    """
    holds = [(i, s) for i, s in sweeps if i not in targets or targets[i][1] in here.get(targets[i][0], ())]
    own: dict[str, Sweep] = {}
    for i, sweep in holds:
        if i in targets and not sweep.adds and own.setdefault(sweep.key, sweep) is not sweep:
            run = " ".join(f"{axis}={name}" for axis, name in (targets[j] for j, s in holds if s.key == sweep.key))
            raise ConfigError(f"{own[sweep.key].text} and {sweep.text} both hold for {run}: leave one out there")
    return [i for i, s in holds if i in targets or s.adds or s.key not in own]
