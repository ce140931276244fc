"""What the wrapper promises: refusals, warnings, checkpoints, groups, the control, and what can be seen of it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from batchlab.optimizers import (
    GSNR,
    LAMB,
    LARS,
    VRLAMB,
    VRLARS,
    VRSGD,
    GradientMoments,
    VRAdam,
    VRAdamW,
    VRMomentum,
)

VR: dict[str, Callable[..., GSNR]] = {
    "vr_sgd": VRSGD,
    "vr_momentum": VRMomentum,
    "vr_adam": VRAdam,
    "vr_adamw": VRAdamW,
    "vr_lars": VRLARS,
    "vr_lamb": VRLAMB,
}
PLAIN: dict[str, Callable[..., Optimizer]] = {"lars": LARS, "lamb": LAMB}


def weights(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in ((4, 3), (5,))]


def observed(parameters: list[Tensor], k: int = 8, step: int = 0, scale: float = 1.0) -> GradientMoments:
    """Reduced moments of `k` random groups around a gradient of 1."""
    generator = torch.Generator().manual_seed(100 + step)
    moments = GradientMoments(parameters, elementwise=True)
    for _ in range(k):
        for p in parameters:
            p.grad = scale * (1 + torch.randn(p.shape, generator=generator, dtype=p.dtype))
        moments.observe(4)
    moments.reduce()
    return moments


def raw(parameters: list[Tensor], moments: GradientMoments) -> list[np.ndarray]:
    """GSNR before normalisation, in float64."""
    found = []
    for p, second in zip(parameters, moments.second_moments(), strict=True):
        assert p.grad is not None
        g, s = p.grad.double().numpy(), second.double().numpy()
        found.append(g**2 / (np.maximum(s - g**2, 0) + 1e-16))
    return found


# -- how many groups -----------------------------------------------------------------------------------------


def test_one_group_is_refused() -> None:
    x = weights()
    with pytest.raises(ValueError, match="at least 2 of them, this batch had 1"):
        VRSGD(x).step(observed(x, k=1))


def test_fewer_groups_than_asked_for_are_refused() -> None:
    x = weights()
    with pytest.raises(ValueError, match="at least 16 of them, this batch had 8"):
        VRSGD(x, minimum_groups=16).step(observed(x))


def test_fewer_than_8_groups_are_warned_of_once() -> None:
    x = weights()
    optimizer = VRSGD(x)
    with pytest.warns(UserWarning, match=r"7 groups .* infinite for k <= 3"):
        optimizer.step(observed(x, k=7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step(observed(x, k=7))
        VRSGD(x).step(observed(x, k=8))


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.0}, "gamma must be in"),
        ({"gamma": -0.1}, "gamma must be in"),
        ({"beta3": 1.0}, "beta3 must be in"),
        ({"eps": 0.0}, "eps must be above 0"),
        ({"upper": "two"}, "upper must be one of one, inverse, none"),
        ({"normalize": "always"}, "normalize must be one of once, twice, never"),
        ({"upper": "inverse", "gamma": 0.0}, "use upper=none"),
        ({"minimum_groups": 1}, "one group has no variance"),
        ({"lr": -1.0}, "learning rate"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VRSGD(weights(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*VR, *PLAIN])
def test_complex_parameters_are_refused(name: str) -> None:
    makers: dict[str, Callable[..., Optimizer]] = {**VR, **PLAIN}
    with pytest.raises(ValueError, match="view_as_real"):
        makers[name]([torch.zeros(2, dtype=torch.complex64, requires_grad=True)], lr=0.1)


def test_a_step_without_moments_is_refused() -> None:
    with pytest.raises(ValueError, match=r"VRSGD needs .* call step\(moments\)"):
        VRSGD(weights()).step()


def test_a_parameter_the_moments_do_not_know_is_refused() -> None:
    x = weights()
    moments = observed(x[:1])
    x[1].grad = torch.ones(5)
    with pytest.raises(ValueError, match="build both from the same parameters"):
        VRSGD(x).step(moments)


def test_moments_without_second_moments_are_refused_with_both_ways_out() -> None:
    x = weights()
    moments = GradientMoments(x)
    for _ in range(8):
        for p in x:
            p.grad = torch.ones_like(p)
        moments.observe(4)
    moments.reduce()
    with pytest.raises(
        ValueError, match=r"GradientMoments\(params, elementwise=True\).* batch_size\.moments\(params, ele"
    ):
        VRSGD(x).step(moments)


@pytest.mark.parametrize("name", PLAIN)
def test_lars_and_lamb_refuse_what_they_cannot_do(name: str) -> None:
    with pytest.raises(ValueError, match="lr must be at least 0"):
        PLAIN[name](weights(), lr=-1.0)
    with pytest.raises(ValueError, match="weight_decay must be at least 0"):
        PLAIN[name]([{"params": weights(), "weight_decay": -1.0}])
    embedding = nn.Embedding(4, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse=False"):
        PLAIN[name](embedding.parameters()).step()


# -- the step ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VR)
@pytest.mark.parametrize("control", [False, True])
def test_the_gradients_and_learning_rates_are_left_as_they_were(name: str, control: bool) -> None:
    x = weights()
    optimizer = VR[name](x, lr=0.1, control=control)
    moments = observed(x)
    before, norm = [p.grad.clone() for p in x if p.grad is not None], moments.norm_squared()
    optimizer.step(moments)
    assert all(p.grad is not None and torch.equal(p.grad, g) for p, g in zip(x, before, strict=True))
    assert moments.norm_squared() == norm
    assert [group["lr"] for group in optimizer.param_groups] == [0.1]


@pytest.mark.parametrize("name", [*VR, *PLAIN])
def test_resume_continues_bit_for_bit(name: str) -> None:
    makers: dict[str, Callable[..., Optimizer]] = {**VR, **PLAIN}

    def run(parameters: list[Tensor], optimizer: Optimizer, steps: range) -> None:
        for step in steps:
            moments = observed(parameters, step=step)
            optimizer.step(moments) if isinstance(optimizer, GSNR) else optimizer.step()

    whole, first = weights(), weights()
    run(whole, makers[name](whole, lr=0.05, weight_decay=0.01), range(12))
    optimizer = makers[name](first, lr=0.05, weight_decay=0.01)
    run(first, optimizer, range(5))
    saved = copy.deepcopy(optimizer.state_dict())
    second = [p.detach().clone().requires_grad_() for p in first]
    optimizer = makers[name](second, lr=0.7)
    optimizer.load_state_dict(saved)
    run(second, optimizer, range(5, 12))
    assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))


def test_the_state_of_the_base_optimizer_alone_will_do() -> None:
    """A run begun with SGD goes on with VR-Momentum: its momentum is taken over, the running means begin anew."""
    x = weights()
    plain = SGD(x, lr=0.1, momentum=0.9)
    observed(x)
    plain.step()
    for beta3 in (None, 0.9):
        copies = [p.detach().clone().requires_grad_() for p in x]
        optimizer = VRMomentum(copies, lr=0.1, beta3=beta3)
        optimizer.load_state_dict(copy.deepcopy(plain.state_dict()))
        optimizer.step(observed(copies))
        for p, q, r in zip(x, copies, optimizer.multipliers(), strict=True):
            assert q.grad is not None
            buffer = plain.state[p]["momentum_buffer"]
            torch.testing.assert_close(q, p - 0.1 * (0.9 * buffer + r * q.grad))


def test_a_state_with_running_means_serves_an_optimizer_without() -> None:
    x = weights()
    first, second = VRAdam(x, lr=0.1), VRAdam(x, lr=0.1, beta3=None)
    first.step(observed(x))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    with pytest.raises(ValueError, match="no step was taken yet"):
        second.mean_multiplier()
    second.step(observed(x, step=1))
    y = weights()
    fresh = VRAdam(y, beta3=None)
    fresh.step(observed(y, step=1))
    for a, b in zip(second.multipliers(), fresh.multipliers(), strict=True):
        assert torch.equal(a, b), "r of this step"


@pytest.mark.parametrize("name", VR)
def test_a_missing_gradient_leaves_the_parameter_alone(name: str) -> None:
    x = weights()
    optimizer = VR[name](x, lr=0.1)
    moments = GradientMoments(x, elementwise=True)
    for k in range(8):
        x[0].grad = torch.full_like(x[0], 1.0 + k)
        moments.observe(2)
    moments.reduce()
    before = x[1].detach().clone()
    optimizer.step(moments)
    assert torch.equal(x[1], before)
    assert [row["layer"] for row in optimizer.gsnr_summary()] == ["0"]


@pytest.mark.parametrize("control", [False, True])
def test_layers_without_coordinates_have_no_row(control: bool) -> None:
    x, empty = weights()[0], torch.empty(0, 3, requires_grad=True)
    optimizer = VRSGD([empty, x], control=control)
    optimizer.step(observed([empty, x]))
    (row,) = optimizer.gsnr_summary()
    assert (row["layer"], row["size"]) == ("1", 12)
    x.grad = None
    alone = GradientMoments([empty, x], elementwise=True)
    for _ in range(8):
        empty.grad = torch.empty(0, 3)
        alone.observe(1)
    alone.reduce()
    optimizer.step(alone)
    assert optimizer.gsnr_summary() == []
    with pytest.raises(ValueError, match="no step was taken yet"):
        optimizer.mean_multiplier()


class Eager(SGD):
    """Somebody's own, which copies a group and makes its state at once."""

    def add_param_group(self, param_group: dict[str, object]) -> None:
        super().add_param_group(dict(param_group))
        for p in self.param_groups[-1]["params"]:
            self.state[p]["momentum_buffer"] = torch.zeros_like(p)


