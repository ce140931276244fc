"""Batch sizes that grow when the gradient's noise outweighs its signal (AdAdaGrad, arXiv 2402.11215)."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor
from typing_extensions import override

from batchlab.optimizers.batch.base import BatchSchedule, check_batch
from batchlab.optimizers.lr import check_finite
from batchlab.optimizers.moments import Estimator, GradientMoments
from batchlab.optimizers.needs import Moments

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from batchlab.optimizers.clock import Clock

__all__ = ["AdaptiveBatch", "AugmentedInnerProductTest", "CoordinateTest", "InnerProductTest", "NormTest"]


@dataclass(kw_only=True, eq=False)
class AdaptiveBatch(BatchSchedule):
    r"""A batch that grows where a test of the gradient's noise fails.

    A test gives the statistic :math:`T`, the samples that the mean gradient should rest on. Where
    :math:`T > b`, the batch's size, the next batch has :math:`\lceil T \rceil` samples, else it is unchanged.
    The size never shrinks, and once it is at `maximum` testing stops for good. The iterate is not tested again
    with the larger batch (as in the authors' code).

    A statistic that is not a number (a gradient that is none; fewer than 2 groups, of which no variance can be
    told) leaves the size as it is. An infinite one (noise, but a mean gradient of exactly 0) asks for `maximum`,
    where one is known.

    Args:
        initial: the first batch's samples.
        maximum: the largest batch; None = the training set, known from `size`. In a loop that does not call `size`
            nothing bounds the batch without it: one step of little signal may ask for billions of samples.
        interval: steps from test to test; the first step is tested.
        estimator: how the variance is measured (see docs/gradient-noise.md); used by `moments`.

    Attributes:
        value: samples of the coming batch.
    """

    needs = Moments()

    initial: int = 64
    maximum: int | None = None
    interval: int = 1
    estimator: Estimator = "groups"

    def __post_init__(self) -> None:
        check_batch("initial", self.initial)
        check_batch("maximum", self.maximum)
        if self.maximum is not None and self.maximum < self.initial:
            raise ValueError(f"maximum={self.maximum} is below initial={self.initial}")
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) or self.interval < 1:
            raise ValueError(f"interval={self.interval} must be a whole number, at least 1 step")
        self.needs = replace(self.needs, estimator=self.estimator)
        self.value = self.initial
        self._updates = 0
        self._training_set: int | None = None
        self._record: dict[str, float] = {}

    @abstractmethod
    def statistic(self, moments: GradientMoments) -> float:
        """T, in samples."""

    def moments(
        self,
        params: Iterable[Tensor],
        *,
        elementwise: bool = False,
        process_group: ProcessGroup | None = None,
    ) -> GradientMoments:
        """Moments that measure what this test needs, with this estimator.

        Args:
            params: real parameters on one device.
            elementwise: for VRGD: also the second moments by coordinate, at every step, tested or not.
            process_group: the ranks to reduce over; None is the default group.
        """
        return replace(self.needs, elementwise=elementwise).gather(params, process_group)

    @property
    @override
    def listening(self) -> bool:
        """Whether the coming step will be tested."""
        cap = self._cap()
        return (cap is None or self.value < cap) and self._updates % self.interval == 0

    @property
    @override
    def limit(self) -> int | None:
        return self.maximum

    @override
    def planned(self, clock: Clock) -> int:
        self._training_set = clock.epoch_size
        return self.value

    @override
    def update(self, moments: GradientMoments) -> None:
        """Test the step just reduced, and let `moments` measure the coming step only if it will be tested.

        (What VRGD needs of the moments, the second moments by coordinate, is measured all the same.)
        """
        self._record = {"batch": self.value}
        if self.listening:
            if moments.groups < 2 and self._updates == 0:
                warnings.warn(
                    f"the gradient came in {moments.groups} group: its variance takes 2 at least, and until then the "
                    "batch will not grow. Split the batch into micro-batches, use more ranks, or "
                    "estimator=per_sample",
                    RuntimeWarning,
                    stacklevel=2,
                )
            samples, statistic = moments.samples, self.statistic(moments)
            cap = self._cap()
            if cap is None and self._updates == 0:
                warnings.warn(
                    "nothing bounds the batch: one step of little signal may ask for billions of samples. Give "
                    "maximum, or call batch_size.size(clock), which knows the training set",
                    RuntimeWarning,
                    stacklevel=2,
                )
            if statistic > samples and (math.isfinite(statistic) or cap is not None):
                wanted = min(statistic, math.inf if cap is None else cap)
                self.value = max(self.value, math.ceil(wanted))
            self._record = {
                "batch": self.value,
                "statistic": statistic,
                "threshold": samples,
                "groups": moments.groups,
            }
        self._updates += 1
        moments.measuring = self.listening

    @override
    def record(self) -> dict[str, float]:
        """Of the last step: `batch` (of the next), and where it was tested `statistic`, `threshold`, `groups`.

        The statistic is T and the threshold b, the samples of the step, so that the two compare.
        """
        return dict(self._record)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "updates": self._updates}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave.

        For a resumed step that is bit for bit what it would have been, tell the moments too whether it will be tested:
        ``moments.measuring = batch_size.listening`` (after `size(clock)` where that is used).
        """
        self.value, self._updates = state["value"], state["updates"]
        self._record = {}

    def _cap(self) -> int | None:
        return min((cap for cap in (self.maximum, self._training_set) if cap is not None), default=None)


@dataclass(kw_only=True, eq=False)
class RelativeTest(AdaptiveBatch):
    """A test against a tolerance `eta` of the standard error of the mean gradient, relative to it.

    Args:
        eta: the standard error that is tolerated, in (0, 1); smaller grows faster.
        initial, maximum, interval, estimator: as in `AdaptiveBatch`.
    """

    eta: float = 0.5

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite(eta=self.eta)
        if not 0 < self.eta < 1:
            raise ValueError(
                f"eta={self.eta} must be in (0, 1): the standard error tolerated, relative to the gradient"
            )


@dataclass(kw_only=True, eq=False)
class NormTest(RelativeTest):
    r"""Norm test: :math:`T = \|\mathrm{Var}_i(g_i)\|_1 / (\eta^2 \|g\|^2)`.

    Args:
        eta: the standard error of the mean gradient that is tolerated, relative to its norm, in (0, 1); smaller
            grows faster.
        initial, maximum, interval, estimator: as in `AdaptiveBatch`.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> batch_size = NormTest(initial=2, maximum=1000, eta=0.5)
        >>> moments = batch_size.moments([weight])
        >>> for slope in (1.0, 3.0):                # two groups of one sample: variance 2, mean 2
        ...     (slope * weight).sum().backward()
        ...     moments.observe(1)
        >>> moments.reduce()
        >>> batch_size.update(moments)              # T = 2 / (0.25 * 4) = 2 is not above b = 2
        >>> batch_size.value, round(batch_size.record()["statistic"], 6)
        (2, 2.0)
    """

    @override
    def statistic(self, moments: GradientMoments) -> float:
        return _ratio(moments.variance(), self.eta**2 * moments.norm_squared())


@dataclass(kw_only=True, eq=False)
class InnerProductTest(AdaptiveBatch):
    r"""Inner-product test: :math:`T = \mathrm{Var}_i(\langle g_i, g\rangle) / (\theta^2 \|g\|^4)`.

    Taken over all parameters together. (The authors' code goes layer by layer, which drops the terms across.)

    Args:
        theta: positive; smaller grows faster.
        initial, maximum, interval, estimator: as in `AdaptiveBatch`.
    """

    needs = Moments(inner_products=True)

    theta: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive("theta", self.theta)

    @override
    def statistic(self, moments: GradientMoments) -> float:
        return _ratio(moments.inner_product_variance(), self.theta**2 * moments.norm_squared() ** 2)


@dataclass(kw_only=True, eq=False)
class AugmentedInnerProductTest(InnerProductTest):
    r"""The larger of the inner-product test's T and the orthogonality test's.

    The latter is :math:`\|\mathrm{Var}_i(r_i)\|_1 / (\nu^2 \|g\|^2)`,
    :math:`r_i = g_i - (\langle g_i, g\rangle / \|g\|^2)\, g`. With the norm test's T they satisfy
    :math:`\eta^2 T_{norm} = \theta^2 T_{ip} + \nu^2 T_{orth}`.

    Args:
        theta, nu: positive; smaller grows faster.
        initial, maximum, interval, estimator: as in `AdaptiveBatch`.
    """

    nu: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive("nu", self.nu)

    @override
    def statistic(self, moments: GradientMoments) -> float:
        orthogonal = _ratio(moments.orthogonal_variance(), self.nu**2 * moments.norm_squared())
        along = super().statistic(moments)
        return math.nan if math.isnan(orthogonal) or math.isnan(along) else max(orthogonal, along)


@dataclass(kw_only=True, eq=False)
class CoordinateTest(RelativeTest):
    r"""Coordinate-wise norm test: :math:`T = \max_j \mathrm{Var}_i(g_{ij}) / (\eta^2 g_j^2)`.

    The condition, :math:`\mathrm{Var}_i(g_{ij}) \le \eta^2 b\, g_j^2` for all j, is that of AdAdaGrad's theory;
    growing to the T above is our reading, and not in the authors' code. Coordinates with :math:`g_j = 0` are
    left out. In a net the smallest of many :math:`g_j^2` decides, so that the batch is soon at its maximum.

    Args:
        eta: in (0, 1); smaller grows faster.
        initial, maximum, interval, estimator: as in `AdaptiveBatch`.
    """

    needs = Moments(coordinates=True)

    @override
    def statistic(self, moments: GradientMoments) -> float:
        return moments.worst_coordinate() / self.eta**2


def _check_positive(name: str, value: float) -> None:
    check_finite(**{name: value})
    if not value > 0:
        raise ValueError(f"{name}={value} must be positive")


def _ratio(noise: float, signal: float) -> float:
    """noise / signal, where 0 / 0 is no noise at all, and NaN stays NaN."""
    if signal == 0:
        return noise if math.isnan(noise) or noise == 0 else math.inf
    return noise / signal
