"""Reproduce a paper: the grids of conf/reproduce/PAPER.yaml, trained as one sweep, then its tables and claims.

A paper's file is a recipe. It names its scales; each has overrides that all runs share, and grids of runs with the
labels that the paper's tables need:

    gpu:
      common: [dataset=cifar100, train.epochs=30, "seed=range(0,3)"]
      grids:
        - labels: {case: i, schedule: cosine}
          overrides: [lr_schedule=cosine]

A scale states what differs from the one it builds on: its `common` replaces the other's key by key, everything else is
replaced as a whole. `only` keeps the grids with one of these values of a label:

    paper: {from: gpu, common: [train.epochs=300]}
    laptop: {from: gpu, common: [dataset=digits], only: {schedule: [constant, cosine]}}

`settings` repeat all grids, each with labels, overrides and perhaps further grids or settings of its own:

      settings:
        - labels: {experiment: CNN}
          overrides: [model=cnn_mnist]

`shares: [1/4, 1.1]`, of a setting or grid, are its learning rates in shares of a stability limit, and label each run
with its `share`: lr = share x limit / curvature, to six digits, where the limit is the published `stability_limit` of
the label `scheme`, and `curvature` is a label. Rates that were first rounded at another curvature, and then carried
over, come out the same with `rounded_at`, that curvature.

`prefer: [mnist, digits]` takes the first data set that is at hand for all grids; a grid or setting with `needs: w8a`,
a data set or a file in the data root, is left out where that one is not, which is said; one with `unless: a9a` where
that one is. Nothing is downloaded unasked. The runs of one seed come before those of the next, so that a comparison is
whole early; those labelled `tuning: true`, which choose a learning rate for the others and are judged in nothing, come
before all (`tuning: [0, 1]`, of a scale, labels these seeds). A scale that is a text instead of grids is not
there, and the text says why. `measure: package.module.function` is called with a way to build each of the paper's
optimizers, once for a folder of runs, and what it returns is kept there for the paper's module to show.
`deviations`, of a scale, are texts of a line: how it differs from what was published, shown under its tables.
`max_seeds: 12`, of a scale: its seeds are added in looks of up to 12, as with `--until-decided`.
`apart: true` trains each run in a process of its own unless `--fuse` says otherwise: its claims are about time, of
which runs that train together have a share. `smallest: [0.5, 5%]` are the smallest effects of interest where
seeds are added until claims are decided: of differences, in the unit that a metric is shown in, and of ratios.
`judged: chosen` has only those runs judged that a
claim compares, once what chooses is over, each in a process of its own (`runner.chosen`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any

import yaml

from batchlab.datasets import available
from batchlab.datasets.files import own_places
from batchlab.results.compare.smallest import Smallest
from batchlab.results.papers.literature import published
from batchlab.results.papers.scale import Scale
from batchlab.runner.plan.build import build, locate
from batchlab.runner.plan.conf.files import PACKAGED
from batchlab.runner.plan.config import Bases, Planned, compose
from batchlab.runner.plan.overrides import suggest
from batchlab.runner.plan.schema import ConfigError, Node
from batchlab.runner.plan.seeds import tunes


@dataclass(frozen=True)
class PaperPlan:
    """A paper at a scale: what is to be trained."""

    paper: str
    scale: str
    plans: list[Planned]
    survey: str = ""
    """Dotted path of what its file asks to be measured apart from the runs."""
    smallest: Smallest = field(default_factory=Smallest)
    """The smallest effects of interest, where seeds are added until claims are decided."""
    deviations: Sequence[str] = ()
    """How its settings differ from the published ones, a line each."""
    max_seeds: int | None = None
    """Its seeds are added in looks of up to so many; None: the recipe's own are trained, unless looks are asked for."""
    lacking: list[str] = field(default_factory=list)
    """Data sets and files that are not at hand, and whose runs are therefore left out."""
    chosen: bool = False
    """Whether only what claims compare is judged, each run in a process of its own."""
    apart: bool = False
    """Whether each run trains in a process of its own where the user does not say how many train together."""

    def measure(self) -> dict[str, Any]:
        """Call the survey with every optimizer of the plan.

        Returns:
            What the survey returns. It gets, by the optimizers' names, functions of (parameters, learning rate).
        """
        nodes = {planned.tree["optimizer"]["name"]: planned.tree["optimizer"] for planned in self.plans}
        measured: dict[str, Any] = locate({"name": self.paper, "_target_": self.survey}, "measure")(
            {name: partial(_at_rate, node) for name, node in nodes.items()}
        )
        return measured

    @property
    def sweep(self) -> str:
        """The name of its sweep."""
        return f"{self.paper}-{self.scale}"


