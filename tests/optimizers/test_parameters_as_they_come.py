"""Parameters, gradients and groups as people bring them: one row of the contract per kind, for all our optimizers.

What torch itself does about them is torch's; these are the optimizers of `TABLE` that batchlab wrote or wraps.
"""

from __future__ import annotations

import copy
import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from batchlab.optimizers import GSNR, Muon
from batchlab.optimizers.needs import Closure, Moments, needs_of
from tests.optimizers.test_contract import TABLE, Row

OURS = [row for row in TABLE if row.target.__module__.startswith("batchlab.")]
every_one_of_ours = pytest.mark.parametrize("row", OURS, ids=lambda row: row.name)
every_path = pytest.mark.parametrize("foreach", [False, True], ids=["plain", "foreach"])
HALVES = (torch.float16, torch.bfloat16)
Gradients = Sequence[Tensor | None]


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def take(optimizer: Optimizer, gradients: Gradients) -> None:
    """A step from these gradients, wherever the parameters are; where moments are asked for, with as much noise."""
    params = parameters_of(optimizer)

    def give(scale: float | None = None) -> float:
        for p, g in zip(params, gradients, strict=True):
            p.grad = g if g is None or scale is None else scale * g
        return 0.0

    needs = needs_of(optimizer)
    if isinstance(needs, Moments):
        moments = needs.gather(params)
        for scale in (0.5, 1.5) * 4:
            give(scale)
            moments.observe(1)
        moments.reduce()
        optimizer.step(moments)
    elif isinstance(needs, Closure):
        optimizer.step(give)
    else:
        give()
        optimizer.step()


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Multiples of `scale` / 16 up to 2 `scale`, none of them 0: exact in every type, half and 3/2 of them too."""
    count = math.prod(shape)
    return (scale / 16 * (1 + (torch.arange(count) * 7 + seed * 5) % 31 - 32 * (torch.arange(count) % 2))).view(shape)


def parameter(value: Tensor, dtype: torch.dtype = torch.float32) -> Parameter:
    return Parameter(value.clone().to(dtype))


def moved(row: Row, values: Sequence[Tensor], gradients: Sequence[Gradients], **options: Any) -> list[Tensor]:
    """Where parameters that begin at `values`, in their types, end after a step from each of `gradients`."""
    params = [Parameter(value.clone()) for value in values]
    optimizer = row.make(params, **options)
    for given in gradients:
        take(optimizer, given)
    return [p.detach() for p in params]


def same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


# -- types -------------------------------------------------------------------------------------------------------


def mixed() -> tuple[list[Tensor], list[list[Tensor]]]:
    """A matrix and a vector of each type, and three gradients of each; the vectors' are so small that in float16 their
    squares are 0."""
    kinds = (torch.float32, torch.float16, torch.float64, torch.bfloat16)
    shapes, scales = ((2, 3), (3,)), (1.0, 2.0**-14)
    values = [(0.5 + numbers(*shape, seed=1) / 4).to(kind) for kind in kinds for shape in shapes]
    gradients = [
        [numbers(*shape, seed=t, scale=s).to(kind) for kind in kinds for shape, s in zip(shapes, scales, strict=True)]
        for t in (2, 3, 4)
    ]
    return values, gradients


@every_one_of_ours
@every_path
def test_types_beside_each_other_move_as_in_float64(row: Row, foreach: bool) -> None:
    values, gradients = mixed()
    exact = moved(row, [v.double() for v in values], [[g.double() for g in given] for given in gradients])
    for x, y in zip(moved(row, values, gradients, foreach=foreach), exact, strict=True):
        assert x.dtype in {v.dtype for v in values}
        precision = torch.finfo(x.dtype).eps  # each step rounds once or twice
        torch.testing.assert_close(x.double(), y, rtol=4 * precision, atol=4 * precision)


@every_one_of_ours
@every_path
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_step_in_half_precision_is_rounded_once(row: Row, foreach: bool, dtype: torch.dtype) -> None:
    """However short: the parts of a step that are each lost in a parameter's rounding may make it together."""
    values = [1.5 + numbers(2, 3, seed=k) / 8 for k in range(12)]
    gradients = [numbers(2, 3, seed=k, scale=2.0**-k).to(dtype) for k in range(12)]
    exact = moved(row, [v.double() for v in values], [[g.double() for g in gradients]])
    for x, y in zip(moved(row, [v.to(dtype) for v in values], [gradients], foreach=foreach), exact, strict=True):
        spacing = torch.finfo(dtype).eps * 2.0 ** y.abs().log2().floor()
        assert ((x.double() - y).abs() <= 0.55 * spacing).all()


