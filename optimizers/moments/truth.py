"""What plain autograd says of a batch: the judge of every quicker way to per-sample gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from batchlab.optimizers.moments.flat import exact
from batchlab.optimizers.moments.state import ModelState, same_states

Gradients = list[Tensor | None]
FEW = 8  # samples that are looked at one by one, and parted from one another in six ways


@dataclass(frozen=True)
class Losses:
    """The samples' losses (n,), of a model's output and the targets.

    Attributes:
        criterion: gives them.
    """

    criterion: Callable[[Any, Any], Tensor]

    def __call__(self, output: Any, y: Any, samples: int) -> Tensor:
        """The losses.

        Raises:
            ValueError: the criterion gives another shape.
        """
        losses = self.criterion(output, y)
        if losses.dim() != 1 or len(losses) != samples:
            raise ValueError(
                f"the criterion gave shape {tuple(losses.shape)} for {samples} samples: it must give one loss "
                'each, shape (n,); pass reduction="none" and average over all but the first dimension'
            )
        return losses


@dataclass
class Truth:
    """A batch by plain autograd: its losses (n,), and gradients, aligned with `params`; None: not reached.

    Attributes:
        sums: gradients of the sum of the losses.
        alone: gradients of single samples' losses, by the sample.
    """

    losses: Tensor
    sums: Gradients
    alone: dict[int, Gradients]

    @classmethod
    def of(cls, model: nn.Module, losses_of: Losses, x: Tensor, y: Any, params: Sequence[Tensor]) -> Truth:
        """One forward pass, a backward pass for the batch, and some for single samples.

        Raises:
            ValueError: plain autograd cannot do it either.
        """
        with torch.enable_grad():
            losses = losses_of(model(x), y, len(x))
        sums = gradients_of(losses.sum(), params)
        return cls(losses.detach(), sums, {i: gradients_of(losses[i], params) for i in some_of(len(x))})

    @property
    def finite(self) -> bool:
        """Whether there is anything to compare with."""
        given = [g for gradients in (self.sums, *self.alone.values()) for g in gradients if g is not None]
        return all(bool(g.isfinite().all()) for g in (self.losses, *given))

    @torch.no_grad()
    def differs(
        self, losses: Tensor, sums: Sequence[Tensor], shares: Mapping[tuple[int, ...], Tensor], eps: float
    ) -> str | None:
        """Where a quicker way is not exact, or None.

        Args:
            losses: the samples' losses (n,).
            sums: the samples' gradients added up, aligned with `params`.
            shares: squared norms (n,) of the samples' gradients, by the places of the parameters that they count.
            eps: the relative rounding of the coarsest type that takes part.
        """
        loose, floor = _loose(eps), 10 * eps
        if not _close(losses, self.losses, loose, float(self.losses.abs().max())):
            return "the losses are others"
        norms = {sample: [_norm(g) for g in gradients] for sample, gradients in self.alone.items()}
        typical = [len(losses) ** 0.5 * max(of_one) for of_one in zip(*norms.values(), strict=True)]
        sizes = [max(_norm(g), size) for g, size in zip(self.sums, typical, strict=True)]
        total = sum(s * s for s in sizes) ** 0.5
        for place, (got, want, size) in enumerate(zip(sums, self.sums, sizes, strict=True)):
            error = _norm(got if want is None else _wide(got) - _wide(want))
            if not error <= loose * size + floor * total:
                return f"the sum of parameter {place}'s gradients is {error / max(size, total * floor, 1e-300):.1g} off"
        for places in shares:
            for sample, by_place in norms.items():
                want = sum(by_place[place] ** 2 for place in places) ** 0.5
                got = float(shares[places][sample]) ** 0.5
                if not abs(got - want) <= loose * want + floor * total:
                    return f"a sample's gradient of parameters {places} has the norm {got:.6g}, not {want:.6g}"
        return None


def gradients_of(loss: Tensor, params: Sequence[Tensor]) -> Gradients:
    """Gradients of one number (), dense, aligned with `params`; None where it does not reach. The graph stays.

    Raises:
        ValueError: autograd cannot, e.g. since something was overwritten in place.
    """
    places = [i for i, p in enumerate(params) if p.requires_grad]
    result: Gradients = [None] * len(params)
    if not loss.requires_grad or not places:
        return result
    try:
        given = torch.autograd.grad(loss, [params[i] for i in places], retain_graph=True, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(
            f"autograd cannot take the gradient of one sample's loss in this model: {error}\n"
            "Mend the model, or use estimator=groups where an ordinary backward pass works"
        ) from error
    for place, gradient in zip(places, given, strict=True):
        if gradient is not None:
            result[place] = (gradient.to_dense() if gradient.is_sparse else gradient).detach()
    return result


def some_of(samples: int) -> list[int]:
    """All of a few samples; of many, four from the first to the last."""
    return list(range(samples)) if samples <= FEW else [round(k * (samples - 1) / 3) for k in range(4)]


def check_apart(model: nn.Module, losses_of: Losses, x: Tensor, y: Any, before: ModelState, eps: float) -> None:
    """Raise ValueError where a sample's loss depends on the others in its batch.

    Of eight samples, four keep their places while the others are replaced by copies of these, in the six ways that
    part every two of them: the same shapes and the same random numbers, so that only what mixes samples can change
    the losses of those that stay. Without random numbers their order and their number must not matter either.

    Args:
        model: to be asked.
        losses_of: the samples' losses (n,), of the model's output and the targets.
        x: the n samples, at least 2.
        y: their targets.
        before: the state to start each forward pass from; the model is left in another.
        eps: the relative rounding of the coarsest type that takes part.
    """

    def pass_of(order: Tensor) -> tuple[Tensor, list[Any]]:
        before.restore()
        with torch.enable_grad():  # some models differentiate in their forward pass
            losses = losses_of(model(x[order]), targets_of(y, order, len(x)), len(order))
        return losses.detach(), before.drawn()

    def compare(here: Tensor, there: Tensor, on: str) -> None:
        if not _close(here, there, min(100 * eps, 0.3), float(losses.abs().max())):
            worst = int((here - there).abs().argmax())
            raise ValueError(
                f"the loss of a sample depends on {on} (it is {float(here[worst]):.6g}, or {float(there[worst]):.6g}), "
                "so that no sample has a gradient of its own: use estimator=groups, to which a group is a batch like "
                "any other, or a model and a loss that keep samples apart"
            )

    before.restore()
    at_first = before.drawn()
    everyone = torch.arange(len(x), device=x.device)
    few = torch.cat([everyone[: FEW // 2], everyone[FEW // 2 :][-FEW // 2 :]])
    try:
        losses, drawn = pass_of(few)
    except Exception:  # a model for batches of one size
        few = everyone
        losses, drawn = pass_of(few)
    places = torch.arange(len(few), device=x.device)
    for bit in range((len(few) - 1).bit_length()):
        for side in (0, 1):
            stay = (places >> bit) % 2 == side
            copies, drawn_then = pass_of(torch.where(stay, few, few[stay][0]))
            if same_states(drawn, drawn_then):  # with other random numbers nothing can be told from the difference
                compare(losses[stay], copies[stay], "the others in its batch")
    if not same_states(drawn, at_first):
        return
    compare(losses, pass_of(few.roll(1))[0].roll(-1), "its place in the batch")
    try:
        alone = torch.cat([pass_of(few[k : k + 1])[0] for k in range(len(few))])
    except Exception:  # some models are made for a batch of one size, or for several samples
        return
    compare(losses, alone, "how many samples are in its batch")


def targets_of(y: Any, order: Tensor, samples: int) -> Any:
    """The targets of some samples: of a tensor or a sequence with an entry per sample these entries, inside others too.

    Args:
        y: all targets.
        order: the samples' places (m,).
        samples: in all.
    """
    if isinstance(y, Tensor):
        return y[order.to(y.device)] if y.dim() and len(y) == samples else y
    if isinstance(y, Mapping):
        return {key: targets_of(value, order, samples) for key, value in y.items()}
    if type(y) in (list, tuple):
        by_sample = len(y) == samples and not any(isinstance(t, Tensor) and t.dim() for t in y)
        return type(y)([y[k] for k in order.tolist()] if by_sample else [targets_of(t, order, samples) for t in y])
    return y


def rounding(params: Sequence[Tensor], device: torch.device) -> float:
    """The relative rounding of the coarsest type that takes part."""
    kinds = {p.dtype for p in params if p.is_floating_point()}
    if torch.is_autocast_enabled(device.type):
        kinds.add(torch.get_autocast_dtype(device.type))
    coarse = max(torch.finfo(kind).eps for kind in kinds)
    tensor_cores = device.type == "cuda" and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
    return max(coarse, 1e-3) if tensor_cores and torch.float32 in kinds else coarse


def _loose(eps: float) -> float:
    """How far two ways may be apart for rounding: what is wrong is wrong by more."""
    return min(10 * math.sqrt(eps), 0.3)


def _wide(tensor: Tensor) -> Tensor:
    wide: Tensor = tensor.to(exact(tensor.device))
    return wide


def _norm(tensor: Tensor | None) -> float:
    norm: Tensor = torch.linalg.vector_norm(torch.zeros(()) if tensor is None else _wide(tensor))
    return float(norm)


def _close(one: Tensor, other: Tensor, loose: float, size: float) -> bool:
    same: bool = torch.allclose(_wide(one), _wide(other), rtol=loose, atol=loose * size, equal_nan=True)
    return same