@pytest.mark.parametrize("base", [SGD, torch.optim.Adagrad, torch.optim.Adafactor, LAMB, Eager])
def test_a_group_that_is_refused_is_in_neither_optimizer(base: Callable[..., Optimizer]) -> None:
    x, late = weights()
    z = torch.zeros(2, dtype=torch.complex64, requires_grad=True)
    optimizer = GSNR(base([x], lr=0.1))
    for wrong in ({"lr": -1.0}, {"params": (p for p in [late, z])}):
        with pytest.raises(ValueError, match=r"lr|complex"):
            optimizer.add_param_group({"params": (p for p in [late]), **wrong})
        assert optimizer.param_groups is optimizer.base.param_groups
        assert [group["params"] for group in optimizer.param_groups] == [[x]]
        assert late not in optimizer.state
    optimizer.add_param_group({"params": [late], "lr": torch.tensor(0.2)})
    assert len(optimizer.base.param_groups) == 2


def test_a_layer_without_a_gradient_signal_stays_finite() -> None:
    x = weights()
    moments = GradientMoments(x, elementwise=True)
    for _ in range(8):
        for p in x:
            p.grad = torch.zeros_like(p)
        moments.observe(2)
    moments.reduce()
    for normalize, multiplier in (("never", 0.2), ("once", 0.2), ("twice", 1.0)):
        optimizer = VRSGD(x, gamma=0.2, normalize=normalize)  # type: ignore[arg-type]
        optimizer.step(moments)
        assert all(bool(p.isfinite().all()) for p in x)
        assert optimizer.mean_multiplier() == pytest.approx(multiplier), "no mean to divide by; then the clip"


