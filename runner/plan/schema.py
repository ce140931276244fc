"""The frozen configuration of one run, as typed objects that check themselves. Neither Hydra nor torch is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from batchlab.results.axes import CHOICES
from batchlab.results.legacy import upgraded
from batchlab.results.store.yaml_file import read_yaml
from batchlab.runner.plan.checks import (
    KINDS,
    Block,
    check_choice,
    check_kind,
    check_least,
    check_positive,
    kinds,
)
from batchlab.runner.plan.checks import ConfigError as ConfigError
from batchlab.runner.plan.identity import run_id

SEEDS = 2**63 - 1
"""The last seed: what a column of whole numbers holds, and every generator of random numbers takes."""

LOSSES = ("cross_entropy", "mse", "squared_hinge")
"""Losses that `train.loss` names by a word."""

AUTO = "auto"
"""The `train.micro_batch` that is found out."""
TUNED = "tuned"
"""The `optimizer.step_size` of a solver that is found before the run begins, by the rule of `finite_sum.tune`."""

Node = dict[str, Any]
"""A group's choice: its name, `_target_`, and the keyword arguments of the target."""


@dataclass(frozen=True)
class TrainOptions(Block):
    """The `train` block; conf/config.yaml says what each key means.

    Raises:
        ConfigError: a value that makes no sense.
    """

    epochs: float = 10
    samples: int | None = None
    micro_batch: Any = 512
    """A number, or `auto`; see train/fitting.py."""
    groups: int = 1
    loss: Any = "cross_entropy"
    """A word, the path of a loss of the user's own, or a block of `_target_` and its arguments; see plan/loss.py."""
    label_smoothing: float = 0.0
    decay: str = "all"
    device: str = "auto"
    precision: str = "float32"
    channels_last: bool = False
    compile: bool = False
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        self.check_kinds("train")
        self._check_loss()
        check_choice("train.decay", self.decay, ("all", "weights"))
        check_choice("train.device", self.device, ("auto", "cpu", "cuda"))
        check_choice("train.precision", self.precision, ("float32", "float64", "bfloat16"))
        self._check_micro_batch()
        check_least("train.groups", self.groups, 1)
        check_positive("train.epochs", self.epochs)
        if self.samples is not None:
            check_least("train.samples", self.samples, 1, most=self.samples)  # see `total_samples`
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"train.label_smoothing={self.label_smoothing} must be in [0, 1)")
        if not 0 <= self.checkpoint_seconds < math.inf:
            raise ConfigError(f"train.checkpoint_seconds={self.checkpoint_seconds} must be at least 0, and finite")

    def _check_micro_batch(self) -> None:
        if isinstance(self.micro_batch, str):
            if self.micro_batch != AUTO:
                raise ConfigError(f"train.micro_batch={self.micro_batch}: choose a whole number or {AUTO}")
        else:
            object.__setattr__(self, "micro_batch", check_least("train.micro_batch", self.micro_batch, 1))

    def _check_loss(self) -> None:
        if not isinstance(self.loss, dict):
            if "." not in check_kind("train.loss", self.loss, str):
                check_choice("train.loss", self.loss, LOSSES, ", or the dotted path of your own")
                return
        elif "." not in str(self.loss.get("_target_")):
            raise ConfigError(f"train.loss={self.loss}: of a loss of your own `_target_` must be its dotted path")
        if self.label_smoothing:
            raise ConfigError(
                f"train.label_smoothing={self.label_smoothing} is of train.loss=cross_entropy: a loss of your own does "
                "not know of it"
            )

    @property
    def budget(self) -> str:
        """The key that says how long to train: `samples` overrides `epochs`, which then has no effect."""
        return "train.epochs" if self.samples is None else "train.samples"

    def total_samples(self, epoch_size: int) -> int:
        """The budget in samples for a training set of `epoch_size`.

        Raises:
            ConfigError: it is none, or more than can be counted.
        """
        samples = self.epochs * epoch_size if self.samples is None else self.samples
        if not samples < 2**63:
            raise ConfigError(f"{self.budget}: a budget of {samples:.3g} samples is beyond all counting: lower it")
        if round(samples) < 1:
            raise ConfigError(f"train.epochs={self.epochs} is less than one sample: raise it")
        return round(samples)

    def lasting(self, samples: int, epoch_size: int) -> str:
        """The override that makes the budget so many samples at least."""
        if self.samples is not None:
            return f"train.samples={samples}"
        return f"train.epochs={math.ceil(1e4 * samples / epoch_size) / 1e4}"


