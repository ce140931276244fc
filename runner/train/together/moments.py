"""Gradient moments of stacked models, for optimizers that look at them coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from batchlab.optimizers.moments import GradientMoments
from batchlab.runner.train.together.stack import ApartError


class Part:
    """One replica's share of a stack's moments, in the place of its own `GradientMoments`.

    Args:
        moments: of the stack's parameters.
        model: the replica's.
        names: of the stack's parameters, in their order.
        place: of the replica.
    """

    def __init__(self, moments: GradientMoments, model: nn.Module, names: Sequence[str], place: int) -> None:
        named = dict(model.named_parameters())
        self.params = [named[name] for name in names]
        self.estimator, self.elementwise, self.measuring = moments.estimator, moments.elementwise, moments.measuring
        self._moments, self._place = moments, place

    @property
    def groups(self) -> int:
        """The groups that the estimates rest on."""
        return self._moments.groups

    @property
    def samples(self) -> int:
        """The samples of the batch."""
        return self._moments.samples

    def means(self) -> list[Tensor]:
        """As `GradientMoments.means`, of this replica."""
        return [mean[self._place] for mean in self._moments.means()]

    def second_moments(self) -> list[Tensor]:
        """As `GradientMoments.second_moments`, of this replica."""
        return [square[self._place] for square in self._moments.second_moments()]

    def __getattr__(self, name: str) -> Any:
        raise ApartError(f"{name} is asked of a gradient's moments")
