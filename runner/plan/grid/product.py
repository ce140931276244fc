"""Which combinations a sweep is made of: the product of its overrides, less what is zipped, scoped or drawn together.

In the order of the product of all overrides, as they were typed, the last one moving fastest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from batchlab.results.words import count
from batchlab.runner.options import GridOptions, Search
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.grid.draws import drawn
from batchlab.runner.plan.grid.parsing import Sweep, check_size
from batchlab.runner.plan.grid.scope import chosen, in_force, target
from batchlab.runner.plan.overrides import Setting, suggest


class Placed(NamedTuple):
    """A setting, and where it stands: the place of its override among all, which of its values it is."""

    place: int
    step: int
    setting: Setting


Row = tuple[Placed, ...]
"""Settings that are made together."""
Point = tuple[Setting, ...]
"""A combination: the settings of a run, in the order of their overrides."""


@dataclass(frozen=True)
class Grid:
    """A sweep's overrides and how they are combined.

    Attributes:
        sweeps: The overrides.
        options: What is zipped and drawn.
        groups: Keys that are axes: what they choose decides which overrides hold.
        compose: Makes the tree of a combination of these.
    """

    sweeps: Sequence[Sweep]
    options: GridOptions
    groups: AbstractSet[str]
    compose: Callable[[Sequence[Setting]], Mapping[str, Any]]

    def points(self) -> list[tuple[Point, tuple[bool, ...]]]:
        """Every combination, and which of its settings tell it from others.

        Raises:
            ConfigError: naming what cannot be zipped, scoped or drawn.
        """
        zips = self._zips()
        self._check()
        first = {key for keys in zips if not self.groups.isdisjoint(keys) for key in keys} | {*self.groups}
        numbered = [*enumerate(self.sweeps)]
        outer = [(i, s) for i, s in numbered if s.key in first]
        inner = [(i, s) for i, s in numbered if s.key not in first]
        alone = _dimensions([(i, s) for i, s in outer if not s.scope], zips)
        self._bounded(math.prod(map(len, alone)), least=True)
        choices: list[tuple[Row, Mapping[str, Any]]] = []
        for rows in itertools.product(*alone):
            row = _joined(rows)
            choices.append((row, self.compose([p.setting for p in row if p.setting.key in self.groups])))
        here = [chosen(base, [placed.setting for placed in row]) for row, base in choices]
        every = {axis: {name for one in here for name in one.get(axis, ())} for one in here for axis in one}
        targets = {i: target(s, every, self.groups) for i, s in numbered if s.scope}
        found: list[Row] = []
        held = [{*in_force(numbered, targets, names)} for names in here]
        dimensions = self._coordinates(held)
        below = [*inner, *((i, s) for i, s in outer if s.scope)]
        left = [[(i, s) for i, s in below if i in holding] for holding in held]
        several = [_dimensions([(i, s) for i, s in rest if s.interval is None], zips) for rest in left]
        self._bounded(sum(self._size(rest, named) for rest, named in zip(left, several, strict=True)))
        for (row, base), holding, rest, named in zip(choices, held, left, several, strict=True):
            kept = tuple(placed for placed in row if placed.place in holding)
            points = self._drawn([(i, s) for i, s in rest if s.interval is not None], base, dimensions)
            found += [_joined([kept, *rows]) for rows in itertools.product(*named, *points)]
        taken = {placed.place for row in found for placed in row}
        for i, s in numbered:
            if i not in taken:
                raise ConfigError(
                    f"{s.text}: no run takes it, as each has a choice that {s.key}@... is given for: leave it out"
                )
        found.sort(key=self._order)
        return [(tuple(p.setting for p in row), tuple(self.sweeps[p.place].swept for p in row)) for row in found]

    def _size(self, sweeps: Sequence[tuple[int, Sweep]], named: Sequence[Sequence[Row]]) -> int:
        """How many combinations there are within one of the choices of groups."""
        drawn = self.options.draws if any(s.interval for _, s in sweeps) else None
        return math.prod(map(len, named)) * (drawn or 1)

    def _bounded(self, runs: int, *, least: bool = False) -> None:
        """Refuse more runs than were meant, before any is spread out."""
        check_size(runs, self.options, least=least)

    def _order(self, row: Row) -> list[int]:
        steps = {placed.place: placed.step for placed in row}
        return [steps.get(place, -1) for place in range(len(self.sweeps))]

    def _zips(self) -> list[tuple[str, ...]]:
        """The keys of each `--zip`."""
        swept = {s.key for s in self.sweeps if s.swept}
        seen: set[str] = set()
        zips = []
        for text in self.options.zip:
            keys = tuple(key.strip().lstrip("+~") for key in text.split(","))
            if len(keys) < 2 or not all(keys):
                raise ConfigError(f"--zip {text}: it takes keys with commas between, such as seed,dataset.split_seed")
            for key in keys:
                if key not in swept:
                    given = any(s.key == key for s in self.sweeps)
                    way = "give it several values" if given or not swept else suggest(key, swept)
                    raise ConfigError(f"--zip {text}: {key} has no values to move through; {way}")
                if key in seen:
                    raise ConfigError(f"--zip {text}: {key} is named twice, and can move with one group of keys only")
                if any(s.key == key and s.interval for s in self.sweeps):
                    raise ConfigError(f"--zip {text}: {key} is an interval; all intervals are drawn together anyway")
                seen.add(key)
            self._check_axes(text, keys)
            zips.append(keys)
        return zips

    def _check_axes(self, text: str, keys: Sequence[str]) -> None:
        """Refuse axes that move with a key that some choice has values of its own of: it would move with no other."""
        axis = next((key for key in keys if key in self.groups), None)
        own = next((s for s in self.sweeps if s.scope and s.key in keys), None)
        if axis and own:
            n = next(len(s.settings) for s in self.sweeps if s.key == axis)
            raise ConfigError(
                f"--zip {text}: {own.text} is for {own.scope} only and goes with it anyway: leave {own.key} out of the "
                f"--zip, or give {own.key}=... without @, {n} values that move with those of {axis}"
            )

    def _check(self) -> None:
        """Refuse scoped axes, intervals without a budget and a budget without intervals."""
        for sweep in self.sweeps:
            if sweep.scope and sweep.key in self.groups:
                raise ConfigError(
                    f"{sweep.text}: {sweep.key} is an axis and stands for itself: --zip or --skip says which choices "
                    "go together"
                )
            if sweep.interval and self.options.draws is None:
                raise ConfigError(
                    f"{sweep.text}: an interval has no finite set of values: --draws N, of sweep and compare, takes N "
                    "points of it; or use range(...), logspace(...) or a list"
                )
        if self.options.draws is not None and not any(s.interval for s in self.sweeps):
            raise ConfigError(
                f"--draws {self.options.draws}: no key has an interval to draw from, such as "
                "'optimizer.lr=tag(log,interval(1e-4,1e-1))'"
            )

    def _coordinates(self, held: Sequence[AbstractSet[int]]) -> dict[str, int]:
        """Which coordinate of the drawn points a key is given, the same in every run; keys that never meet may share.

        Args:
            held: By run the places of the overrides that hold for it.
        """
        met = {frozenset(self.sweeps[i].key for i in holding if self.sweeps[i].interval) for holding in held}
        found: dict[str, int] = {}
        for key in dict.fromkeys(s.key for s in self.sweeps if s.interval):
            taken = {found[other] for keys in met if key in keys for other in keys & found.keys()}
            found[key] = next(i for i in itertools.count() if i not in taken)
        return found

    def _drawn(
        self, sweeps: Sequence[tuple[int, Sweep]], base: Mapping[str, Any], dimensions: Mapping[str, int]
    ) -> list[list[Row]]:
        """The points of the intervals that hold for a run, as one dimension; none where there is no interval."""
        intervals = [s.interval for _, s in sweeps if s.interval]
        if not intervals or self.options.draws is None:
            return []
        whole = [_is_whole(base, s.key) for _, s in sweeps]
        search, seed = self.options.search or Search.HALTON, self.options.search_seed or 0
        points = drawn(intervals, whole, self.options.draws, search, seed, [dimensions[s.key] for _, s in sweeps])
        return [
            [
                tuple(Placed(i, step, _at(s, value)) for (i, s), value in zip(sweeps, point, strict=True))
                for step, point in enumerate(points)
            ]
        ]


def _dimensions(sweeps: Sequence[tuple[int, Sweep]], zips: Sequence[Sequence[str]]) -> list[list[Row]]:
    """What moves on its own: an override, or those that are zipped.

    Raises:
        ConfigError: some that are zipped have unequal numbers of values.
    """
    dimensions = []
    for keys in zips:
        together = [(i, s) for i, s in sweeps if s.key in keys]
        sizes = {s.key: len(s.settings) for _, s in together}
        if len({*sizes.values()}) > 1:
            told = ", ".join(f"{key} {count(n, 'value')}" for key, n in sizes.items())
            raise ConfigError(f"--zip {','.join(keys)}: they move together and need as many values each: {told}")
        if together:
            dimensions.append([_joined(rows) for rows in zip(*map(_rows, together), strict=True)])
    zipped = {key for keys in zips for key in keys}
    return dimensions + [_rows(one) for one in sweeps if one[1].key not in zipped]


def _rows(numbered: tuple[int, Sweep]) -> list[Row]:
    place, sweep = numbered
    return [(Placed(place, step, setting),) for step, setting in enumerate(sweep.settings)]


def _joined(rows: Sequence[Row]) -> Row:
    return tuple(sorted(itertools.chain(*rows)))


def _is_whole(base: Mapping[str, Any], key: str) -> bool:
    """Whether a key's default is a whole number."""
    value: Any = base
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return isinstance(value, int) and not isinstance(value, bool)


def _at(sweep: Sweep, value: float) -> Setting:
    setting = sweep.settings[0]
    return replace(setting, value=value, text=f"{sweep.text.partition('=')[0]}={value}")