@dataclass(frozen=True)
class LogOptions(Block):
    """The `log` block; conf/config.yaml says what each key means.

    Raises:
        ConfigError: a value that makes no sense.
    """

    evaluate_every: float = 1.0
    evaluations: int | None = None
    steps: bool = False

    def __post_init__(self) -> None:
        self.check_kinds("log")
        check_positive("log.evaluate_every", self.evaluate_every)
        if self.evaluations is not None:
            check_least("log.evaluations", self.evaluations, 1)


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
    callback: dict[str, Node]
    """Name -> node of each callback."""
    executor: Node
    seed: int
    nproc: int
    train: TrainOptions
    log: LogOptions
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys that a user added at the top level (`+note=...`): recorded, not interpreted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "nproc", check_least("nproc", self.nproc, 1))
        object.__setattr__(self, "seed", check_seed(self.seed))

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> RunConfig:
        """From the resolved configuration as a plain tree.

        Raises:
            ConfigError: a key of `train` or `log` that there is not, or a value that makes no sense.
        """
        known = {k: tree[k] for k in (*CHOICES, "measure", "executor", "seed", "nproc")}
        known["callback"] = tree.get("callback", {})  # a configuration frozen by batchlab 0.1 has none
        extra = {k: v for k, v in tree.items() if k not in known and k not in ("train", "log")}
        train, log = (_block(kind, key, tree[key]) for kind, key in ((TrainOptions, "train"), (LogOptions, "log")))
        return cls(**known, train=train, log=log, extra=extra)

    @classmethod
    def load(cls, path: Path) -> RunConfig:
        """From a run's frozen config.yaml."""
        return cls.of(read_tree(path))


def check_seed(seed: Any) -> int:
    """A run's seed.

    Raises:
        ConfigError: it is none.
    """
    return check_least("seed", seed, 0, SEEDS)


def declared(key: str) -> type | None:
    """The type of a key of the `train` or the `log` block, None of any other."""
    block, _, name = key.partition(".")
    kind, _ = kinds({"train": TrainOptions, "log": LogOptions}.get(block, Block)).get(name, (None, False))
    return kind if kind in KINDS else None


def _block(kind: Any, key: str, block: object) -> Any:
    if not isinstance(block, Mapping):
        raise ConfigError(f"{key} must be a block of keys, got {block!r}")
    unknown = block.keys() - {f.name for f in fields(kind)}
    if unknown:
        raise ConfigError(f"{key}.{min(map(str, unknown))}: there is no such key")
    return kind(**block)


def read_tree(path: Path) -> dict[str, Any]:
    """The configuration tree of a frozen config.yaml.

    The run's identity, which is the name of its folder, is that of what it holds: a digest of all that can change a
    number, the same from version to version.

    Raises:
        ConfigError: when the file is missing, damaged or another run's.
    """
    try:
        tree = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): delete its folder and sweep again") from error
    except ValueError as error:
        raise ConfigError(f"{error}: delete its folder and sweep again") from error
    if not isinstance(tree, dict) or not {*CHOICES, "executor", "seed", "nproc", "train", "log"} <= tree.keys():
        raise ConfigError(f"{path} is not a whole configuration: delete its folder and sweep again")
    if (found := _identity(tree)) != path.parent.name:
        raise ConfigError(
            f"{path} is not what was frozen: it is that of run {found or '?'}; the same sweep command writes it anew"
        )
    return upgraded(tree)


def _identity(tree: dict[str, Any]) -> str:
    """The run that a tree is of; empty for one that has none."""
    try:
        return run_id(tree)
    except (TypeError, ValueError):  # a date, say: JSON has none
        return ""


def axes_of(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The axis columns of a run: the name of each choice, and the seed."""
    return {axis: tree[axis]["name"] for axis in CHOICES} | {"seed": tree["seed"]}
