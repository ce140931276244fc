"""A torch module as a finite sum: SVRG and DASVRDA beyond linear models, convex or not."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from batchlab.optimizers.finite_sum.kernels import Indices
from batchlab.optimizers.finite_sum.problem import Snapshot
from batchlab.optimizers.finite_sum.regularizer import ElasticNet

_BATCH_DEPENDENT = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.RReLU)


class ModuleProblem:
    """P(w) = (1/n) sum_i f_i(w) + R(w) over the trainable parameters w of a module, on its device, in its precision.

    The solvers see w as one flat tensor; the regulariser acts on all of it, biases included. Sampling is uniform.
    A component gradient at the snapshot is evaluated again, not stored, so a draw costs two component gradients.
    Every solver begins at the parameters as they were when this was made, whatever was solved in between.

    Args:
        module: evaluated in place; after ``solve`` (also one that was interrupted) and ``load_state_dict``, and during
            a callback, it holds the solver's solution.
        component_losses: f_i for a tensor of indices (int64, on the module's device), at the module's current
            parameters: shape (len(indices),), not averaged.
        n: number of components.
        regularizer: nothing by default.
        smoothness: Lbar, where known; without it the solvers need a step_size.
        chunk: components evaluated at once for full gradients and values.

    Raises:
        ValueError: no trainable parameters, more than one dtype or device, a smoothness that is not positive, batch
            norm or dropout in training mode (f_i would depend on the batch or on chance; looked at here and at
            every full evaluation, but a component loss that draws by itself goes unseen), losses of a wrong shape.
    """

    gradients_per_draw = 2

    def __init__(
        self,
        module: nn.Module,
        component_losses: Callable[[Tensor], Tensor],
        n: int,
        *,
        regularizer: ElasticNet | None = None,
        smoothness: float | None = None,
        chunk: int = 4096,
    ) -> None:
        if n < 1 or chunk < 1:
            raise ValueError(f"n={n} and chunk={chunk} must be at least 1")
        self.module, self.component_losses, self.n, self.chunk = module, component_losses, n, chunk
        self.regularizer = ElasticNet() if regularizer is None else regularizer
        if smoothness is not None and not (math.isfinite(smoothness) and smoothness > 0.0):
            raise ValueError(
                f"smoothness={smoothness} must be a positive number; without it, give the solvers a step_size"
            )
        self._smoothness = smoothness
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        if not self._parameters:
            raise ValueError("the module has no parameters that require a gradient")
        if len({(p.dtype, p.device) for p in self._parameters}) > 1:
            raise ValueError("the module's trainable parameters must share one dtype and one device")
        self._check_mode()
        self.dimension = sum(p.numel() for p in self._parameters)
        self._start = torch.cat([p.detach().reshape(-1) for p in self._parameters])

    def _check_mode(self) -> None:
        for child in self.module.modules():
            name = type(child).__name__
            dropout = getattr(child, "dropout", 0.0)  # of attention and recurrent layers a number, not a layer
            if child.training and (
                isinstance(child, _BATCH_DEPENDENT) or (isinstance(dropout, float) and dropout > 0.0)
            ):
                raise ValueError(
                    f"{name} in training mode makes a component loss depend on the batch or on chance: call "
                    "module.eval() first, or use another layer"
                )
            if isinstance(child, nn.modules.batchnorm._BatchNorm) and child.running_mean is None:
                raise ValueError(f"{name} with track_running_stats=False makes a component loss depend on the batch")

    @property
    def mean_smoothness(self) -> float:
        """Lbar as given; ValueError where it is unknown."""
        if self._smoothness is None:
            raise ValueError("the smoothness of a module is unknown: give step_size, or smoothness to ModuleProblem")
        return self._smoothness

    def settings(self) -> dict[str, Any]:
        """What is known of it; neither the module nor its losses can be told from others."""
        return {"n": self.n, "dimension": self.dimension, **asdict(self.regularizer)}

    def start(self) -> Tensor:
        """The module's parameters as they were when this was made, one flat tensor."""
        return self._start.clone()

    @torch.no_grad()
    def load(self, x: Tensor) -> None:
        """Write x into the module's parameters."""
        sizes = [p.numel() for p in self._parameters]
        for parameter, values in zip(self._parameters, torch.split(x, sizes), strict=True):
            parameter.copy_(values.view_as(parameter))

    def _losses(self, indices: Tensor) -> Tensor:
        losses = self.component_losses(indices)
        if losses.shape != indices.shape:
            raise ValueError(
                f"component_losses must return one loss per index, shape {tuple(indices.shape)}; got "
                f"{tuple(losses.shape)} (reduction='none'?)"
            )
        return losses

    def _all(self) -> Iterator[Tensor]:
        """The indices 0, ..., n - 1 in chunks."""
        for first in range(0, self.n, self.chunk):
            yield torch.arange(first, min(first + self.chunk, self.n), device=self._parameters[0].device)

    @torch.no_grad()
    def value(self, x: Tensor) -> float:
        """P(x); the sum over components is taken in float64."""
        self._check_mode()
        self.load(x)
        total = sum(float(self._losses(indices).double().sum()) for indices in self._all())
        return total / self.n + self.regularizer.value(x)

    def _gradient(self, x: Tensor, indices: Tensor) -> Tensor:
        """Sum over the indices of grad f_i(x)."""
        self.load(x)
        gradients = torch.autograd.grad(self._losses(indices).sum(), self._parameters, materialize_grads=True)
        return torch.cat([g.reshape(-1) for g in gradients])

    def snapshot(self, x: Tensor) -> Snapshot:
        """grad F(x): n component gradients, in chunks."""
        self._check_mode()
        gradient = torch.zeros_like(x)
        for indices in self._all():
            gradient += self._gradient(x, indices)
        return Snapshot(x, gradient / self.n, None)

    def draw(self, generator: np.random.Generator, shape: tuple[int, int]) -> Indices:
        """Indices drawn uniformly, with replacement."""
        return generator.integers(self.n, size=shape)

    def _reduced(self, x: Tensor, snapshot: Snapshot, batch: Tensor) -> Tensor:
        """The variance-reduced gradient at x."""
        change = self._gradient(x, batch) - self._gradient(snapshot.x, batch)
        full: Tensor = snapshot.gradient
        return full + change / len(batch)

    def svrg(self, snapshot: Snapshot, draws: Indices, step: float, momentum: float) -> Tensor:
        """The last iterate of a stage of SVRG; see ``SVRG`` for the update."""
        x: Tensor = snapshot.x
        point = x
        for batch in torch.from_numpy(draws).to(snapshot.x.device):
            new = self.regularizer.prox(point - step * self._reduced(point, snapshot, batch), step)
            point = new + momentum * (new - x)
            x = new
        return x

    def dasvrda(self, snapshot: Snapshot, start: Tensor, draws: Indices, step: float) -> tuple[Tensor, Tensor]:
        """(x, z) after a stage of DASVRDA; see ``DASVRDA`` for the update."""
        x = z = start
        average = torch.zeros_like(start)
        previous = 0.5
        for k, batch in enumerate(torch.from_numpy(draws).to(start.device), start=1):
            theta = (k + 1) / 2
            gradient = self._reduced(torch.lerp(x, z, 1 / theta), snapshot, batch)
            average = torch.lerp(average, gradient, 1 / theta)
            length = step * theta * previous
            z = self.regularizer.prox(start - length * average, length)
            x = torch.lerp(x, z, 1 / theta)
            previous = theta
        return x, z
