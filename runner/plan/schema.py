"""The frozen configuration of one run, as typed objects that check themselves. Neither Hydra nor torch is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from batchlab.results.axes import CHOICES
from batchlab.results.legacy import upgraded

Node = dict[str, Any]
"""A group's choice: its name, `_target_`, and the keyword arguments of the target."""


class ConfigError(ValueError):
    """A request that cannot be run. The message names the cause and the override that mends it."""


def check_choice(key: str, value: object, offered: Sequence[str]) -> None:
    """ConfigError unless the value is one of those offered."""
    if value not in offered:
        raise ConfigError(f"{key}={value}: choose {', '.join(offered[:-1])} or {offered[-1]}")


def check_least(key: str, value: float, least: int) -> None:
    """ConfigError unless the number is at least so much."""
    if not value >= least:
        raise ConfigError(f"{key}={value} must be at least {least}")


def check_positive(key: str, value: float) -> None:
    """ConfigError unless the number is positive and finite."""
    if not 0 < value < math.inf:
        raise ConfigError(f"{key}={value} must be positive")


@dataclass(frozen=True)
class TrainOptions:
    """The `train` block; conf/config.yaml says what each key means.

    Raises:
        ConfigError: a value that makes no sense.
    """

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

    def __post_init__(self) -> None:
        check_choice("train.loss", self.loss, ("cross_entropy", "mse", "squared_hinge"))
        check_choice("train.decay", self.decay, ("all", "weights"))
        check_choice("train.device", self.device, ("auto", "cpu", "cuda"))
        check_choice("train.precision", self.precision, ("float32", "float64", "bfloat16"))
        check_least("train.micro_batch", self.micro_batch, 1)
        check_least("train.groups", self.groups, 1)
        check_positive("train.epochs", self.epochs)
        if self.samples is not None and (type(self.samples) is not int or self.samples < 1):
            raise ConfigError(f"train.samples={self.samples} must be a whole number of samples, at least 1")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"train.label_smoothing={self.label_smoothing} must be in [0, 1)")

    def total_samples(self, epoch_size: int) -> int:
        """The budget in samples for a training set of `epoch_size`."""
        return self.samples if self.samples is not None else round(self.epochs * epoch_size)


@dataclass(frozen=True)
class LogOptions:
    """The `log` block; conf/config.yaml says what each key means.

    Raises:
        ConfigError: a value that makes no sense.
    """

    evaluate_every: float = 1.0
    steps: bool = False

    def __post_init__(self) -> None:
        check_positive("log.evaluate_every", self.evaluate_every)


@dataclass(frozen=True)
class RunConfig:
    """Everything that one run needs to know.

    Raises:
        ConfigError: a value that makes no sense.
    """

    optimizer: Node
    lr_schedule: Node
    batch_schedule: Node
    model: Node
    dataset: Node
    measure: dict[str, Node]
    """Name -> node of each measure."""
    executor: Node
    seed: int
    nproc: int
    train: TrainOptions
    log: LogOptions
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys that a user added at the top level (`+note=...`): recorded, not interpreted."""

    def __post_init__(self) -> None:
        check_least("nproc", self.nproc, 1)
        check_least("seed", self.seed, 0)

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> RunConfig:
        """From the resolved configuration as a plain tree.

        Raises:
            ConfigError: a key of `train` or `log` that there is not, or a value that makes no sense.
        """
        known = {k: tree[k] for k in (*CHOICES, "measure", "executor", "seed", "nproc")}
        extra = {k: v for k, v in tree.items() if k not in known and k not in ("train", "log")}
        train, log = (_block(kind, key, tree[key]) for kind, key in ((TrainOptions, "train"), (LogOptions, "log")))
        return cls(**known, train=train, log=log, extra=extra)

    @classmethod
    def load(cls, path: Path) -> RunConfig:
        """From a run's frozen config.yaml."""
        return cls.of(read_tree(path))


def _block(kind: Any, key: str, block: Mapping[str, Any]) -> Any:
    unknown = block.keys() - {f.name for f in fields(kind)}
    if unknown:
        raise ConfigError(f"{key}.{min(unknown)}: there is no such key")
    return kind(**block)


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
    return upgraded(tree)


def axes_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The axis columns of a run: the name of each choice, and the seed."""
    return {axis: tree[axis]["name"] for axis in CHOICES} | {"seed": tree["seed"]}
