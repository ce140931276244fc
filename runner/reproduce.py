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

`prefer: [mnist, digits]` takes the first data set that is at hand for all grids; a grid with `needs: w8a` is left out
where that one is not. Nothing is downloaded unasked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from batchlab.datasets import available

from .config import PACKAGED, Planned, compose
from .overrides import suggest
from .schema import ConfigError

SCALES = ("laptop", "gpu", "paper")


@dataclass(frozen=True)
class PaperPlan:
    """A paper at a scale: what is to be trained."""

    paper: str
    scale: str
    plans: list[Planned]

    @property
    def sweep(self) -> str:
        """The name of its sweep."""
        return f"{self.paper}-{self.scale}"


def papers() -> list[str]:
    """The papers that can be reproduced."""
    return sorted(path.stem for path in (PACKAGED / "reproduce").glob("*.yaml"))


def plan(paper: str, scale: str) -> PaperPlan:
    """Compose every run of a paper at a scale.

    Raises:
        ConfigError: on an unknown paper or scale, or a grid that does not compose.
    """
    if paper not in papers():
        raise ConfigError(f"no paper {paper!r} to reproduce; {suggest(paper, papers())}")
    content = yaml.safe_load((PACKAGED / "reproduce" / f"{paper}.yaml").read_text())
    if scale not in content:
        raise ConfigError(f"--scale {scale}: {paper} has {', '.join(s for s in SCALES if s in content)}")
    return PaperPlan(paper, scale, plans_of(content[scale], paper))


def plans_of(chosen: Mapping[str, Any], paper: str) -> list[Planned]:
    """The runs of one scale's grids; where two grids ask for the same run, the first one's labels stay."""
    ready = {entry.name for entry in available() if entry.ready}
    common = list(chosen.get("common", []))
    if "prefer" in chosen:
        common.append(f"dataset={next((name for name in chosen['prefer'] if name in ready), chosen['prefer'][-1])}")
    runs: dict[str, Planned] = {}
    grids = [
        (merge(common, setting.get("overrides", [])), setting.get("labels", {}), grid)
        for setting in chosen.get("settings", [{}])
        for grid in [*chosen.get("grids", []), *setting.get("grids", [])]
    ]
    for shared, names, grid in grids:
        if grid.get("needs", "") not in ready | {""}:
            continue
        labels = names | grid["labels"]
        try:
            for planned in compose(merge(shared, grid.get("overrides", [])), labels):
                runs.setdefault(planned.run_id, planned)
        except ConfigError as error:
            raise ConfigError(f"{paper}, grid {labels}: {error}") from error
    return list(runs.values())


def merge(common: Sequence[str], own: Sequence[str]) -> list[str]:
    """A grid's overrides after the common ones, which they replace key by key."""
    keys = {text.split("=", 1)[0] for text in own}
    return [text for text in common if text.split("=", 1)[0] not in keys] + list(own)