def test_groups_that_agree_are_all_signal_whatever_the_rounding() -> None:
    """Rounding takes the mean of squares less the squared mean to either side of 0; the ratio stays positive."""
    x = [torch.randn(1000, generator=torch.Generator().manual_seed(0)).requires_grad_()]
    moments = GradientMoments(x, elementwise=True)
    for _ in range(11):
        x[0].grad = x[0].detach().clone()
        moments.observe(3)
    moments.reduce()
    optimizer = VRSGD(x, normalize="never")
    optimizer.step(moments)
    assert float(optimizer.multipliers()[0].min()) == 1.0


@given(st.floats(-12, 12), st.sampled_from(["one", "inverse"]))
def test_the_multiplier_stays_in_its_bounds_and_ignores_the_losss_scale(power: float, upper: str) -> None:
    x = weights(torch.float64)
    optimizer = VRSGD(x, lr=0.0, gamma=0.25, upper=upper)  # type: ignore[arg-type]
    optimizer.step(observed(x))
    one = [m.clone() for m in optimizer.multipliers()]
    optimizer.step(observed(x, scale=2.0 ** round(power)))
    high = 1.0 if upper == "one" else 4.0
    for a, b in zip(one, optimizer.multipliers(), strict=True):
        assert float(a.min()) >= 0.25
        assert float(a.max()) <= high
        torch.testing.assert_close(a, b, rtol=1e-6, atol=0)


