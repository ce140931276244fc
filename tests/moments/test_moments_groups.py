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
    """The moments of groups of `sizes` samples; `gradients` holds one row a sample."""
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
