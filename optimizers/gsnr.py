"""GSNR: any optimizer, fed with gradients scaled by their own signal-to-noise ratio (arXiv 2309.13681)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from batchlab.optimizers.dense import (
    NON_NEGATIVE,
    Limits,
    check_group,
    check_range,
    in_float32,
    split,
    stepped_in_float32,
    taking_back,
)
from batchlab.optimizers.moments import GradientMoments
from batchlab.optimizers.needs import Moments

Upper: TypeAlias = Literal["one", "inverse", "none"]
Normalize: TypeAlias = Literal["once", "twice", "never"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class GSNR(Optimizer):
    r"""Scale each gradient coordinate by its signal-to-noise ratio, then let `base` take the step.

    From the mean gradients g_1, ..., g_k of the k groups of a batch, element-wise, per layer (parameter tensor):

        gbar   = (1/k) sum_d g_d
        sigma2 = max((1/k) sum_d g_d^2 - gbar^2, 0)
        r      = gbar^2 / (sigma2 + eps)                         the GSNR
        r      <- r / mean(r)                                    normalize: each layer's mean is 1
        r      <- clip(r, gamma, upper)
        p      <- beta3 p + (1 - beta3) r,  p^ = p / (1 - beta3^t)   with beta3 only; p^ = r without
        base.step() with the gradient p^ gbar

    Source: Algorithm 1 of arXiv 2309.13681 for the first five lines, without eps, with upper = 1 and gamma =
    0.1. The running mean p is a reconstruction: the boxes of VR-Adam and VR-LAMB are in an appendix that was
    not available.

    Deviations and readings:

    - eps is not printed in the paper; some is needed where the groups agree. It has the unit of a squared
      gradient, and is small so that the ratio does not depend on the scale of the loss. Where a whole layer
      has r = 0 there is no mean to divide by, and the clip makes it gamma.
    - A layer is one parameter tensor: our reading. Coordinates that no group touches have r = 0 and count in
      its mean.
    - Groups of different sizes weigh by their samples (see `GradientMoments`).
    - `upper`: "one" is printed. With it the multiplier lies in [gamma, 1], so that the step can only shrink;
      under pure noise its mean is 0.39 at k = 4, 0.49 at k = 8, 0.53 at k = 64. "inverse" clips at 1 / gamma,
      "none" not at all.
    - `normalize`: "once" is printed; "twice" divides by the layer's mean again after the clip, so that the
      mean multiplier is 1 and only the direction differs from the base optimizer's; "never" leaves r as it
      is.
    - Weight decay is left to `base`, so it is not scaled. In the loss, where the paper may have it, it would
      enter gbar but not sigma2, and be scaled with the rest.
    - `control=True` is not the method but what it is to be compared with: base.step() on the plain gbar at
      the learning rate lr x mean(p^), the mean over all coordinates at this step (see docs/vrgd.md for what
      this can show).

    r is that of the gradient as it was measured, and multiplies `.grad` as the step finds it: gbar as
    `moments.reduce()` left it, or what clipping made of that. After the step `.grad` is what it was before.
    Parameters of half precision are stepped as copies in float32, rounded once, and base's state of them is float32.

    Args:
        base: the optimizer that takes the step. Its groups and its state are those of this object, so
            learning-rate schedulers may be given either.
        gamma: lower clip, in [0, 1). "inverse" needs it above 0.
        upper: upper clip: "one", "inverse" (1 / gamma) or "none".
        normalize: "once", "twice" or "never".
        beta3: decay of the running mean, in [0, 1); None for none.
        eps: above 0.
        minimum_groups: fewest groups k a step is taken from, at least 2.
        control: take the control's step instead.
        foreach: all tensors of a group at a time (True), one at a time (False), or by device (None).

    Raises:
        ValueError: an option out of its range; a step without moments, from fewer than `minimum_groups` groups, or
            with a parameter the moments do not know.

    Warns:
        UserWarning: once, at the first step from fewer than 8 groups.

    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> moments = GradientMoments([w], elementwise=True)
    >>> optimizer = GSNR(torch.optim.SGD([w], lr=1.0), gamma=0.1)
    >>> for group in range(8):  # a signal of 1 in both coordinates, and noise of 1 in the second
    ...     w.grad = torch.tensor([1.0 + 0.1 * (-1) ** group, 1.0 + (-1) ** group])
    ...     moments.observe(4)
    >>> moments.reduce()
    >>> optimizer.step(moments)  # r = (100, 1), r / mean(r) = (1.98, 0.02), clipped (1, 0.1)
    >>> [round(value, 4) for value in w.tolist()]
    [-1.0, -0.1]
    """

    needs = Moments(elementwise=True)
    limits: ClassVar[Limits] = {"lr": NON_NEGATIVE}
    """Of the base's options, where it has them: torch looks at those an optimizer is made with, not at a group's."""
    _own = (
        *("needs", "base", "gamma", "beta3", "eps", "ceiling", "normalize", "minimum_groups", "control", "foreach"),
        *("_layers", "_stepped", "_warned"),
    )

    def __init__(
        self,
        base: Optimizer,
        *,
        gamma: float = 0.1,
        upper: Upper = "one",
        normalize: Normalize = "once",
        beta3: float | None = None,
        eps: float = 1e-16,
        minimum_groups: int = 2,
        control: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_range("gamma", gamma, 0.0, 1.0)
        check_range("beta3", beta3 or 0.0, 0.0, 1.0)
        _check_choice("upper", upper, get_args(Upper))
        _check_choice("normalize", normalize, get_args(Normalize))
        if upper == "inverse" and gamma == 0:
            raise ValueError("upper=inverse clips at 1/gamma, which needs gamma > 0; use upper=none")
        if eps <= 0:
            raise ValueError(f"eps must be above 0, not {eps}: groups that agree would divide by 0")
        if minimum_groups < 2:
            raise ValueError(f"minimum_groups must be at least 2, not {minimum_groups}: one group has no variance")
        self.base = base
        self.gamma, self.beta3, self.eps = gamma, beta3, eps
        self.ceiling = {"one": 1.0, "inverse": 1 / gamma if gamma else math.inf, "none": math.inf}[upper]
        self.normalize, self.minimum_groups, self.control, self.foreach = normalize, minimum_groups, control, foreach
        self.needs = Moments(groups=minimum_groups, elementwise=True)
        self._layers: dict[Tensor, _Layer] = {}
        self._stepped: list[Tensor] = []
        self._warned = False
        super().__init__(base.param_groups, base.defaults)
        self._share()

    def _share(self) -> None:
        self.param_groups, self.state = self.base.param_groups, self.base.state

    @override
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        with taking_back(self.base):
            if not any(param_group is group for group in self.base.param_groups):
                self.base.add_param_group(param_group)
                param_group = self.base.param_groups[-1]
            options = self.base.defaults | {k: v for k, v in param_group.items() if v is not None}
            limits = {name: limit for name, limit in self.limits.items() if options.get(name) is not None}
            check_group(param_group, limits, type(self).__name__)

    # -- the step ----------------------------------------------------------------------------------------

    @override
    @torch.no_grad()
    def step(self, moments: GradientMoments | None = None) -> None:  # type: ignore[override]
        """One step from the moments of a batch, after `moments.reduce()`.

        The signature is not that of other optimizers, as a closure could not give the statistics.
        """
        if moments is None:
            raise ValueError(f"{type(self).__name__} needs the batch's gradient moments: call step(moments)")
        self._check_groups(moments.groups)
        means, squares = (
            dict(zip(moments.params, kept, strict=True)) for kept in (moments.means(), moments.second_moments())
        )
        self._stepped = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        if any(p not in means for p in self._stepped):
            raise ValueError("a parameter of the optimizer is not in the moments: build both from the same parameters")
        for places in split(self._stepped, self.foreach):
            part = [self._stepped[i] for i in places]
            self._scale(part, [means[p] for p in part], [squares[p] for p in part])
        with self._as_control() if self.control else self._scaled_gradients(), stepped_in_float32(self.base):
            self.base.step()

    def _check_groups(self, groups: int) -> None:
        if groups < self.minimum_groups:
            raise ValueError(
                f"the variance over groups needs at least {self.minimum_groups} of them, this batch had {groups}: "
                "split it into more micro-batches, or use more ranks"
            )
        if groups < 8 and not self._warned:
            self._warned = True
            warnings.warn(
                f"{groups} groups give a poor signal-to-noise ratio: under pure noise its mean is of the order of "
                "1/(k - 3), infinite for k <= 3, and single coordinates dominate a layer's mean; use at least 8 groups",
                stacklevel=4,
            )

    def _scale(self, x: list[Tensor], measured: list[Tensor], squares: list[Tensor]) -> None:
        """Compute the multiplier and the scaled gradient of the parameters `x`, all of one device and dtype.

        The multiplier is that of the gradient as `measured`: `.grad`, clipped or rounded perhaps, would not go with
        its `squares`.
        """
        given = [p.grad for p in x if p.grad is not None]
        layers = [self._layer(p, like) for p, like in zip(x, measured, strict=True)]
        r, scaled = [layer.multiplier for layer in layers], [layer.scaled for layer in layers]
        sizes = [p.numel() for p in x]

        _signal_to_noise(r, scaled, measured, squares, self.eps)
        means = _means(r, sizes)
        if self.normalize != "never":
            torch._foreach_mul_(r, list(_inverse(means).unbind()))
        _clamp(r, self.gamma, self.ceiling)
        factors = torch.ones_like(means)
        if self.normalize == "twice":
            factors = _inverse(_means(r, sizes))
            torch._foreach_mul_(r, list(factors.unbind()))
        for layer, mean, factor in zip(layers, means.unbind(), factors.unbind(), strict=True):
            layer.gsnr, layer.factor = mean, factor
            layer.steps += 1
        if self.beta3 is None:
            _assign(torch.mul, scaled, given, r)
        else:
            averages = [layer.average for layer in layers if layer.average is not None]
            torch._foreach_lerp_(averages, r, 1 - self.beta3)
            _assign(torch.mul, scaled, given, averages)
            torch._foreach_mul_(scaled, [1 / self._correction(layer) for layer in layers])

    def _correction(self, layer: _Layer) -> float:
        return 1.0 if self.beta3 is None else 1 - self.beta3**layer.steps

    def _layer(self, parameter: Tensor, like: Tensor) -> _Layer:
        if parameter not in self._layers:
            average = None if self.beta3 is None else torch.zeros_like(like)
            self._layers[parameter] = _Layer(torch.empty_like(like), torch.empty_like(like), average)
        return self._layers[parameter]

    @contextmanager
    def _scaled_gradients(self) -> Iterator[None]:
        """`.grad` is the scaled gradient inside and what it was before outside."""
        kept = [p.grad for p in self._stepped]
        for p in self._stepped:
            p.grad = self._layers[p].scaled.to(p.dtype)
        try:
            yield
        finally:
            for p, grad in zip(self._stepped, kept, strict=True):
                p.grad = grad

    @contextmanager
    def _as_control(self) -> Iterator[None]:
        """The learning rates are multiplied by the mean multiplier inside and what they were before outside."""
        factor = self.mean_multiplier() if any(p.numel() for p in self._stepped) else 1.0
        kept = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] = group["lr"] * factor
        try:
            yield
        finally:
            for group, lr in zip(self.param_groups, kept, strict=True):
                group["lr"] = lr

    # -- what can be seen of it, after a step ------------------------------------------------------------

    def multipliers(self) -> list[Tensor]:
        """What the last step multiplied each gradient coordinate by.

        Returns:
            A tensor per parameter stepped, of its shape: r, or p^ with beta3. Without beta3 these are this object's
            buffers, overwritten by the next step.
        """
        layers = [self._layers[p] for p in self._stepped]
        return [
            layer.multiplier if layer.average is None else layer.average / self._correction(layer) for layer in layers
        ]

    def mean_multiplier(self) -> float:
        """Mean of `multipliers()` over all coordinates of all layers. Waits for the device.

        Raises:
            ValueError: no step was taken yet, or none of any coordinate.
        """
        multipliers = self.multipliers()
        size = sum(m.numel() for m in multipliers)
        if not size:
            raise ValueError("no step was taken yet: call step(moments) first")
        return sum(float(m.sum(dtype=torch.float64)) for m in multipliers) / size

    @torch.no_grad()
    def gsnr_summary(self) -> list[dict[str, float | int | str]]:
        """What the last step did to each layer. Waits for the device, which `step` itself never does for this.

        Returns:
            A row per layer that has coordinates: `layer`, the parameter's name where the groups have names, else its
            place in the groups; `size`, its coordinates; `gsnr`, mean of r before normalisation and clip; then of r
            after them: `mean`, the quantiles `q05`, `q25`, `q50`, `q75`, `q95`, and the shares of coordinates at the
            lower and at the upper clip, `clipped_low` and `clipped_high`. r is that of the step alone, also with beta3.
        """
        rows: list[dict[str, float | int | str]] = []
        names = [name for group in self.param_groups for name in group.get("param_names", group["params"])]
        places = {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        for p in (p for p in self._stepped if p.numel()):
            layer, place = self._layers[p], places[p]
            r = layer.multiplier.flatten().sort().values
            low, high = (layer.factor * end for end in (self.gamma, self.ceiling))
            # torch.quantile does the same, for up to 16 million coordinates only
            at = [divmod(q * (len(r) - 1), 1) for q in QUANTILES]
            between = [torch.lerp(r[int(i)], r[min(int(i) + 1, len(r) - 1)], part) for i, part in at]
            values = [layer.gsnr, r.mean(), (r <= low).double().mean(), (r >= high).double().mean(), *between]
            gsnr, mean, clipped_low, clipped_high, *quantiles = (float(value) for value in values)
            name = names[place] if isinstance(names[place], str) else str(place)
            row: dict[str, float | int | str] = {"layer": name, "size": len(r), "gsnr": gsnr, "mean": mean}
            row |= {f"q{round(100 * q):02d}": value for q, value in zip(QUANTILES, quantiles, strict=True)}
            rows.append(row | {"clipped_low": clipped_low, "clipped_high": clipped_high})
        return rows

    # -- copies and checkpoints --------------------------------------------------------------------------

    @override
    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles; torch's knows of defaults, groups and state only."""
        return {**super().__getstate__(), **{name: getattr(self, name) for name in self._own}}

    @override
    def state_dict(self) -> dict[str, Any]:
        """The base's, with the running means of r under `gsnr`, numbered as the parameters are."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        kept = {i: self._layers[p] for i, p in enumerate(parameters) if p in self._layers}
        means = {i: {"average": layer.average, "steps": layer.steps} for i, layer in kept.items()}
        return {**self.base.state_dict(), "gsnr": means if self.beta3 is not None else {}}

    @override
    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, onto the devices of the parameters.

        The state of a base optimizer on its own will do: running means then begin with the next step, as they do after
        a state without beta3. Without beta3 the running means of a state are left out.
        """
        with in_float32(self.base):
            self.base.load_state_dict({key: value for key, value in state_dict.items() if key != "gsnr"})
        self._share()
        parameters = [p for group in self.param_groups for p in group["params"]]
        self._layers, self._stepped = {}, []
        means = {} if self.beta3 is None else state_dict.get("gsnr", {})
        for i, saved in means.items():
            average = torch.empty_like(parameters[i], dtype=saved["average"].dtype).copy_(saved["average"])
            layer = _Layer(torch.empty_like(average), torch.empty_like(average), average)
            layer.steps = saved["steps"]
            self._layers[parameters[i]] = layer