def test_twice_normalized_multipliers_have_mean_1_in_every_layer() -> None:
    x = weights(torch.float64)
    optimizer = VRSGD(x, normalize="twice")
    optimizer.step(observed(x))
    assert [float(m.mean()) for m in optimizer.multipliers()] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("normalize", ["once", "never"])
@pytest.mark.parametrize("name", VR)
def test_clipping_before_the_step_changes_what_is_scaled_and_not_the_ratio(name: str, normalize: str) -> None:
    """Of a whole gradient and coordinate by coordinate: r is that of the gradient as it was measured."""
    for clip in (
        lambda x: nn.utils.clip_grad_norm_(x, 0.1),
        lambda x: nn.utils.clip_grad_value_(x, 0.2),
    ):
        x, y = weights(), weights()
        plain, clipped = (VR[name](p, normalize=normalize) for p in (x, y))
        plain.step(observed(x))
        moments = observed(y)
        clip(y)
        given = [p.grad.clone() for p in y if p.grad is not None]
        clipped.step(moments)
        for a, b, p, g in zip(plain.multipliers(), clipped.multipliers(), y, given, strict=True):
            assert torch.equal(a, b)
            torch.testing.assert_close(clipped._layers[p].scaled, b * g)


@pytest.mark.parametrize("noise", [0.03, 0.3])
def test_bfloat16_parameters_have_the_ratio_of_the_gradients_they_were_given(noise: float) -> None:
    """The mean rounds to three digits in `.grad`: squared, that is off by more than a small variance."""
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        generator = torch.Generator().manual_seed(0)
        w = torch.zeros(2000, dtype=dtype).requires_grad_()
        moments = GradientMoments([w], elementwise=True)
        for _ in range(8):
            w.grad = (1 + noise * torch.randn(2000, generator=generator)).bfloat16().to(dtype)
            moments.observe(4)
        moments.reduce()
        optimizer = VRSGD([w], lr=0.1, gamma=0.01)
        optimizer.step(moments)
        assert w.dtype == dtype
        found.append(optimizer.multipliers()[0])
    assert torch.equal(*found)


