"""The frozen configuration of one run, as typed objects. Neither Hydra nor torch is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from batchlab.results.axes import CHOICES

Node = dict[str, Any]
"""A group's choice: its name, `_target_`, and the keyword arguments of the target."""


class ConfigError(ValueError):
    """A request that cannot be run. The message names the cause and the override that mends it."""


@dataclass(frozen=True)
class TrainOptions:
    """The `train` block; conf/config.yaml says what each key means."""

    epochs: float = 10
    samples: int | None = None
    micro_batch: int = 512
    groups: int = 1
    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    decay: str = "all"
    device: str = "auto"
    precision: str = "float32"
    channels_last: bool = False
    compile: bool = False
    checkpoint_seconds: float = 60.0

    def total_samples(self, epoch_size: int) -> int:
        """The budget in samples for a training set of `epoch_size`."""
        return self.samples if self.samples is not None else round(self.epochs * epoch_size)


@dataclass(frozen=True)
class LogOptions:
    """The `log` block; conf/config.yaml says what each key means."""

    evaluate_every: float = 1.0
    steps: bool = False
    train_accuracy: bool = False
    batchnorm_reestimated: bool = False
    full_gradient_norm: bool = False
    full_gradient_norm_paper: bool = False
    gsnr: bool = False
    parameters: bool = False


@dataclass(frozen=True)
class RunConfig:
    """Everything that one run needs to know."""

    optimizer: Node
    lr_schedule: Node
    batch_schedule: Node
    model: Node
    dataset: Node
    executor: Node
    seed: int
    nproc: int
    train: TrainOptions
    log: LogOptions
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys that a user added at the top level (`+note=...`): recorded, not interpreted."""

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> RunConfig:
        """From the resolved configuration as a plain tree."""
        known = {k: tree[k] for k in (*CHOICES, "executor", "seed", "nproc")}
        extra = {k: v for k, v in tree.items() if k not in known and k not in ("train", "log")}
        return cls(**known, train=TrainOptions(**tree["train"]), log=LogOptions(**tree["log"]), extra=extra)

    @classmethod
    def load(cls, path: Path) -> RunConfig:
        """From a run's frozen config.yaml."""
        return cls.of(read_tree(path))


def read_tree(path: Path) -> dict[str, Any]:
    """The configuration tree of a frozen config.yaml.

    Raises:
        ConfigError: when the file is missing or damaged.
    """
    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({type(error).__name__}): delete its folder and sweep again"
        ) from error
    if not isinstance(tree, dict) or not {*CHOICES, "executor", "seed", "nproc", "train", "log"} <= tree.keys():
        raise ConfigError(f"{path} is not a whole configuration: delete its folder and sweep again")
    return tree


def axes_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The axis columns of a run: the name of each choice, and the seed."""
    return {axis: tree[axis]["name"] for axis in CHOICES} | {"seed": tree["seed"]}
