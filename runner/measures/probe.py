"""`Probe`: what measures are given. It looks at a run without leaving a trace.

Nothing here changes the model, its BatchNorm statistics, its gradients or any random state that training draws from.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from batchlab.datasets import Batches, Dataset, evaluation_batches
from batchlab.datasets.dataset import Split
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.moments import GradientMoments

EVALUATION_BATCH = 512
"""Samples in a forward pass of an evaluation; a fixed number, so that no figure depends on the training batch."""
KEPT_BYTES = 2**24
"""Of the batches of a split that stay from one evaluation to the next."""
Pair = tuple[Tensor, Tensor]


@dataclass
class Kept:
    """Batches of a split, and torch's count of what was written into each: a model may work in its input's place."""

    pairs: list[Pair] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)

    def add(self, pair: Pair) -> None:
        """Keep one that nobody has had yet."""
        self.pairs.append(pair)
        self.versions += [t._version for t in pair]

    @property
    def whole(self) -> bool:
        """Whether all are as they were made."""
        return self.versions == [t._version for pair in self.pairs for t in pair]


_kept: weakref.WeakKeyDictionary[Dataset, dict[Any, Kept]] = weakref.WeakKeyDictionary()
"""All of a process that evaluate on a data set share them."""

Known: TypeAlias = tuple[str, Split]


@dataclass
class Probe:
    """A run at one moment; every sample of a split is seen exactly once over all ranks.

    Attributes:
        model: as it is; not compiled, not wrapped.
        dataset: with its splits.
        criterion: (outputs (n, classes), targets (n,)) -> losses (n,), the loss that trains. Where a sample has several
            labels, (T,) for example, outputs are (n, T, classes) and targets (n, T).
        evaluation: the same without label smoothing, which is a way to train and no part of what is evaluated.
        forward: (model, inputs) -> outputs in the run's precision.
        stream: number -> the run's training data, augmented, in an order of its own; 0 is the one that trains.
        optimizer: the run's; its groups and state are not to be changed.
        moments: of the last step, where the run measures gradient noise.
        clock: samples and steps so far.
        batch_size: the schedule's at this moment, in samples.
        dtype: of inputs and outputs.
        rank, world_size: this process among those of the run.
        plain: whether `forward` is the model as it is, not under autocast.
        known: what was computed at this moment: of a split its "outputs" and targets, "predictions", "norm" and "sums".
        ahead: the same, computed for the moment that begins next.
    """

    model: nn.Module
    dataset: Dataset
    criterion: Callable[[Tensor, Tensor], Tensor]
    evaluation: Callable[[Tensor, Tensor], Tensor]
    forward: Callable[[nn.Module, Tensor], Tensor]
    stream: Callable[[int], Batches]
    optimizer: Optimizer
    moments: GradientMoments | None
    clock: Clock
    batch_size: int = 0
    dtype: torch.dtype = torch.float32
    rank: int = 0
    world_size: int = 1
    plain: bool = True
    known: dict[Known, Any] = field(default_factory=dict, repr=False)
    ahead: dict[Known, Any] = field(default_factory=dict, repr=False)

    def look(self, clock: Clock, batch_size: int) -> Probe:
        """Begin a new moment: what was computed at an earlier one is forgotten, what was `ahead` is known.

        Args:
            clock: samples and steps so far.
            batch_size: the schedule's, in samples.
        """
        self.known, self.ahead = self.ahead, {}
        self.clock, self.batch_size = clock, batch_size
        return self

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def batches(self, split: Split) -> Iterator[Pair]:
        """This rank's share of a split, not augmented, as (inputs, targets) on the device."""
        place = (split, self.device, self.rank, self.world_size, self.dtype)
        kept = _kept.setdefault(self.dataset, {})
        if place in kept and kept[place].whole:
            return iter(kept[place].pairs)
        made = evaluation_batches(
            self.dataset,
            split,
            device=self.device,
            batch=EVALUATION_BATCH,
            rank=self.rank,
            world_size=self.world_size,
            dtype=self.dtype,
        )
        return _keeping(made, kept, place)

    @torch.no_grad()
    def score(self, split: Split, model: nn.Module | None = None) -> dict[str, float]:
        """Mean loss, without label smoothing, and, for labels, accuracy (the share of right labels) in eval mode.

        Args:
            split: "train", "test" or, with `dataset.validation`, "validation".
            model: another than the run's.

        Returns:
            `loss` and, for labels, `accuracy`; empty where the split has no samples.
        """
        if model is None and ("sums", split) in self.known:
            loss, right, count = self.known["sums", split]
        else:
            loss, right, count = self._sums(*(self._outputs(split) if model is None else self._run(model, split)))
            if model is None:
                self.known["sums", split] = (loss, right, count)
        scores = {"loss": loss / count} if count else {}
        if count and self.dataset.classes is not None:
            scores["accuracy"] = right / (count * math.prod(self.dataset.target_shape))
        return scores

    def _sums(self, outputs: Tensor, targets: Tensor) -> tuple[float, float, float]:
        """Over all ranks: the summed loss, how many labels are right, how many samples there are."""
        found = [self.evaluation(outputs, targets).double().sum()]
        if self.dataset.classes is not None:
            found.append((outputs.argmax(-1) == targets).sum().double())
        count: float = len(targets)
        if dist.is_initialized():
            sums = torch.stack([*found, found[0].new_tensor(count)])
            dist.all_reduce(sums)
            *numbers, count = sums.tolist()
        else:
            numbers = torch.stack(found).tolist()
        return numbers[0], numbers[-1], count

    @torch.no_grad()
    def predictions(self, split: Split) -> tuple[Tensor, Tensor]:
        """The model's outputs and the targets of a whole split, in stored order, the same on every rank.

        Gathered once per evaluation, however many measures ask.

        Returns:
            outputs (n, classes), or (n, T, classes), in eval mode, and targets (n,), or (n, T), both on the CPU.
        """
        if ("predictions", split) not in self.known:
            n = len(self.dataset.split(split)[1])
            outputs = torch.zeros(n, *self._output, dtype=self.dtype, device=self.device)
            own, _ = self._outputs(split)
            outputs[self.rank :: self.world_size] = own.reshape(len(own), *self._output)
            if dist.is_initialized():  # each rank has filled places of its own
                dist.all_reduce(outputs)
            self.known["predictions", split] = (outputs.cpu(), torch.from_numpy(self.dataset.split(split)[1]))
        found: tuple[Tensor, Tensor] = self.known["predictions", split]
        return found

    @property
    def _output(self) -> tuple[int, ...]:
        """The shape of one output: of each label its classes, or the numbers to regress in a row."""
        labels = () if self.dataset.classes is None else self.dataset.target_shape
        return (*labels, self.dataset.outputs)

    def _outputs(self, split: Split) -> tuple[Tensor, Tensor]:
        """The model's outputs and the targets of this rank's share of a split; one pass, whoever asks."""
        if ("outputs", split) not in self.known:
            self.known["outputs", split] = self._run(self.model, split)
        found: tuple[Tensor, Tensor] = self.known["outputs", split]
        return found

    @torch.no_grad()
    def _run(self, model: nn.Module, split: Split) -> tuple[Tensor, Tensor]:
        """The same of any model, from a pass of its own."""
        with mode(model, training=False):
            pairs = [(self.forward(model, x), y) for x, y in self.batches(split)]
        return self._joined(pairs)

    def _joined(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Outputs and targets of several batches as one."""
        if not pairs:  # a rank may have no sample, or a data set no test split
            nothing = torch.zeros(0, *self._output, dtype=self.dtype, device=self.device)
            kind = torch.int64 if self.dataset.classes is not None else self.dtype
            return nothing, nothing.new_zeros(0, *self.dataset.target_shape, dtype=kind)
        outputs, targets = zip(*pairs, strict=True)
        return torch.cat(outputs), torch.cat(targets)

    def full_gradient_norm(self) -> float:
        """`gradient_norm` of the mean loss over the training set, not augmented, in eval mode.

        The outputs of this pass are those that `score` and `predictions` are made of, so that after it neither needs
        one of its own, unless they are taken in another precision.
        """
        if ("norm", "train") in self.known:
            return float(self.known["norm", "train"])
        n, pairs = self.dataset.n, list[tuple[Tensor, Tensor]]()
        with mode(self.model, training=False):
            norm = self.gradient_norm(((x, y, 1 / n) for x, y in self.batches("train")), pairs)
        if self.plain:
            self.known["outputs", "train"] = self._joined(pairs)
        self.known["norm", "train"] = norm
        return norm

    def gradient_norm(
        self,
        weighted: Iterator[tuple[Tensor, Tensor, float]],
        kept: list[tuple[Tensor, Tensor]] | None = None,
    ) -> float:
        """Euclidean norm, over all parameters and ranks, of the gradient of a weighted sum of the losses that train.

        In `dtype`, not under autocast: at train.precision=bfloat16 it is that of float32.

        Args:
            weighted: (inputs (n, *shape), targets (n,), weight of each of these n losses). The model stays in the mode
                that it is in.
            kept: where the outputs and targets of the pass are left, batch by batch; None: nowhere.

        Returns:
            The norm, the same on every rank.
        """
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        total = [torch.zeros_like(p) for p in parameters]
        for x, y, weight in weighted:
            output = self.model(x)
            loss = self.criterion(output, y).sum() * weight
            if kept is not None:
                kept.append((output.detach(), y))
            torch._foreach_add_(total, torch.autograd.grad(loss, parameters, materialize_grads=True))
        if dist.is_initialized():
            flat = torch.cat([t.reshape(-1) for t in total])
            dist.all_reduce(flat)
            total = [flat]
        return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(total)).double()))


def _keeping(made: Iterator[Pair], kept: dict[Any, Kept], place: Any) -> Iterator[Pair]:
    """Batches as they are made; those of a small split stay, and the next evaluation has them at once."""
    found, size = Kept(), 0
    for pair in made:
        size += sum(t.nbytes for t in pair)
        if size <= KEPT_BYTES:
            found.add(pair)
        yield pair
    if size <= KEPT_BYTES:
        kept[place] = found


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put the model into train or eval mode within the block."""
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)
