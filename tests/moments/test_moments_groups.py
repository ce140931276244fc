"""Moments of groups against the definitions, in float64 NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.optimizers.moments import GradientMoments

SHAPES = [(3, 5), (7,), (), (2, 3, 2, 2)]


def fill(gradients: np.ndarray, sizes: list[int], **options: object) -> tuple[GradientMoments, list[torch.Tensor]]:
    """The moments of groups of `sizes` samples; `gradients` holds one row per sample."""
    params = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES]
    moments = GradientMoments(params, **options)
    start = 0
    for size in sizes:
        mean, place = torch.from_numpy(gradients[start : start + size].mean(0)), 0
        for parameter in params:
            parameter.grad = mean[place : place + parameter.numel()].view(parameter.shape).clone()
            place += parameter.numel()
        moments.observe(size)
        assert all(p.grad is None for p in params)
        start += size
    moments.reduce()
    return moments, params


def draw(samples: int, seed: int) -> np.ndarray:
    size = sum(math.prod(shape) for shape in SHAPES)
    generator = np.random.default_rng(seed)
    return generator.normal(size=size) + generator.normal(size=(samples, size)) * generator.uniform(0, 2, size)


def flatten(tensors: list[torch.Tensor]) -> np.ndarray:
    return np.concatenate([t.detach().numpy().reshape(-1) for t in tensors])


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=9), seed=st.integers(0, 2**31))
def test_groups_of_any_size_follow_the_definitions(sizes: list[int], seed: int) -> None:
    gradients = draw(sum(sizes), seed)
    moments, params = fill(gradients, sizes, elementwise=True)
    mean = gradients.mean(0)
    rows = np.array([part.mean(0) for part in np.split(gradients, np.cumsum(sizes)[:-1])])
    weights = np.array(sizes)[:, None]
    np.testing.assert_allclose(flatten([p.grad for p in params]), mean, rtol=1e-12, atol=1e-13)
    assert (moments.samples, moments.groups) == (len(gradients), len(sizes))
    assert moments.norm_squared() == pytest.approx(mean @ mean, rel=1e-12)
    by_coordinate = (weights * (rows - mean) ** 2).sum(0) / (len(sizes) - 1)
    assert moments.variance() == pytest.approx(by_coordinate.sum(), rel=1e-10)
    np.testing.assert_allclose(flatten(moments.coordinate_variance()), by_coordinate, rtol=1e-9, atol=1e-12)
    second = (weights * rows**2).sum(0) / len(gradients)
    np.testing.assert_allclose(flatten(moments.second_moments()), second, rtol=1e-12)


def test_groups_of_one_sample_are_the_sample_variance() -> None:
    gradients = draw(12, 1)
    moments, _ = fill(gradients, [1] * 12)
    assert moments.variance() == pytest.approx(gradients.var(0, ddof=1).sum(), rel=1e-12)


def test_fewer_than_two_groups_have_no_variance() -> None:
    moments, _ = fill(draw(3, 1), [3], elementwise=True)
    assert (moments.samples, moments.groups) == (3, 1)
    assert math.isnan(moments.variance())
    assert all(v.isnan().all() for v in moments.coordinate_variance())
    assert all(v.isfinite().all() for v in moments.second_moments())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_keep_the_layout_of_their_parameter(memory_format: torch.memory_format) -> None:
    weight = torch.randn(4, 3, 2, 2).to(memory_format=memory_format).requires_grad_()
    moments = GradientMoments([weight], elementwise=True)
    expected = torch.randn(2, 4, 3, 2, 2)
    for gradient in expected:
        weight.grad = gradient.clone()
        moments.observe(1)
    moments.reduce()
    assert weight.grad is not None
    assert weight.grad.stride() == weight.stride()
    torch.testing.assert_close(weight.grad, expected.mean(0))
    torch.testing.assert_close(moments.coordinate_variance()[0], expected.var(0))


def test_sparse_and_bfloat16_and_missing_gradients() -> None:
    table = torch.nn.Embedding(50, 4, sparse=True)
    half = torch.zeros(3, dtype=torch.bfloat16, requires_grad=True)
    unused = torch.zeros(2, requires_grad=True)
    moments = GradientMoments([table.weight, half, unused], elementwise=True)
    for tokens in (torch.tensor([1, 1, 2]), torch.tensor([3])):
        (table(tokens).sum() + half.sum()).backward()
        moments.observe(1)
    moments.reduce()
    expected = torch.zeros(50, 4)
    expected[[1, 2, 3]] = torch.tensor([1.0, 0.5, 0.5])[:, None]
    torch.testing.assert_close(table.weight.grad, expected)
    assert half.grad is not None
    assert half.grad.dtype == torch.bfloat16
    assert unused.grad is None
    # ||g_1||^2 = 4 (2^2 + 1) + 3, ||g_2||^2 = 4 + 3, ||g||^2 = 4 (1 + 1/4 + 1/4) + 3
    assert moments.variance() == pytest.approx(23 + 7 - 2 * 9)


def test_float32_norms_of_large_parameters_are_exact() -> None:
    weight = torch.zeros(700, 1000, requires_grad=True)
    moments = GradientMoments([weight])
    rows = [torch.randn(700, 1000) + 0.1 for _ in range(3)]
    for row in rows:
        weight.grad = row.clone()
        moments.observe(4)
    moments.reduce()
    exact = torch.stack(rows).double()
    assert moments.norm_squared() == pytest.approx(exact.mean(0).square().sum().item(), rel=1e-6)
    assert moments.variance() == pytest.approx(4 * exact.var(0).sum().item(), rel=1e-6)


@pytest.mark.parametrize("noise", [1.0, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("size", [1_000, 100_000])
def test_the_variance_of_float32_gradients_that_hardly_differ(size: int, noise: float) -> None:
    """What is left of float32: the rounding of the mean and of the rows of a squared norm, random, at 3 deviations."""
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(size, generator=generator) + noise * torch.randn(8, size, generator=generator)
        weight = torch.zeros(size, requires_grad=True)
        moments = GradientMoments([weight])
        for row in rows:
            weight.grad = row.clone()
            moments.observe(4)
        moments.reduce()
        exact = 4 * rows.double().var(0).sum().item()
        magnified = moments.samples * moments.norm_squared() / ((moments.groups - 1) * exact)
        assert moments.variance() == pytest.approx(exact, rel=1e-7 + 2.1e-6 / math.sqrt(size) * magnified)


def test_the_order_of_calls_is_checked() -> None:
    weight = torch.zeros(2, requires_grad=True)
    moments = GradientMoments([weight])
    with pytest.raises(ValueError, match="before any"):
        moments.reduce()
    with pytest.raises(ValueError, match="skip"):
        moments.observe(0)
    weight.grad = torch.ones(2)
    moments.observe(2)
    with pytest.raises(ValueError, match=r"moments\.reduce"):
        moments.variance()
    moments.reduce()
    with pytest.raises(ValueError, match=r"moments\.reset"):
        moments.observe(2)
    with pytest.raises(ValueError, match="elementwise=True"):
        moments.second_moments()
    with pytest.raises(ValueError, match="inner_products=True"):
        moments.inner_product_variance()
    moments.reset()
    with pytest.raises(ValueError, match="before any"):
        moments.reduce()


def test_wrong_parameters() -> None:
    with pytest.raises(ValueError, match="used up"):
        GradientMoments([])
    with pytest.raises(ValueError, match="per_sample"):
        GradientMoments([torch.zeros(1)], estimator="exact")
    with pytest.raises(ValueError, match="view_as_real"):
        GradientMoments([torch.zeros(1, dtype=torch.complex64)]).observe(1)
    with pytest.raises(ValueError, match="one device"):
        GradientMoments([torch.zeros(1), torch.zeros(1, device="meta")]).observe(1)