@dataclass(frozen=True)
class _Grid:
    """What a grid asks for, with all that the settings and the scale around it ask for."""

    overrides: list[str] = field(default_factory=list)
    labels: dict[str, Any] = field(default_factory=dict)
    shares: list[Any] = field(default_factory=list)
    rounded_at: float | None = None


def recipes() -> list[str]:
    """The papers that have a recipe, and so can be trained again."""
    return sorted(path.stem for path in (PACKAGED / "reproduce").glob("*.yaml"))


def absent(paper: str, scale: str) -> str:
    """Why a paper does not have a scale; empty where it has."""
    content = _content(paper)
    if scale not in content:
        return f"{paper} has {', '.join(s for s in Scale if s in content)}"
    return content[scale] if isinstance(content[scale], str) else ""


def check_there(paper: str, scale: str) -> None:
    """See that a paper can be trained at a scale.

    Raises:
        ConfigError: it is unknown, or has no such scale.
    """
    if paper not in recipes():
        raise ConfigError(f"no paper {paper!r} to reproduce; {suggest(paper, recipes())}")
    if why := absent(paper, scale):
        raise ConfigError(f"--scale {scale}: {why}")


def plan(paper: str, scale: str) -> PaperPlan:
    """Compose every run of a paper at a scale.

    Raises:
        ConfigError: on an unknown paper or scale, or a grid that does not compose.
    """
    check_there(paper, scale)
    content = _content(paper)
    smallest = Smallest.parse(content.get("smallest", []))
    part = whole(content, scale)
    return PaperPlan(
        paper,
        scale,
        plans_of(part, paper),
        content.get("measure", ""),
        smallest,
        deviations=[f"{scale} scale: {line}" for line in part.get("deviations", [])],
        max_seeds=part.get("max_seeds"),
        lacking=list(dict.fromkeys(_lacking(part, _ready()))),
        chosen=content.get("judged") == "chosen",
        apart=bool(content.get("apart")),
    )


def whole(content: Mapping[str, Any], scale: str) -> dict[str, Any]:
    """A scale of a recipe with all that it takes over from the scale it builds on.

    Args:
        content: the recipe.
        scale: one of its scales that is there.
    """
    own = dict(content[scale])
    if "from" not in own:
        return own
    base = whole(content, own.pop("from"))
    return base | own | {"common": merge(base.get("common", []), own.get("common", []))}


def plans_of(chosen: Mapping[str, Any], paper: str) -> list[Planned]:
    """The runs of one scale's grids, seed by seed after those that tune.

    Where two grids ask for the same run, the first one's labels stay.

    Args:
        chosen: the scale, whole.
        paper: whose it is.

    Raises:
        ConfigError: naming the grid that does not compose.
    """
    ready = _ready()
    common = list(chosen.get("common", []))
    if "prefer" in chosen:
        common.append(f"dataset={next((name for name in chosen['prefer'] if name in ready), chosen['prefer'][-1])}")
    only = chosen.get("only", {})
    bases: Bases = {}
    runs: dict[str, Planned] = {}
    for grid in _grids({**chosen, "overrides": common}, ready):
        if any(grid.labels.get(key) not in kept for key, kept in only.items()):
            continue
        try:
            for planned in _runs(grid, paper, bases):
                tuning = {"tuning": True} if planned.tree["seed"] in chosen.get("tuning", []) else {}
                runs.setdefault(planned.run_id, replace(planned, labels=planned.labels | tuning))
        except ConfigError as error:
            raise ConfigError(f"{paper}, grid {grid.labels}: {error}") from error
    return sorted(runs.values(), key=lambda p: (not tunes(p), int(p.tree["seed"])))


