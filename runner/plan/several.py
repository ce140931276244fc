"""Axes of several choices at a time, where the others have one: `measure`, and `callback` alike.

measure=[scores,gsnr]     these and no others
+measure=gsnr             also this one (a list for several)
~measure=gsnr             without this one
measure.gsnr.key=value    a key of one that is chosen

The first comes before all others, of which there may be several, in their order. Switches of old (log.gsnr=true) are
among the measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from batchlab.results.axes import SEVERAL, within
from batchlab.results.legacy import SWITCHES, switch
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.grid.parsing import Sweep
from batchlab.runner.plan.overrides import Setting

MEASURE = "measure"


def is_choice(setting: Setting) -> bool:
    """Whether an override says which are chosen on such an axis (not how: that is a key of one)."""
    return axis_of(setting) is not None


def axis_of(setting: Setting) -> str | None:
    """The axis on which an override chooses; None for other overrides."""
    return setting.key if setting.key in SEVERAL else MEASURE if switch(setting.key) else None


def listed(axis: str, value: object, said: str = "config.yaml, or the experiment") -> list[str]:
    """Names of choices as a file or an override says them: one or a list of them, null for none.

    Args:
        axis: of `SEVERAL`.
        value: what was said.
        said: where, for the message.

    Raises:
        ConfigError: something else.
    """
    named: list[Any] = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in named):
        example = "[scores,full_gradient_norm]" if axis == MEASURE else "[tensorboard]"
        raise ConfigError(f"{said}: {axis} takes names, for example {axis}={example}, not {value!r}")
    return named


def switched(log: object) -> list[str]:
    """The measures that a file's `log` block turns on as batchlab 0.1 did; their switches are taken out of it.

    Raises:
        ConfigError: a switch that is neither true nor false.
    """
    if not isinstance(log, dict):
        raise ConfigError(f"log must be a block of keys, got {log!r}")
    found = {name: log.pop(name) for name in SWITCHES if name in log}
    for name, value in found.items():
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f"log.{name} must be true or false, got {value!r} (it is now {MEASURE}={name})")
    return [name for name, value in found.items() if value]


def chosen(axis: str, before: Iterable[str], settings: Iterable[Setting]) -> list[str]:
    """The names of what is chosen on an axis, in order.

    Args:
        axis: of `SEVERAL`.
        before: what the configuration files choose.
        settings: overrides; those that do not choose on this axis are passed over.

    Raises:
        ConfigError: something that is neither a name nor a list of names.
    """
    names = list(dict.fromkeys(before))
    own = [setting for setting in settings if axis_of(setting) == axis]
    for setting in sorted(own, key=_is_one_of_many):  # a stable sort
        old = switch(setting.key)
        if old is not None:
            on = setting.value if setting.mode != "delete" else False
            if not isinstance(on, bool):
                raise ConfigError(f"{setting.text}: {setting.key} must be true or false (it is now +{MEASURE}={old})")
            names = [n for n in names if n != old] + [old] * on
            continue
        named = listed(axis, setting.value, setting.text)
        if setting.mode == "add":
            names = list(dict.fromkeys([*names, *named]))
        elif setting.mode == "delete":
            if not named:
                raise ConfigError(f"{setting.text}: write ~{axis}=NAME; {_chosen(axis, names)}")
            missing = [name for name in named if name not in names]
            if missing:
                raise ConfigError(f"{setting.text}: {_not_chosen(axis, missing[0], names)}")
            names = [name for name in names if name not in named]
        else:
            names = list(dict.fromkeys(named))
    return names


def _is_one_of_many(setting: Setting) -> bool:
    """Whether a choice adds to others or takes from them."""
    return setting.key not in SEVERAL or setting.mode in ("add", "delete")


def check_swept(sweeps: Iterable[Sweep]) -> None:
    """See that no sweep is over callbacks or executors: no part of a run, so that all but the first would be left out.

    Raises:
        ConfigError: one is; the message has the list that was meant.
    """
    for sweep in sweeps:
        if sweep.swept and within(sweep.key, ("executor",)):
            raise ConfigError(f"{sweep.text}: a sweep has one executor: do not sweep over executor or its keys")
        if sweep.key.split(".", 1)[0] == "callback" and len(sweep.settings) > 1:
            values = [setting.value for setting in sweep.settings]
            meant = f"{sweep.key}=[{','.join(map(str, values))}]" if sweep.key == "callback" else "one value"
            raise ConfigError(f"{sweep.key}: callbacks are no part of a run, and cannot be swept over: give {meant}")


def check_key(setting: Setting, chosen: Mapping[str, Sequence[str]]) -> None:
    """See that an override below such an axis is of a key of one that is chosen; others pass.

    Args:
        setting: an override for which `is_choice` does not hold.
        chosen: by axis the names of what is chosen.

    Raises:
        ConfigError: with the way to choose one, or to leave it out.
    """
    axis, _, rest = setting.key.partition(".")
    name, _, key = rest.partition(".")
    if axis not in chosen:
        return
    if name not in chosen[axis]:
        way = "" if setting.mode == "delete" else f": +{axis}={name} adds it"
        raise ConfigError(f"{setting.text}: {_not_chosen(axis, name, chosen[axis])}{way}")
    if setting.mode == "delete" and not key:
        raise ConfigError(f"{setting.text}: ~{axis}={name} leaves it out")


def _not_chosen(axis: str, name: str, names: Sequence[str]) -> str:
    said = "is not measured" if axis == MEASURE else f"is no {axis} of this run"
    return f"{name} {said}; {_chosen(axis, names)}"


def _chosen(axis: str, names: Sequence[str]) -> str:
    said = "measured are" if axis == MEASURE else "there are"
    return f"{said} {', '.join(names) or 'none'}"


def nodes(names: Iterable[str], load: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """name -> node, each a copy of its file's content with its name."""
    return {name: {"name": name} | load(name) for name in names}
