"""Reproduce a paper: the grids of conf/reproduce/PAPER.yaml, trained as one sweep, then its tables and claims.

A paper's file names its scales; each has overrides that all runs share, and grids of runs with the labels that its
tables need:

    laptop:
      common: [dataset=digits, "seed=range(0,3)"]
      grids:
        - labels: {case: i, schedule: cosine}
          overrides: [lr_schedule=cosine]

`settings` repeat all grids, each with labels, overrides and perhaps further grids of its own:

      settings:
        - labels: {experiment: CNN}
          overrides: [model=cnn_mnist]

`prefer: [mnist, digits]` takes the first data set that is at hand for all grids; a grid or setting with `needs: w8a` is
left out where that one is not, one with `unless: a9a` where that one is. Nothing is downloaded unasked. The runs of one
seed come before those of the next, so that a comparison is whole early. A scale that is a text instead of grids is not
there, and the text says why. `measure: package.module.function` is called with a way to build each of the paper's
optimizers, once for a folder of runs, and what it returns is kept there for the paper's module to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml

from batchlab.datasets import available
from batchlab.results.papers.reproduction import SCALES
from batchlab.runner.plan.build import build, locate
from batchlab.runner.plan.config import PACKAGED, Bases, Planned, compose
from batchlab.runner.plan.overrides import suggest
from batchlab.runner.plan.schema import ConfigError, Node


@dataclass(frozen=True)
class PaperPlan:
    """A paper at a scale: what is to be trained."""

    paper: str
    scale: str
    plans: list[Planned]
    survey: str = ""
    """Dotted path of what its file asks to be measured apart from the runs."""

    def measure(self) -> dict[str, Any]:
        """Call it with every optimizer of the plan, each as a function of (parameters, learning rate)."""
        nodes = {planned.tree["optimizer"]["name"]: planned.tree["optimizer"] for planned in self.plans}
        measured: dict[str, Any] = locate({"name": self.paper, "_target_": self.survey}, "measure")(
            {name: partial(_at_rate, node) for name, node in nodes.items()}
        )
        return measured

    @property
    def sweep(self) -> str:
        """The name of its sweep."""
        return f"{self.paper}-{self.scale}"


def papers() -> list[str]:
    """The papers that can be reproduced."""
    return sorted(path.stem for path in (PACKAGED / "reproduce").glob("*.yaml"))


def absent(paper: str, scale: str) -> str:
    """Why a paper does not have a scale; empty where it has."""
    content = _content(paper)
    if scale not in content:
        return f"{paper} has {', '.join(s for s in SCALES if s in content)}"
    return content[scale] if isinstance(content[scale], str) else ""


def plan(paper: str, scale: str) -> PaperPlan:
    """Compose every run of a paper at a scale.

    Raises:
        ConfigError: on an unknown paper or scale, or a grid that does not compose.
    """
    if paper not in papers():
        raise ConfigError(f"no paper {paper!r} to reproduce; {suggest(paper, papers())}")
    if why := absent(paper, scale):
        raise ConfigError(f"--scale {scale}: {why}")
    content = _content(paper)
    return PaperPlan(paper, scale, plans_of(content[scale], paper), content.get("measure", ""))


def plans_of(chosen: Mapping[str, Any], paper: str) -> list[Planned]:
    """The runs of one scale's grids; where two grids ask for the same run, the first one's labels stay."""
    ready = {entry.name for entry in available() if entry.ready}
    common = list(chosen.get("common", []))
    if "prefer" in chosen:
        common.append(f"dataset={next((name for name in chosen['prefer'] if name in ready), chosen['prefer'][-1])}")
    runs: dict[str, Planned] = {}

    def wanted(part: Mapping[str, Any]) -> bool:
        return part.get("needs", "") in ready | {""} and part.get("unless") not in ready

    grids = [
        (merge(common, setting.get("overrides", [])), setting.get("labels", {}), grid)
        for setting in filter(wanted, chosen.get("settings", [{}]))
        for grid in filter(wanted, [*chosen.get("grids", []), *setting.get("grids", [])])
    ]
    bases: Bases = {}
    for shared, names, grid in grids:
        labels = names | grid["labels"]
        try:
            for planned in compose(merge(shared, grid.get("overrides", [])), labels, bases):
                runs.setdefault(planned.run_id, planned)
        except ConfigError as error:
            raise ConfigError(f"{paper}, grid {labels}: {error}") from error
    return sorted(runs.values(), key=lambda planned: int(planned.tree["seed"]))


def merge(common: Sequence[str], own: Sequence[str]) -> list[str]:
    """A grid's overrides after the common ones, which they replace key by key."""
    keys = {text.split("=", 1)[0] for text in own}
    return [text for text in common if text.split("=", 1)[0] not in keys] + list(own)


def _content(paper: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PACKAGED / "reproduce" / f"{paper}.yaml").read_text())
    return content


def _at_rate(node: Node, parameters: object, lr: float) -> Any:
    return build(node | {"lr": lr}, "optimizer", parameters)
