"""What counts as a replicate: runs of one method that differ in their seed.

A run of the same seed that differs from another only in what cannot change a number (the sweep again with
`+measure=train_accuracy`) is its repeat, no evidence of its own: repeats are averaged before anything is counted,
as `claims` does. Whatever else differs between runs that are put together mixes methods, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from batchlab.results.axes import CHOICES, NEUTRAL, RECORDING, within
from batchlab.results.compare.frame import RunRow
from batchlab.results.store.run import State
from batchlab.results.words import count, listing

Key = tuple[Any, ...]
"""The values of several keys: a row or column of a table, a cell, a stratum, what repeats share."""
Setting = tuple[tuple[str, Any], ...]
"""Keys with their values."""
IRRELEVANT = (*NEUTRAL, *RECORDING, "seed")
"""What may differ between runs without it making two methods. Not `nproc`: BatchNorm sees a rank's share of a batch."""
NOMINAL = ("seed", "data_seed")
"""Numbers that are names: no order is meant."""
NAMED = 6
"""Keys that a note names."""


def replicate(run: RunRow, mixed: Sequence[str]) -> Key:
    """What a run is paired by with runs of other cells: its seed, and what else varies. Repeats share it."""
    return (run.value("seed"), *map(run.value, mixed))


def mixed_keys(groups: Iterable[Sequence[RunRow]]) -> list[str]:
    """Configuration keys, beside the seed, that differ between runs of one group.

    Args:
        groups: Runs that are put together: of a cell, a line, a side.

    Returns:
        Dotted keys. A choice (`optimizer`) stands for all the keys that come with it.
    """
    found: dict[str, None] = {}
    for group in groups:
        methods = [*map(dict, dict.fromkeys(run.of_flat(method) for run in group if run.config))]  # few, of any group
        chosen = [name for name in CHOICES if _differs(methods, f"{name}.name")]
        for key in sorted(dict.fromkeys(key for own in methods for key in own)):
            group_name = key.partition(".")[0]
            if group_name not in chosen:
                found |= dict.fromkeys([key] if _differs(methods, key) else [])
                continue
            found[group_name] = (
                None  # it stands for all keys that come with it, but for those of one choice that differ
            )
            alike: dict[Any, list[dict[str, Any]]] = {}
            for own in methods:
                alike.setdefault(own.get(f"{group_name}.name"), []).append(own)
            found |= dict.fromkeys([key] if any(_differs(own, key) for own in alike.values()) else [])
    return list(found)


def _differs(methods: Sequence[dict[str, Any]], key: str) -> bool:
    """Whether some have another value than others, or none."""
    return any(own.get(key) != methods[0].get(key) for own in methods)


def method(flat: dict[str, Any]) -> Setting:
    """What of a configuration makes another method where it differs."""
    return tuple(item for item in flat.items() if _relevant(item[0]))


@cache
def _relevant(key: str) -> bool:
    return not within(key, IRRELEVANT)


def tied_keys(group: Sequence[RunRow], mixed: Sequence[str]) -> list[str]:
    """Mixed keys that go with the seed in a group, as those of `--zip seed,KEY`: they mix no methods.

    Args:
        group: Runs that are put together.
        mixed: The keys that vary in some group.

    Returns:
        Those that vary here, have one value for each seed, and another one for another seed.
    """
    found = []
    for key in mixed:
        pairs = {(run.value("seed"), run.value(key)) for run in group}
        if len(pairs) > 1 and all(len({pair[i] for pair in pairs}) == len(pairs) for i in (0, 1)):
            found.append(key)
    return found


def untied(varying: Sequence[str], runs: Sequence[RunRow]) -> list[str]:
    """The keys that vary in some group, without those that go with the seed or stand still in this one."""
    begun = [run for run in runs if run.config]
    left = [key for key in varying if len({run.value(key) for run in begun}) > 1]
    tied = tied_keys(begun, left)
    return [key for key in left if key not in tied]


def lacking(group: Iterable[RunRow], mixed: Sequence[str]) -> dict[Any, list[Setting]]:
    """Seeds that lack a combination of the mixed keys which another seed of the group has, in whatever state.

    Returns:
        Seed -> the combinations that it lacks.
    """
    seeds: dict[Any, dict[Setting, None]] = {}
    for run in group:
        values = replicate(run, mixed)[1:]
        seeds.setdefault(run.value("seed"), {})[tuple(zip(mixed, values, strict=True))] = None
    every = dict.fromkeys(key for own in seeds.values() for key in own)
    return {seed: gaps for seed, own in seeds.items() if (gaps := [key for key in every if key not in own])}


def mixed_note(what: str, mixed: Sequence[str], options: str = "") -> list[str]:
    """What to say of keys that are mixed; nothing where nothing is.

    >>> mixed_note("cells", ["nproc"], "--rows")
    ['cells mix runs that differ in nproc: add it to --rows, or use --where']

    Args:
        what: What puts runs together: cells, lines, panels.
        mixed: The keys, see `mixed_keys`.
        options: Where a user would add them; none where that is not for the reader to do.
    """
    if not mixed:
        return []
    more = [f"{len(mixed) - NAMED} more"] if len(mixed) > NAMED else []
    way_out = f": add {'it' if len(mixed) == 1 else 'them'} to {options}, or use --where" if options else ""
    return [f"{what} mix runs that differ in {listing([*mixed[:NAMED], *more])}{way_out}"]


def repeats_note(groups: Iterable[Sequence[RunRow]], mixed: Sequence[str]) -> list[str]:
    """`6 runs of 3 seeds: repeats were averaged`, of the group with the most; nothing where no run is repeated."""
    done = [[run for run in group if run.state is State.DONE] for group in groups]
    sizes = [(len(group), len({replicate(run, mixed) for run in group})) for group in done]
    runs, n = max(sizes, key=lambda size: size[0] - size[1], default=(0, 0))
    if runs == n:
        return []
    of = count(n, "seed and setting", "seeds and settings") if mixed else count(n, "seed")
    return [f"{count(runs, 'run')} of {of}: repeats were averaged"]
