"""GradientMoments: the mean of a batch's gradients and their scatter, over micro-batches and ranks."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn

from batchlab.optimizers.moments.flat import Sums, dots, squared_norm
from batchlab.optimizers.moments.per_sample import PerSample
from batchlab.optimizers.moments.projection import Micro, Products
from batchlab.optimizers.moments.truth import Batch, Losses

Estimator: TypeAlias = Literal["groups", "per_sample", "ddp_norm"]
Criterion: TypeAlias = Callable[[Any, Any], Tensor]


class GradientMoments:
    r"""First and second moments of a batch's gradients, from the gradients of groups of its samples.

    A batch of :math:`b` samples comes in :math:`k` groups of :math:`n_j` samples with mean gradients
    :math:`g_j`. With the batch's mean gradient :math:`g = \frac1b \sum_j n_j g_j`, the variance of ONE sample's
    gradient, summed over coordinates, is estimated without bias, whatever the sizes of the groups, by

    .. math:: \|\mathrm{Var}\|_1 = \frac{1}{k-1} \sum_j n_j \|g_j - g\|^2
              = \frac{1}{k-1} \Big(\sum_j n_j \|g_j\|^2 - b \|g\|^2\Big),

    because :math:`E\|g_j - \mu\|^2 = \|\mathrm{Var}\|_1 / n_j`, so that the sum's expectation is
    :math:`(k - 1) \|\mathrm{Var}\|_1`. Groups of one sample make it the exact sample variance.

    Args:
        params: the parameters (real, on one device; use one GradientMoments per device otherwise).
        estimator: ``"groups"``: a group is a micro-batch of a rank. ``"per_sample"``: a group is a sample;
            needs `backward`, and a model that does not mix the samples of a batch. ``"ddp_norm"``: groups,
            but as published, :math:`\frac1k \sum_j \|g_j - g\|^2` (arXiv 2412.21124; weights :math:`n_j / b`
            where groups differ in size), which lacks the factor :math:`n_j` and so is :math:`n_j k/(k-1)`
            times smaller: a threshold for it is not comparable with the others'.
        elementwise: also keep :math:`\sum_j n_j g_j^2` per coordinate, and the mean gradient apart from ``.grad`` (two
            more copies of the parameters).
        coordinates: the same, but only in steps that are `measuring`: enough for `coordinate_variance`.
        inner_products: also keep what :math:`\langle g_j, g \rangle` needs: each group's gradient (one more
            copy of the parameters per group of this rank); with ``"per_sample"`` the data instead, for a second,
            forward-mode pass in `reduce`.
        process_group: the ranks to reduce over; ``None`` is the default group where ``torch.distributed`` is
            initialised.
        chunk_bytes: memory that per-sample gradients are formed in; ``None`` suits the device.

    Attributes:
        measuring: set it to False for steps whose variance is not wanted: ``"per_sample"`` then costs what an
            ordinary backward pass does, unless `elementwise` is wanted of every step. Adaptive batch schedules do so
            between their tests.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> moments = GradientMoments([weight])
        >>> for target in (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])):
        ...     ((weight - target) ** 2).sum().backward()   # a group of 3 samples with this mean gradient
        ...     moments.observe(3)
        >>> moments.reduce()
        >>> weight.grad.tolist(), moments.samples, moments.groups
        ([-1.0, -1.0], 6, 2)
        >>> round(moments.norm_squared(), 6), round(moments.variance(), 6)  # 3 (|g_1 - g|^2 + |g_2 - g|^2) / 1
        (2.0, 12.0)
    """

    _seen: list[bool]

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        estimator: Estimator = "groups",
        elementwise: bool = False,
        coordinates: bool = False,
        inner_products: bool = False,
        process_group: dist.ProcessGroup | None = None,
        chunk_bytes: int | None = None,
    ) -> None:
        self.params = list(dict.fromkeys(params))  # joined lists of tied parts give a parameter twice
        if not self.params:
            raise ValueError("no parameters: was the iterator of model.parameters() used up? pass a list")
        if estimator not in get_args(Estimator):
            raise ValueError(f"estimator {estimator!r}: choose one of {', '.join(get_args(Estimator))}")
        self.estimator: Estimator = estimator
        self.elementwise = elementwise
        self.coordinates = coordinates
        self.inner_products = inner_products
        self.process_group = process_group
        self.chunk_bytes = chunk_bytes
        self.measuring = True
        self._sums: Sums | None = None
        self._per_sample: PerSample | None = None
        self._products = Products()
        self._start()

    # -- filling -----------------------------------------------------------------------------------------

    def backward(self, model: nn.Module, criterion: Criterion, x: Tensor, y: Any) -> Tensor:
        """Forward and backward of one micro-batch, taken into the sums as this estimator does.

        Args:
            model: gives ``model(x)``; its trainable parameters are those of this object. Not wrapped in
                DistributedDataParallel: `reduce` is what adds up over the ranks.
            criterion: ``criterion(output, y)`` gives the losses of the samples, shape (n,).
            x: the n samples, samples first.
            y: their targets, samples first; whatever the criterion takes.

        Returns:
            The sum of the samples' losses, detached, shape (). What ``.grad`` held before is no part of it under
            ``"per_sample"``, and is dropped: put a penalty into the criterion.

        Raises:
            ValueError: losses of another shape; a DistributedDataParallel model; ``"per_sample"`` on a model in
                which samples have no gradients of their own (BatchNorm in train mode).
        """
        if isinstance(model, nn.parallel.DistributedDataParallel):
            raise ValueError(
                "DistributedDataParallel has averaged the gradients before they can be measured: pass "
                "model.module; moments.reduce() adds up over the ranks"
            )
        batch = Batch(model, Losses(criterion), x, y)
        if self.estimator == "per_sample" and (self.measuring or self.elementwise):
            return self._observe_each(batch)
        losses = batch.losses()
        losses.mean().backward()  # type: ignore[no-untyped-call]
        self.observe(len(losses))
        return losses.detach().sum()

    @torch.no_grad()
    def observe(self, samples: int) -> None:
        """Take ``.grad``, the MEAN gradient of a group of samples, into the sums, and clear it.

        Args:
            samples: in the group. A parameter without a gradient counts as zero.

        Raises:
            ValueError: an empty group; a group of several under ``"per_sample"``; a step already reduced.
        """
        if samples < 1:
            raise ValueError(f"a group of {samples} samples has no mean gradient: skip it")
        if self.estimator == "per_sample" and samples > 1 and self.measuring:
            raise ValueError(
                'estimator="per_sample" needs the gradient of every sample: call '
                "moments.backward(model, criterion, x, y) in place of loss.backward() and moments.observe(n)"
            )
        sums = self._open()
        gradients = [parameter.grad for parameter in self.params]
        sums.add(gradients, samples, squares=self._squaring)
        if self.inner_products and self.measuring:
            self._rows.append((samples, sums.row(gradients)))
        for index, parameter in enumerate(self.params):
            self._seen[index] |= parameter.grad is not None
            parameter.grad = None
        self._samples += samples
        self._groups += 1

    def _observe_each(self, batch: Batch) -> Tensor:
        x, model = batch.x, getattr(batch.model, "_orig_mod", batch.model)  # within a compiled model are its layers
        if not isinstance(model, nn.Module):
            raise ValueError(f"a {type(model).__name__} as model: per-sample statistics take an nn.Module")
        if not isinstance(x, Tensor) or not x.dim():
            raise ValueError(
                f"a {type(x).__name__} of inputs: per-sample statistics take one tensor x, samples first; give the "
                "model what belongs to a sample in one tensor, or use estimator=groups and moments.observe(n)"
            )
        if not len(x):
            raise ValueError("a batch of 0 samples has no gradient: skip it")
        batch = replace(batch, model=model, x=x.clone() if x.is_inference() else x)
        if any(isinstance(p, nn.parameter.UninitializedParameter) for p in self.params):
            raise ValueError("the model has lazy layers: put one batch through it (any, a dummy batch) first")
        sums = self._open()
        if self._per_sample is None:
            self._per_sample = PerSample(self.params, self.chunk_bytes)
        if self.inner_products and self.measuring:
            self._kept.append(Micro(batch))
        losses, norms, seen = self._per_sample.backward(batch, sums.gradient_views, sums.square_views)
        sums.scatter += norms.sum()
        self._seen = [a or b for a, b in zip(self._seen, seen, strict=True)]
        self._samples += len(losses)
        self._groups += len(losses)
        return losses.sum()

    @torch.no_grad()
    def reduce(self) -> None:
        """Add up over the ranks, in one all-reduce, and leave the batch's mean gradient in ``.grad``.

        Every rank must call it, also one that had no samples. ``.grad`` stays None only where no rank had a
        gradient. The gradients are valid until `reset`, and may be changed in place, by clipping or by an optimizer:
        they are views of this object's memory, or copies where a statistic per coordinate needs the mean later.
        (Inner products need the mean first: they take a second all-reduce, of one number, and wait for the device, to
        see that they add up to the gradient.)

        Raises:
            ValueError: nothing was observed, where there are no other ranks; or the step is already reduced.
        """
        sums, (rank, world) = self._open(), self._ranks()
        mine = sums.gradient.clone() if self._kept else sums.gradient  # of this rank: what its products add up to
        counts = torch.zeros_like(sums.scatter).repeat(3)
        counts[0].fill_(self._samples)  # assigning a number would wait for the device
        counts[1].fill_(self._groups)
        counts[2] = sums.scatter
        if world > 1:
            # A place for each rank, in two halves: float64 numbers come through a float32 sum unharmed.
            high = counts.to(sums.ledger.dtype)
            ledger, seen = sums.ledger[: 6 * world].view(world, 2, 3), sums.ledger[6 * world :]
            ledger[rank, 0], ledger[rank, 1] = high, counts - high
            missing = [i for i, here in enumerate(self._seen) if not here]
            seen.fill_(1)
            if missing:
                seen[missing] = 0
            dist.all_reduce(sums.memory, group=self.process_group)
            counts = ledger.to(counts.dtype).sum((0, 1))
            if missing:
                self._seen = seen.bool().tolist()
        elif not self._samples:
            raise ValueError("reduce() before any observe() or backward(): there is no gradient")
        sums.gradient.div_(counts[0])
        sums.squares.div_(counts[0])
        norm = squared_norm([sums.gradient])
        along = self._scatter_along(sums, norm, world, mine)
        self._counts = torch.stack([*counts, norm, along])
        for parameter, mean, here in zip(self.params, sums.gradient_views, self._seen, strict=True):
            if here:
                parameter.grad = mean.to(parameter.dtype, copy=self._squaring)
            elif parameter.requires_grad:  # the gradient of one that is not trained is none of ours
                parameter.grad = None
        self._reduced, self._measured = True, self.measuring

    def reset(self) -> None:
        """Forget the step: sums, statistics and ``.grad``."""
        for parameter, here in zip(self.params, self._seen, strict=True):
            if here or parameter.requires_grad:
                parameter.grad = None
        if self._sums is not None:
            self._sums.clear()
        self._start()

    # -- reading, after reduce(); the first read waits for the device, the others do not ------------------

    @property
    def samples(self) -> int:
        """b, the samples of the batch, over all ranks."""
        return round(self._statistics()[0])

    @property
    def groups(self) -> int:
        """k, the groups that the estimates rest on, over all ranks: k - 1 degrees of freedom."""
        return round(self._statistics()[1])

    def norm_squared(self) -> float:
        r"""Squared Euclidean norm of the batch's mean gradient, :math:`\|g\|^2`."""
        return self._statistics()[3]

    def variance(self) -> float:
        r"""Variance of one sample's gradient, summed over coordinates: :math:`\|\mathrm{Var}\|_1`.

        NaN where fewer than 2 groups were observed, or ``measuring`` was False. With float32 parameters the relative
        error is about :math:`7 \cdot 10^{-7} / \sqrt d` times :math:`b \|g\|^2 / ((k - 1) \|\mathrm{Var}\|_1)` for d
        parameters, what is left of float32's rounding: it counts only where the gradient is far above its noise.
        """
        samples, _, scatter, norm, _ = self._statistics()
        return max(scatter - samples * norm, 0.0) / self._divisor()  # max(0.0, nan) would be 0.0

    def inner_product_variance(self) -> float:
        r"""Variance of :math:`\langle g_i, g \rangle` over samples i. Needs ``inner_products=True``.

        Estimated like `variance`, :math:`\frac{1}{k-1} \sum_j n_j (\langle g_j, g\rangle - \|g\|^2)^2`.

        Raises:
            ValueError: they were not kept.
        """
        if not self.inner_products:
            raise ValueError("inner products are not kept: build GradientMoments(..., inner_products=True)")
        return self._statistics()[4] / self._divisor()

    def orthogonal_variance(self) -> float:
        r"""Variance of the part of a sample's gradient orthogonal to g, summed over coordinates.

        :math:`\|\mathrm{Var}(g_i)\|_1 - \mathrm{Var}(\langle g_i, g\rangle) / \|g\|^2`; all of the variance where
        g = 0. Needs ``inner_products=True``.
        """
        along, norm = self.inner_product_variance(), self.norm_squared()
        return max(self.variance() - (along / norm if norm else along), 0.0)

    def measured_by(self, model: nn.Module) -> dict[str, str]:
        """How ``"per_sample"`` measures the layers of a model, found out in its first batch.

        Args:
            model: which `backward` was given, in the modes that it has now.

        Returns:
            By the layer's name ("" for the model as a whole): ``"one pass"``, the batch's own backward pass;
            ``"vmap"``, run again for all samples at once; ``"loop"``, for one sample after another. Nothing where the
            model has not been measured.
        """
        return {} if self._per_sample is None else self._per_sample.taken(getattr(model, "_orig_mod", model))

    def means(self) -> list[Tensor]:
        """The batch's mean gradient as it was measured, whatever was done to ``.grad`` since.

        Aligned with `params`, in float32 or wider; views of this object's memory, valid until `reset`. Needs
        ``elementwise=True``.
        """
        return self._by_coordinate(self.elementwise).gradient_views

    def second_moments(self) -> list[Tensor]:
        r"""Mean square of the groups' gradients per coordinate, :math:`\frac1b \sum_j n_j g_j^2`.

        Aligned with `params`. With groups of one size this is :math:`\frac1k \sum_j g_j^2`; with others the
        weights :math:`n_j/b` are those of the mean, so that subtracting the square of `means` never goes below zero
        but for rounding. Views of this object's memory, valid until `reset`. Needs ``elementwise=True``.
        """
        squares = self._by_coordinate(self.elementwise).square_views
        assert squares is not None
        return squares

    @torch.no_grad()
    def coordinate_variance(self) -> list[Tensor]:
        """Variance of one sample's gradient per coordinate, aligned with `params`; NaN as `variance` is.

        Needs ``elementwise=True`` or ``coordinates=True``. A difference of two float32 numbers: where a coordinate's
        standard error is a thousandth of its mean it is off by a hundredth, at a ten-thousandth nothing is left.
        """
        sums = self._by_coordinate(self.elementwise or self.coordinates)
        return sums.layout.views(self._coordinate_variance(sums))

    @torch.no_grad()
    def worst_coordinate(self) -> float:
        """The largest ratio of `coordinate_variance` to the mean gradient's square, where that is not 0.

        Needs what `coordinate_variance` needs.
        """
        sums = self._by_coordinate(self.elementwise or self.coordinates)
        signal = sums.gradient.square()
        ratios = torch.where(signal == 0, 0, self._coordinate_variance(sums) / signal)
        return math.nan if math.isnan(self._divisor()) else float(ratios.max())

    # -- inside ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._samples, self._groups = 0, 0  # of this rank
        self._seen = [False] * len(self.params)  # which parameters had a gradient
        self._rows: list[tuple[int, Tensor]] = []  # groups' sizes and gradients
        self._kept: list[Micro] = []
        self._counts = torch.zeros(0)
        self._read: tuple[float, ...] | None = None
        self._reduced = self._measured = False

    @property
    def _squaring(self) -> bool:
        """Whether this step keeps squares by coordinate."""
        return self.elementwise or (self.coordinates and self.measuring)

    def _open(self) -> Sums:
        if self._reduced:
            raise ValueError("this step is already reduced: call moments.reset() before the next one")
        if self._sums is None:
            ledger = 6 * self._ranks()[1] + len(self.params)
            self._sums = Sums(self.params, squares=self.elementwise or self.coordinates, ledger=ledger)
        return self._sums

    def _ranks(self) -> tuple[int, int]:
        if not (dist.is_available() and dist.is_initialized()):
            return 0, 1
        return dist.get_rank(self.process_group), dist.get_world_size(self.process_group)

    def _scatter_along(self, sums: Sums, norm: Tensor, world: int, mine: Tensor) -> Tensor:
        """Sum over all groups of n_j (<g_j, g> - ||g||^2)^2."""
        total = torch.zeros_like(norm)
        for samples, row in self._rows:
            total += samples * (dots(row, sums.gradient) - norm).square()
        if self._kept:
            along, size = dots(mine, sums.gradient), (self._samples * sums.scatter * norm).sqrt()
            for products in self._products.of(self._kept, self.params, sums.gradient_views, along, size):
                total += (products.to(norm.dtype) - norm).square().sum()
        if world > 1 and self.inner_products and self.measuring:
            dist.all_reduce(total, group=self.process_group)
        return total

    def _check_reduced(self) -> None:
        if not self._reduced:
            raise ValueError("no statistics yet: call moments.reduce() after the last group of the batch")

    def _statistics(self) -> tuple[float, ...]:
        self._check_reduced()
        if self._read is None:
            self._read = tuple(self._counts.tolist())
        return self._read

    def _divisor(self) -> float:
        """k - 1, or b as published for DDP-Norm; NaN where there is no estimate."""
        if self.groups < 2 or not self._measured:
            return math.nan
        return self.samples if self.estimator == "ddp_norm" else self.groups - 1

    def _coordinate_variance(self, sums: Sums) -> Tensor:
        deviations = (sums.squares - sums.gradient.square()).clamp_(min=0)
        return deviations.mul_(self.samples / self._divisor())

    def _by_coordinate(self, kept: bool) -> Sums:
        if not kept:
            raise ValueError(
                "per-coordinate moments are not kept: build GradientMoments(params, elementwise=True), or, where a "
                "batch schedule makes them, batch_size.moments(params, elementwise=True)"
            )
        self._check_reduced()
        assert self._sums is not None
        return self._sums
