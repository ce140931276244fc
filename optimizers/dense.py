"""Common ground of batchlab's own optimizers: what parameters and groups they take, and how they are stepped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any, ClassVar, TypeAlias, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

LossClosure = Callable[[], float]
Limits: TypeAlias = Mapping[str, tuple[float, float]]

NON_NEGATIVE = (0.0, math.inf)
FRACTION = (0.0, 1.0)
CACHED = 1 << 17  # elements of the tensors that a CPU updates together, small enough to stay in its cache


class DenseOptimizer(Optimizer):
    """An optimizer whose groups hold real parameters with dense gradients.

    `limits` maps a hyper-parameter to the half-open interval [low, high) it must lie in; every group is checked,
    also those added later, and one that is refused leaves no trace. (It belongs to the class: torch takes defaults,
    groups and state into a copy or pickle of an optimizer and nothing else, so what an instance is set to must stand
    among those.)

    Whatever a subclass computes is written once, over lists of tensors: `foreach=False` hands it one tensor at a
    time, `foreach=True` all of a group, and None (the default) chooses: all of a group on an accelerator, where
    launches cost; on a CPU large tensors one at a time and small ones together, as many as stay in the cache. All
    three give the same bits. `update` sees no half precision (see `in_float32`).
    """

    limits: ClassVar[Limits]

    @override
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        with taking_back(self):
            super().add_param_group(param_group)
            check_group(self.param_groups[-1], self.limits, type(self).__name__)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        with in_float32(self):
            super().load_state_dict(state_dict)

    def dense_gradient(self, parameter: Tensor) -> Tensor:
        """The gradient of `parameter`, which has one; ValueError where it is sparse."""
        gradient = parameter.grad
        assert gradient is not None
        if gradient.layout is not torch.strided:
            raise ValueError(f"{type(self).__name__} takes no sparse gradients; build the embedding with sparse=False")
        return gradient

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: LossClosure) -> float: ...

    @torch.no_grad()
    def step(self, closure: LossClosure | None = None) -> float | None:
        """One step.

        Args:
            closure: evaluates the loss and its gradients; without one the gradients are there already.

        Returns:
            The closure's loss at the point that the step starts from.
        """
        return self.take(closure)

    def take(self, closure: LossClosure | None) -> float | None:
        """What `step` does, without gradients being recorded. Here: `closure` once, then `update` of each group."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with stepped_in_float32(self):
            for group in self.param_groups:
                self.update(group)
        return loss

    def update(self, group: dict[str, Any]) -> None:
        """Move the parameters of a group that have a gradient.

        Args:
            group: one of `param_groups`.
        """
        raise NotImplementedError


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """See that a hyper-parameter, a number or a tensor of one, lies in [low, high).

    Raises:
        ValueError: naming it, where it does not.
    """
    number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if not isinstance(number, Real):  # text perhaps, which YAML makes of 1e-3
        raise ValueError(f"{name} must be a number, not {value!r}")
    if not low <= float(number) < high:
        bound = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g})"
        raise ValueError(f"{name} must be {bound}, not {value}")


@contextmanager
def taking_back(optimizer: Optimizer) -> Iterator[None]:
    """Leave an optimizer as it was where adding a group ends in an error.

    torch appends a group before anybody can look at it whole; who catches the error would go on with it.
    """
    before = len(optimizer.param_groups)
    try:
        yield
    except BaseException:
        for group in optimizer.param_groups[before:]:
            for parameter in group["params"]:
                optimizer.state.pop(parameter, None)
        del optimizer.param_groups[before:]
        raise


def check_group(group: dict[str, Any], limits: Limits, name: str) -> None:
    """See that a group holds what the optimizer `name` can step, each parameter once.

    Of a parameter given twice torch warns, and then steps it twice on one gradient, or worse. It is meant once, as
    where the lists of two models that share it are joined.

    Raises:
        ValueError: an option beyond its limits (of a pair, each number's), or complex parameters.
    """
    for option, (low, high) in limits.items():
        value = group[option]
        for number in value if isinstance(value, tuple | list) else (value,):
            check_range(option, number, low, high)
    if any(torch.is_complex(p) for p in group["params"]):
        raise ValueError(f"{name} takes no complex parameters; optimize torch.view_as_real(parameter) instead")
    first = {parameter: place for place, parameter in reversed(list(enumerate(group["params"])))}
    for key in {"params", "param_names"} & group.keys():
        group[key] = [group[key][place] for place in sorted(first.values())]


def is_half(tensor: Tensor) -> bool:
    """Whether it is of floats narrower than float32."""
    return tensor.is_floating_point() and tensor.element_size() < 4


@contextmanager
def in_float32(optimizer: Optimizer, *, stepped: bool = False) -> Iterator[dict[Tensor, Tensor]]:
    """Let copies in float32 stand in an optimizer's groups for its parameters of half precision, and own their state.

    In float16 the square of 1e-4 and an eps of 1e-8 are 0, so that a second moment divides by nothing; in bfloat16 one
    that is to lose a thousandth loses none of it. torch's `load_state_dict` gives state the type of the parameter that
    stands there. The parameters themselves are not touched: what hangs on them (hooks, another's buffers) stays.

    Args:
        optimizer: whose groups are what it steps.
        stepped: only those with a gradient, and that too.

    Yields:
        The copies by parameter.
    """
    copies: dict[Tensor, Tensor] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            if is_half(p) and not (stepped and p.grad is None):
                copies[p] = p.detach().float()
                if stepped:
                    copies[p].grad = p.grad.float()
    _exchange(optimizer, copies)
    try:
        yield copies
    finally:
        _exchange(optimizer, {copy: p for p, copy in copies.items()})


def _exchange(optimizer: Optimizer, by: dict[Tensor, Tensor]) -> None:
    """Put the values of `by` in the places of its keys, in groups and in state."""
    if by:
        for group in optimizer.param_groups:
            group["params"][:] = [by.get(p, p) for p in group["params"]]
        for old, new in by.items():
            if old in optimizer.state:
                optimizer.state[new] = optimizer.state.pop(old)


@contextmanager
def stepped_in_float32(optimizer: Optimizer) -> Iterator[None]:
    """As `in_float32`, for a step: the parameters are what it made of the copies, rounded once; nothing if it fails."""
    with in_float32(optimizer, stepped=True) as copies:
        yield
        for parameter, copy in copies.items():
            parameter.copy_(copy)


def split(tensors: list[Tensor], foreach: bool | None) -> list[list[int]]:
    """What one call of an update takes, all of one device and dtype.

    Args:
        tensors: the parameters of a group.
        foreach: all at a time (True), one at a time (False), or by device (None).

    Returns:
        Places in `tensors`, a list per call.
    """
    if foreach is False:
        return [[i] for i in range(len(tensors))]
    done: list[list[int]] = []
    filling: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    room: dict[tuple[torch.device, torch.dtype], float] = {}
    for i, tensor in enumerate(tensors):
        kind = (tensor.device, tensor.dtype)
        if kind not in filling or tensor.numel() > room[kind]:
            filling[kind] = []
            done.append(filling[kind])
            room[kind] = CACHED if foreach is None and tensor.device.type == "cpu" else math.inf
        filling[kind].append(i)
        room[kind] -= tensor.numel()
    return done


def parts(tensors: list[Tensor], foreach: bool | None) -> Iterator[list[Tensor]]:
    """As `split`, the tensors themselves."""
    for places in split(tensors, foreach):
        yield [tensors[i] for i in places]