# -- the control ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta3", [None, 0.9])
def test_the_control_is_the_base_optimizer_at_lr_times_the_mean_multiplier(beta3: float | None) -> None:
    x, y, z = weights(), weights(), weights()
    optimizer = VRMomentum(x, lr=0.1, weight_decay=0.01, beta3=beta3, control=True)
    measured = VRMomentum(z, lr=0.0, beta3=beta3)  # stays where it is: the multipliers depend on the gradients only
    base = SGD(y, lr=0.1, momentum=0.9, weight_decay=0.01)
    for step in range(5):
        optimizer.step(observed(x, step=step))
        measured.step(observed(z, step=step))
        multipliers = np.concatenate([m.double().numpy().ravel() for m in measured.multipliers()])
        assert optimizer.mean_multiplier() == pytest.approx(multipliers.mean(), rel=1e-6)
        observed(y, step=step)
        base.param_groups[0]["lr"] = 0.1 * multipliers.mean()
        base.step()
    for a, b in zip(x, y, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


# -- groups and schedulers -----------------------------------------------------------------------------------


def test_torchs_schedulers_drive_it() -> None:
    x = weights()
    optimizer = VRSGD(x, lr=0.4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    optimizer.step(observed(x))
    scheduler.step()
    assert optimizer.base.param_groups[0]["lr"] == 0.2
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.param_groups is optimizer.base.param_groups


def test_a_group_can_be_added_later() -> None:
    x = weights()
    optimizer = VRSGD(x[:1], lr=0.1)
    optimizer.add_param_group({"params": x[1:], "lr": 0.0})
    before = x[1].detach().clone()
    optimizer.step(observed(x))
    assert torch.equal(x[1], before)
    assert len(optimizer.gsnr_summary()) == 2


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("exclude", [None, True, False])
def test_exclusion_follows_the_group(name: str, exclude: bool | None) -> None:
    """A layer of norm 5 and gradient of norm 1: with a trust ratio the step has length lr * ratio, without lr * ..."""
    for shape in ((1, 4), (4,)):
        w = torch.nn.Parameter(torch.full(shape, 2.5))
        w.grad = torch.full(shape, 0.5)
        options = {"trust_coefficient": 0.1} if name == "lars" else {}
        PLAIN[name]([{"params": [w], "exclude": exclude}], lr=0.01, weight_decay=0.0, **options).step()
        moved = float((w.detach() - 2.5).norm())
        trusted = len(shape) > 1 if exclude is None else not exclude
        with_ratio, without = {"lars": (0.01 * 0.1 * 5.0, 0.01 * 1.0), "lamb": (0.01 * 5.0, 0.01 * 2.0)}[name]
        assert moved == pytest.approx(with_ratio if trusted else without, rel=1e-4)


def test_lars_without_trust_stands_still() -> None:
    w = torch.nn.Parameter(torch.ones(2, 2))
    w.grad = torch.ones(2, 2)
    LARS([w], lr=1.0, trust_coefficient=0.0).step()
    assert torch.equal(w, torch.ones(2, 2))


@pytest.mark.parametrize("name", PLAIN)
def test_a_layer_at_zero_can_leave_it(name: str) -> None:
    w = torch.nn.Parameter(torch.zeros(2, 2))
    w.grad = torch.ones(2, 2)
    PLAIN[name]([w], lr=0.01).step()
    assert bool((w < 0).all())


# -- what can be seen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", ["once", "twice"])
def test_the_summary_is_what_numpy_says(normalize: str) -> None:
    x = weights(torch.float64)
    optimizer = VRSGD([("weight", x[0]), ("bias", x[1])], gamma=0.5, normalize=normalize)  # type: ignore[arg-type]
    moments = observed(x)
    ratios = raw(x, moments)
    optimizer.step(moments)
    for row, name, r in zip(optimizer.gsnr_summary(), ("weight", "bias"), ratios, strict=True):
        clipped = np.clip(r / r.mean(), 0.5, 1)
        final = clipped / clipped.mean() if normalize == "twice" else clipped
        assert (row["layer"], row["size"]) == (name, r.size)
        assert row["gsnr"] == pytest.approx(r.mean())
        assert row["mean"] == pytest.approx(final.mean())
        assert row["clipped_low"] == np.mean(clipped == 0.5)
        assert row["clipped_high"] == np.mean(clipped == 1.0)
        for q in (5, 25, 50, 75, 95):
            assert row[f"q{q:02d}"] == pytest.approx(np.quantile(final, q / 100))


def test_there_is_nothing_to_see_before_the_first_step() -> None:
    with pytest.raises(ValueError, match="no step was taken yet"):
        VRSGD(weights()).mean_multiplier()
