"""GradientMoments: the mean of a batch's gradients and their scatter, over micro-batches and ranks."""

import math
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn

from batchlab.optimizers.moments.flat import Layout, exact, squared_norms

Estimator: TypeAlias = Literal["groups", "ddp_norm"]
Criterion: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class GradientMoments:
    r"""First and second moments of a batch's gradients, from the gradients of groups of its samples.

    A batch of :math:`b` samples comes in :math:`k` groups (micro-batches, ranks, or both) of :math:`n_j`
    samples with mean gradients :math:`g_j`. With the batch's mean gradient
    :math:`g = \frac1b \sum_j n_j g_j`, the variance of ONE sample's gradient, summed over coordinates, is
    estimated without bias, whatever the sizes of the groups, by

    .. math:: \|\mathrm{Var}\|_1 = \frac{1}{k-1} \sum_j n_j \|g_j - g\|^2
              = \frac{1}{k-1} \Big(\sum_j n_j \|g_j\|^2 - b \|g\|^2\Big),

    because :math:`E\|g_j - \mu\|^2 = \|\mathrm{Var}\|_1 / n_j`, so that the sum's expectation is
    :math:`(k - 1) \|\mathrm{Var}\|_1`. Groups of one sample make it the exact sample variance.

    Args:
        params: the parameters (real, on one device; one GradientMoments a device otherwise).
        estimator: ``"groups"``, or ``"ddp_norm"``, the published
            :math:`\frac1k \sum_j \|g_j - g\|^2` (arXiv 2412.21124; weights :math:`n_j / b` where groups
            differ in size), which lacks the factor :math:`n_j` and is
            :math:`n_j k/(k-1)` times smaller: its thresholds are not comparable with the others'.
        elementwise: also keep :math:`\sum_j n_j g_j^2` per coordinate (one more copy of the parameters).
        process_group: the ranks to reduce over; ``None`` is the default group where
            ``torch.distributed`` is initialised.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> moments = GradientMoments([weight])
        >>> for target in (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])):
        ...     ((weight - target) ** 2).sum().backward()   # a group of 3 samples with this mean gradient
        ...     moments.observe(3)
        >>> moments.reduce()
        >>> weight.grad.tolist(), moments.samples, moments.groups
        ([-1.0, -1.0], 6, 2)
        >>> round(moments.norm_squared(), 6), round(moments.variance(), 6)   # 3 (|g_1 - g|^2 + |g_2 - g|^2) / 1
        (2.0, 12.0)
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        estimator: Estimator = "groups",
        elementwise: bool = False,
        process_group: dist.ProcessGroup | None = None,
    ) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError("no parameters: was the iterator of model.parameters() used up? pass a list")
        if estimator not in get_args(Estimator):
            raise ValueError(f"estimator {estimator!r}: choose one of {', '.join(get_args(Estimator))}")
        self.estimator: Estimator = estimator
        self.elementwise = elementwise
        self.process_group = process_group
        self._layout: Layout | None = None
        self._start()

    # -- filling -----------------------------------------------------------------------------------------

    def backward(self, model: nn.Module, criterion: Criterion, x: Tensor, y: Tensor) -> Tensor:
        """Forward and backward of one micro-batch, taken into the sums as one group.

        Args:
            model: gives ``model(x)``; its trainable parameters are those of this object.
            criterion: ``criterion(output, y)`` gives the losses of the samples, shape (n,).
            x, y: the n samples and their targets, samples first.

        Returns:
            The sum of the samples' losses, detached, shape ().
        """
        losses = criterion(model(x), y)
        if losses.dim() != 1 or len(losses) != len(x):
            raise ValueError(
                f"the criterion gave shape {tuple(losses.shape)} for {len(x)} samples: it must give one loss each, "
                'shape (n,); pass reduction="none" and average over all but the first dimension'
            )
        losses.mean().backward()  # type: ignore[no-untyped-call]
        self.observe(len(losses))
        return losses.detach().sum()

    @torch.no_grad()
    def observe(self, samples: int) -> None:
        """Take ``.grad``, the MEAN gradient of a group of `samples` samples, into the sums, and clear it.

        A parameter without a gradient counts as zero.
        """
        if samples < 1:
            raise ValueError(f"a group of {samples} samples has no mean gradient: skip it")
        self._prepare()
        for index, parameter in enumerate(self.params):
            if parameter.grad is None:
                self._group_views[index].zero_()
                continue
            self._seen[index] = True
            self._group_views[index].copy_(
                parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
            )
            parameter.grad = None
        self._sums.add_(self._group, alpha=samples)
        self._scatter += samples * squared_norms(self._group)
        if self.elementwise:
            self._squares.addcmul_(self._group, self._group, value=samples)
        self._samples += samples
        self._groups += 1

    @torch.no_grad()
    def reduce(self) -> None:
        """Add up over the ranks, in one all-reduce, and leave the batch's mean gradient in ``.grad``.

        Every rank must call it, also one that had no samples. ``.grad`` stays None only where no rank had a
        gradient. The gradients are views of this object's memory: valid until `reset`.
        """
        self._prepare()
        layout, (rank, world) = self._checked_layout(), self._ranks()
        counts = torch.zeros(3, dtype=self._scatter.dtype, device=layout.device)
        counts[0], counts[1], counts[2] = self._samples, self._groups, self._scatter
        if world > 1:
            # A place for each rank, in two halves: float64 numbers come through a float32 sum unharmed.
            high = counts.to(layout.dtype)
            ledger = self._ledger[: 6 * world].view(world, 2, 3)
            ledger[rank, 0], ledger[rank, 1] = high, counts - high
            seen = self._ledger[6 * world :]
            if all(self._seen):
                seen.fill_(1)
            else:
                seen.copy_(torch.tensor(self._seen))
            dist.all_reduce(self._memory, group=self.process_group)
            counts = ledger.to(counts.dtype).sum((0, 1))
            if not all(self._seen):
                self._seen = seen.bool().tolist()
        elif not self._samples:
            raise ValueError("reduce() before any observe() or backward(): there is no gradient")
        self._sums.div_(counts[0])
        self._counts = torch.cat([counts, squared_norms(self._sums)[None]])
        self._reduced = True
        for parameter, view, seen_here in zip(self.params, layout.views(self._sums), self._seen, strict=True):
            parameter.grad = view.to(parameter.dtype) if seen_here else None

    def reset(self) -> None:
        """Forget the step: sums, statistics and ``.grad``."""
        for parameter in self.params:
            parameter.grad = None
        if self._layout is not None:
            self._memory.zero_()
            self._scatter.zero_()
        self._start()

    # -- reading: after reduce(). The first read waits for the device, once a step -------------------------

    @property
    def samples(self) -> int:
        """b, the samples of the batch, over all ranks."""
        return round(self._statistics()[0])

    @property
    def groups(self) -> int:
        """k, the groups the estimates rest on, over all ranks; `variance` has k - 1 degrees of freedom."""
        return round(self._statistics()[1])

    def norm_squared(self) -> float:
        r"""Squared Euclidean norm of the batch's mean gradient, :math:`\|g\|^2`."""
        return self._statistics()[3]

    def variance(self) -> float:
        r"""Variance of one sample's gradient, summed over coordinates: :math:`\|\mathrm{Var}\|_1`.

        NaN where fewer than 2 groups were observed.
        """
        samples, _, scatter, norm = self._statistics()
        spread = max(scatter - samples * norm, 0.0)  # in this order: max(0.0, nan) would be 0.0
        return spread / self._divisor() if self.groups > 1 else math.nan

    def second_moments(self) -> list[Tensor]:
        r"""Mean square of the groups' gradients per coordinate, :math:`\frac1b \sum_j n_j g_j^2`.

        Aligned with `params`. With groups of one size this is :math:`\frac1k \sum_j g_j^2`; with others the
        weights :math:`n_j/b` are those of the mean, so that subtracting :math:`g^2` never goes below zero but
        for rounding. Needs ``elementwise=True``.
        """
        return self._checked_layout().views(self._mean_squares())

    def coordinate_variance(self) -> list[Tensor]:
        """Variance of one sample's gradient per coordinate, aligned with `params`; NaN where k < 2.

        Needs ``elementwise=True``.
        """
        layout = self._checked_layout()
        scale = self.samples / self._divisor() if self.groups > 1 else math.nan
        deviations = (self._mean_squares() - self._sums.square()).clamp_(min=0)
        return layout.views(deviations.mul_(scale))

    # -- inside ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._samples, self._groups = 0, 0  # of this rank
        self._seen = [False] * len(self.params)  # which parameters had a gradient
        self._reduced = False
        self._read: tuple[float, ...] | None = None

    def _prepare(self) -> None:
        if self._reduced:
            raise ValueError("this step is already reduced: call moments.reset() before the next one")
        if self._layout is not None:
            return
        self._layout = layout = Layout(self.params)
        world = self._ranks()[1]
        length = layout.length
        copies = 2 if self.elementwise else 1
        self._memory = layout.zeros(copies * length + 6 * world + len(self.params))
        self._sums = self._memory[:length]
        self._squares = self._memory[length : copies * length]
        self._ledger = self._memory[copies * length :]
        self._group = layout.zeros()
        self._group_views = layout.views(self._group)
        self._scatter = torch.zeros((), dtype=exact(layout.device), device=layout.device)

    def _ranks(self) -> tuple[int, int]:
        if not (dist.is_available() and dist.is_initialized()):
            return 0, 1
        return dist.get_rank(self.process_group), dist.get_world_size(self.process_group)

    def _checked_layout(self) -> Layout:
        assert self._layout is not None
        return self._layout

    def _statistics(self) -> tuple[float, ...]:
        if not self._reduced:
            raise ValueError("no statistics yet: call moments.reduce() after the last group of the batch")
        if self._read is None:
            self._read = tuple(self._counts.tolist())
        return self._read

    def _divisor(self) -> float:
        return self.samples if self.estimator == "ddp_norm" else self.groups - 1

    def _mean_squares(self) -> Tensor:
        if not self.elementwise:
            raise ValueError(
                "per-coordinate moments are not kept: build GradientMoments(..., elementwise=True)"
            )
        self._statistics()
        return self._squares / self._counts[0]