@every_one_of_ours
@every_path
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
def test_a_gradient_of_zero_moves_nothing(row: Row, foreach: bool, dtype: torch.dtype) -> None:
    """Neither in a tensor that has no other, nor in a row beside others, one of which has next to nothing."""
    some = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.0, 2.0**-13]], dtype=dtype)
    values = [torch.ones_like(some), torch.ones_like(some), torch.ones(2, dtype=dtype), torch.ones((), dtype=dtype)]
    gradients = [some, *(torch.zeros_like(v) for v in values[1:])]
    ends = moved(row, values, [gradients] * 3, foreach=foreach, weight_decay=0.0)
    for x, value, g in zip(ends, values, gradients, strict=True):
        assert torch.isfinite(x).all()
        whole_rows = row.target is Muon and g.dim() > 1  # it mixes the elements of a row
        none = (g == 0).all(-1) if whole_rows else g == 0
        assert torch.equal(x[none], value[none])
    assert (ends[0][1] != 1).all()


@every_one_of_ours
def test_a_state_of_several_types_is_resumed(row: Row) -> None:
    values, gradients = mixed()
    values, gradients = [*values, torch.zeros(0, 3)], [[*given, torch.zeros(0, 3)] for given in gradients]
    params = [Parameter(value.clone()) for value in values]
    optimizer = row.make(params)
    take(optimizer, gradients[0])
    stored = io.BytesIO()
    torch.save(optimizer.state_dict(), stored)
    stored.seek(0)
    copies = [Parameter(p.detach().clone()) for p in params]
    resumed = row.make(copies, lr=123.0)
    resumed.load_state_dict(torch.load(stored, weights_only=True))
    again, copied = copy.deepcopy((params, optimizer))
    for given in gradients[1:]:
        for each in (optimizer, resumed, copied):
            take(each, given)
    same(copies, params)
    same(again, params)


# -- shapes ------------------------------------------------------------------------------------------------------


@every_one_of_ours
@every_path
def test_parameters_without_elements_change_nothing(row: Row, foreach: bool) -> None:
    """A bias of width 0: first, last, and in a group of its own."""
    x, alone = parameter(numbers(2, 3)), parameter(numbers(2, 3))
    first, last, own = (parameter(torch.empty(shape)) for shape in ((0,), (0, 3), (2, 0)))
    optimizer = row.make([{"params": [first, x, last]}, {"params": [own]}], foreach=foreach, weight_decay=0.1)
    reference = row.make([alone], foreach=foreach, weight_decay=0.1)
    for t in range(3):
        g = numbers(2, 3, seed=t)
        take(optimizer, [torch.empty(0), g, torch.empty(0, 3), torch.empty(2, 0)])
        take(reference, [g])
    same([x], [alone])
    if isinstance(optimizer, GSNR) and isinstance(reference, GSNR):
        assert optimizer.mean_multiplier() == reference.mean_multiplier()
        assert [r | {"layer": "0"} for r in optimizer.gsnr_summary()] == reference.gsnr_summary()


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every_second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "part_of_a_buffer": lambda x: torch.cat([torch.zeros(3), x.flatten()])[3:].view(x.shape),
}


