"""BatchNorm and batches that come in parts: what it sees, and a warning where that is less than the batch.

A batch's gradient is exact at any size because each sample's loss weighs 1/b. BatchNorm in train mode breaks that: its
statistics are those of one forward pass, so that of a part they give another gradient than those of the whole.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

from torch import nn

from batchlab.datasets import largest_part
from batchlab.results.words import listing
from batchlab.runner.plan.schema import RunConfig

FEW = 3
"""Sizes that are listed one by one."""


def has_batchnorm(model: nn.Module) -> bool:
    """Whether a layer ties the samples of a forward pass together."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def tied(model: nn.Module, *, grouped: bool) -> str:
    """Why other micro-batches would give other numbers than by rounding; empty where nothing says so.

    Args:
        model: of the run. What it draws at random in its own code does not show here.
        grouped: gradient noise is measured between micro-batches.
    """
    if has_batchnorm(model):
        return "BatchNorm sees a micro-batch"
    if grouped:
        return "noise is measured between micro-batches"
    if any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in model.modules()):
        return "random numbers are drawn for each micro-batch"
    return ""


def part_of(config: RunConfig, size: int) -> int:
    """Samples of a batch that one forward pass sees, at most.

    Args:
        config: of the run.
        size: of the global batch.
    """
    options, world = config.train, config.nproc
    return largest_part(size, groups=-(-options.groups // world), world_size=world, micro_batch=options.micro_batch)


class Parts:
    """Collects the runs in which BatchNorm sees parts of a batch, and warns once per model."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], _Found] = {}

    def note(self, config: RunConfig, largest: int, *, grouped: bool) -> None:
        """Look at a run whose model has BatchNorm.

        Args:
            config: of the run.
            largest: samples of its largest batch.
            grouped: gradient noise is measured between the groups, so that there must be some.
        """
        part = part_of(config, largest)
        if part == largest:
            return
        norm = "model.norm=group" if "norm" in config.model else "a model without BatchNorm"
        found = self.found.setdefault((config.model["name"], norm), _Found())
        found.parts[largest] = min(part, found.parts.get(largest, part))
        found.grouped |= grouped
        options, world = config.train, config.nproc
        if world > 1:
            found.causes[f"nproc={world}"] = "nproc=1"
        if options.groups > world:
            found.causes[f"train.groups={options.groups}"] = "train.groups=1"
        if -(-largest // world) > options.micro_batch:
            found.causes[f"train.micro_batch={options.micro_batch}"] = f"train.micro_batch={max(found.parts)}"

    def warn(self) -> None:
        """One warning per model, with the sizes."""
        for (name, norm), found in self.found.items():
            seen = [f"{part:,} of {size:,}" for size, part in sorted(found.parts.items())]
            said = listing(seen) if len(seen) <= FEW else f"{seen[0]} to {seen[-1]}"
            whole = " ".join({key.split("=")[0]: key for key in found.causes.values()}.values())
            ways = norm if found.grouped else f"{whole} or {norm}"
            warnings.warn(
                f"model={name}: BatchNorm sees {said} samples at a time where the batch is largest "
                f"({listing([*found.causes])}): not the gradient of the whole batch, which takes {ways}",
                stacklevel=2,
            )


@dataclass
class _Found:
    """Of one model: the part of each largest batch, the settings that cut it and what they would have to be."""

    parts: dict[int, int] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)
    grouped: bool = False