def _ready() -> set[str]:
    """Names of the data sets that are at hand."""
    return {entry.name for entry in available() if entry.ready}


def _at_hand(part: Mapping[str, Any], ready: AbstractSet[str]) -> bool:
    """Whether the data set or the file that a grid or setting needs is there."""
    needs = part.get("needs", "")
    return needs in {"", *ready} or any(place.is_file() for place in own_places(needs, None))


def _lacking(part: Mapping[str, Any], ready: AbstractSet[str]) -> Iterator[str]:
    """What is needed in a scale and is not there."""
    if not _at_hand(part, ready):
        yield str(part["needs"])
        return
    for inner in [*part.get("settings", []), *part.get("grids", [])]:
        yield from _lacking(inner, ready)


def _grids(
    part: Mapping[str, Any], ready: AbstractSet[str], above: _Grid | None = None, repeated: Sequence[Any] = ()
) -> Iterator[_Grid]:
    """The grids of a scale, or of a setting in it; `repeated` are the grids of the settings around it."""
    if not _at_hand(part, ready) or part.get("unless") in ready:
        return
    above = above or _Grid()
    here = _Grid(
        merge(above.overrides, part.get("overrides", [])),
        above.labels | part.get("labels", {}),
        part.get("shares", above.shares),
        part.get("rounded_at", above.rounded_at),
    )
    repeated = [*repeated, *part.get("grids", [])]
    if "settings" in part:
        for setting in part["settings"]:
            yield from _grids(setting, ready, here, repeated)
    elif repeated:
        for grid in repeated:
            yield from _grids(grid, ready, here)
    else:
        yield here


def _runs(grid: _Grid, paper: str, bases: Bases) -> Iterator[Planned]:
    """The runs of a grid, those at a share of a limit labelled with it."""
    if not grid.shares:
        yield from compose(grid.overrides, grid.labels, bases)
        return
    shares = _shares(grid, paper)
    rates = ",".join(f"{rate:g}" for rate in shares)
    for planned in compose(merge(grid.overrides, [f"optimizer.lr={rates}"]), grid.labels, bases):
        yield replace(planned, labels=planned.labels | {"share": shares[planned.tree["optimizer"]["lr"]]})


def _shares(grid: _Grid, paper: str) -> dict[float, float]:
    """Learning rate, of six digits -> its share of the limit of the grid's scheme."""
    limits = {row.method: row.value for row in published(paper) if row.metric == "stability_limit"}
    limit, curvature = limits[grid.labels["scheme"]], grid.labels["curvature"]
    first = grid.rounded_at or curvature
    shares = [float(Fraction(str(share))) for share in grid.shares]
    return {_six_digits(_six_digits(share * limit / first) * first / curvature): share for share in shares}


def merge(common: Sequence[str], own: Sequence[str]) -> list[str]:
    """The common overrides without those whose keys are overridden again, then a grid's own."""
    keys = {text.split("=", 1)[0] for text in own}
    return [text for text in common if text.split("=", 1)[0] not in keys] + list(own)


def _content(paper: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PACKAGED / "reproduce" / f"{paper}.yaml").read_bytes())
    return content


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def _at_rate(node: Node, parameters: object, lr: float) -> Any:
    return build(node | {"lr": lr}, "optimizer", parameters)