@every_one_of_ours
@every_path
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_layout_in_memory_does_not_matter(row: Row, foreach: bool, layout: Callable[[Tensor], Tensor]) -> None:
    shape = (2, 3, 2, 2)
    plain, laid = (Parameter(change(numbers(*shape))) for change in (torch.clone, layout))
    a, b = row.make([plain], foreach=foreach), row.make([laid], foreach=foreach)
    strides = laid.stride()
    for t in range(3):
        g = numbers(*shape, seed=t)
        take(a, [g])
        take(b, [g if t == 1 else layout(g)])
    torch.testing.assert_close(laid, plain, rtol=1e-6, atol=1e-7)  # a norm may be summed in another order
    assert laid.stride() == strides


@every_one_of_ours
@every_path
def test_a_gradient_may_be_an_expanded_number(row: Row, foreach: bool) -> None:
    """As a sum's is: one number in memory for all, not to be written to."""
    number = torch.tensor(0.5)
    expanded = moved(row, [numbers(2, 3)], [[number.expand(2, 3)]] * 3, foreach=foreach)
    same(expanded, moved(row, [numbers(2, 3)], [[torch.full((2, 3), 0.5)]] * 3, foreach=foreach))
    assert number.item() == 0.5


# -- gradients ---------------------------------------------------------------------------------------------------


@every_one_of_ours
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_step_without_a_gradient_is_none(row: Row, dtype: torch.dtype) -> None:
    """Neither for the parameter that lacks it, nor where all do; a frozen one stays where it is."""
    x, still, alone = (parameter(numbers(2, 3), dtype) for _ in range(3))
    frozen = parameter(torch.ones(3), dtype).requires_grad_(False)
    optimizer, reference = row.make([x, still, frozen]), row.make([alone])
    g = numbers(2, 3).to(dtype)
    nothing = torch.zeros_like(g)
    for given in ([g, nothing, None], [None, nothing, None], [None, None, None], [g, None, None]):
        take(optimizer, given)
    for _ in range(2):
        take(reference, [g])
    same([x, frozen], [alone, torch.ones(3, dtype=dtype)])


def test_the_control_of_gsnr_takes_a_step_without_gradients() -> None:
    x = parameter(numbers(2, 3))
    take(next(row for row in OURS if row.name == "vr_sgd").make([x], control=True), [None])
    same([x], [numbers(2, 3)])


@every_one_of_ours
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_shows(row: Row, dtype: torch.dtype, bad: float) -> None:
    """In what it moves; what it spoils (a norm, a mean) must not come out as a number as good as any."""
    g = numbers(2, 3).to(dtype)
    g[0, 0] = bad
    (x,) = moved(row, [torch.ones(2, 3, dtype=dtype)], [[g]])
    assert not torch.isfinite(x[0, 0])
    if row.name.startswith(("lars", "lamb", "vr_")):
        others = x.flatten()[1:]
        assert not torch.isfinite(others).any() or torch.equal(others, torch.ones_like(others))


# -- groups ------------------------------------------------------------------------------------------------------


def refusals(group: dict[str, Any]) -> list[dict[str, Any]]:
    """What a group may be wrong in: every number of its options, and its parameters."""
    bad: list[dict[str, Any]] = []
    for name, value in group.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "dampening":  # NSHB's is momentum
            bad += [{name: wrong} for wrong in (-1.0, math.nan, math.inf, "0.1", None)]
        elif isinstance(value, tuple):
            bad += [{name: (value[0], wrong)} for wrong in (-1.0, 1.0, math.nan)]
    x, z = Parameter(torch.ones(2)), Parameter(torch.zeros(2, dtype=torch.complex64))
    return [*bad, {"lr": torch.ones(2)}, *({"params": wrong} for wrong in ([x, z], [2 * x], [x, 3.0], {x}))]