class _Layer:
    """What is kept of one parameter: buffers of its shape, and 0-dimensional tensors that wait on the device."""

    __slots__ = ("average", "factor", "gsnr", "multiplier", "scaled", "steps")

    def __init__(self, multiplier: Tensor, scaled: Tensor, average: Tensor | None) -> None:
        self.multiplier = multiplier  # r of the last step
        self.scaled = scaled  # the gradient the base optimizer gets
        self.average = average  # p, with beta3 only
        self.steps = 0  # t
        self.gsnr = self.factor = multiplier  # mean of r before the clip, factor of r after it: set by each step


def _signal_to_noise(r: list[Tensor], spread: list[Tensor], g: list[Tensor], squares: list[Tensor], eps: float) -> None:
    """r <- g^2 / (max(squares - g^2, 0) + eps); `spread` is room for the denominator."""
    _assign(torch.mul, r, g, g)
    _assign(torch.sub, spread, squares, r)
    torch._foreach_clamp_min_(spread, 0.0)
    torch._foreach_add_(spread, eps)
    torch._foreach_div_(r, spread)


def _assign(operation: Callable[..., Tensor], out: list[Tensor], a: list[Tensor], b: list[Tensor]) -> None:
    """out <- operation(a, b), without memory of its own: on a CPU new memory takes longer than the operation."""
    if out[0].device.type == "cpu":
        for into, left, right in zip(out, a, b, strict=True):
            operation(left, right, out=into)
    else:
        torch._foreach_copy_(out, a)
        if operation is torch.mul:
            torch._foreach_mul_(out, b)
        else:
            assert operation is torch.sub
            torch._foreach_sub_(out, b)


def _clamp(tensors: list[Tensor], low: float, high: float) -> None:
    if tensors[0].device.type == "cpu":
        for tensor in tensors:
            tensor.clamp_(low, high)
    else:
        torch._foreach_clamp_min_(tensors, low)
        torch._foreach_clamp_max_(tensors, high)


def _means(tensors: list[Tensor], sizes: list[int]) -> Tensor:
    """Means of n tensors of `sizes` elements that are not negative, shape (n,)."""
    if tensors[0].device.type == "cpu":  # where the 1-norm takes four times as long as the sum
        return torch.stack([tensor.mean() for tensor in tensors])
    return torch.stack(list(torch._foreach_div(list(torch._foreach_norm(tensors, 1)), sizes)))


def _inverse(of: Tensor) -> Tensor:
    return torch.where(of == 0, 1.0, 1 / of)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