@every_one_of_ours
def test_a_refused_group_leaves_no_trace(row: Row) -> None:
    x, twin, late = (parameter(numbers(2, 3)) for _ in range(3))
    optimizer, reference = row.make([x]), row.make([twin])
    for each in (optimizer, reference):
        take(each, [numbers(2, 3)])
    before, defaults, known = dict(optimizer.param_groups[0]), dict(optimizer.defaults), list(optimizer.state)
    wrong = refusals(before)
    assert {"lr": -1.0} in wrong
    for bad in [*wrong, {"params": [late, x]}, {"params": [("late", late)]}]:
        with pytest.raises((ValueError, TypeError)):
            optimizer.add_param_group({"params": (p for p in [late]), **bad})
        assert len(optimizer.param_groups) == 1, bad
        assert list(optimizer.state) == known
    assert {k: v for k, v in optimizer.param_groups[0].items() if k != "params"} == {
        k: v for k, v in before.items() if k != "params"
    }
    assert parameters_of(optimizer) == [x]
    assert optimizer.defaults == defaults
    for each in (optimizer, reference):
        take(each, [numbers(2, 3, seed=1)])
    same([x], [twin])
    optimizer.add_param_group({"params": [late]})
    take(optimizer, [None, numbers(2, 3)])
    assert (late != numbers(2, 3)).all()


@every_one_of_ours
def test_groups_may_be_given_as_torch_takes_them(row: Row) -> None:
    """A generator, one tensor, a tuple, an empty list; at the start and later."""
    x, y, z = (parameter(numbers(2, 3, seed=i)) for i in range(3))
    optimizer = row.make([{"params": (p for p in [x])}, {"params": []}])
    optimizer.add_param_group({"params": y})
    optimizer.add_param_group({"params": iter((z,))})
    optimizer.add_param_group({"params": ()})
    gradients = [[numbers(2, 3, seed=t + i) for i in range(3)] for t in range(3)]
    for given in gradients:
        take(optimizer, given)
    same([x, y, z], moved(row, [numbers(2, 3, seed=i) for i in range(3)], gradients))
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 0, 1, 1, 0]


@every_one_of_ours
@every_path
def test_a_parameter_given_twice_is_stepped_once(row: Row, foreach: bool) -> None:
    """As where the lists of an encoder and a decoder with tied weights are joined; torch's warning stays."""
    x, y = parameter(numbers(2, 3)), parameter(numbers(2))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        optimizer = row.make([("x", x), ("y", y), ("x", x)], foreach=foreach)
    assert any("duplicate parameters" in str(each.message) for each in said)
    assert parameters_of(optimizer) == [x, y]
    gradients = [[numbers(2, 3, seed=t), numbers(2, seed=t)] for t in range(3)]
    for given in gradients:
        take(optimizer, given)
    same([x, y], moved(row, [numbers(2, 3), numbers(2)], gradients, foreach=foreach))
    assert optimizer.param_groups[0]["param_names"] == ["x", "y"]


# -- the rate ----------------------------------------------------------------------------------------------------


@every_one_of_ours
@pytest.mark.parametrize("shape", [(), (1,)], ids=str)
def test_the_rate_may_be_a_tensor(row: Row, shape: tuple[int, ...]) -> None:
    gradients = [[numbers(2, 3, seed=t), numbers(3, seed=t)] for t in range(3)]
    values = [numbers(2, 3), numbers(3)]
    rate = torch.full(shape, row.quadratic, dtype=torch.float64)
    ends = moved(row, values, gradients, lr=rate, weight_decay=0.1)
    for a, b in zip(ends, moved(row, values, gradients, weight_decay=0.1), strict=True):
        torch.testing.assert_close(a, b)
    assert rate.shape == shape
    with pytest.raises(ValueError, match=r"lr|rate"):
        row.make([parameter(numbers(2))], lr=torch.full(shape, -1.0))


@every_one_of_ours
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_rate_of_zero_moves_nothing(row: Row, dtype: torch.dtype) -> None:
    x = parameter(numbers(2, 3), dtype)
    optimizer = row.make([x], weight_decay=0.1)
    g = numbers(2, 3).to(dtype)
    optimizer.param_groups[0]["lr"] = 0.0
    for _ in range(2):
        take(optimizer, [g])
    same([x], [numbers(2, 3).to(dtype)])
    optimizer.param_groups[0]["lr"] = row.quadratic
    take(optimizer, [g])
    assert torch.isfinite(x).all()
    assert (x != numbers(2, 3).to(dtype)).all()
