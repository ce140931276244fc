"""The validation split: disjoint, complete, stratified, and a function of indices, classes and `split_seed` alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from batchlab.datasets import Batches, Dataset, Preprocessing, evaluation_batches, with_validation
from batchlab.datasets.validation import hashes

RNG = np.random.default_rng(0)


def rows(counts: list[int]) -> Dataset:
    """Classes of so many samples, shuffled; the feature of a sample is its index."""
    y = RNG.permutation(np.repeat(np.arange(len(counts)), counts))
    x = np.arange(float(len(y)))[:, None]
    return Dataset("rows", x, y, x[:0], y[:0], len(counts))


def places(dataset: Dataset, split: Any) -> list[int]:
    """Which of the samples of `rows` a split holds."""
    x, _ = dataset.split(split)
    return [int(v) for v in np.asarray(x if isinstance(x, np.ndarray) else x.toarray())[:, 0]]


def splitmix(seed: int, n: int) -> list[int]:
    """SplitMix64's first outputs, after Steele, Lea, Flood 2014."""
    out, word = [], 2**64
    for _ in range(n):
        seed = (seed + 0x9E3779B97F4A7C15) % word
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % word
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % word
        out.append(z ^ (z >> 31))
    return out


def test_the_hash_is_splitmix64() -> None:
    assert splitmix(0, 1) == [0xE220A8397B1DCDAF], "the published first output for seed 0"
    for seed in (0, 1, 2**64 - 1):
        (key,) = splitmix(seed, 1)
        expected = [splitmix((i + key) % 2**64, 1)[0] for i in range(50)]
        assert hashes(50, seed).tolist() == expected


@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=8),
    share=st.floats(0.01, 0.99),
    split_seed=st.integers(0, 2**64 - 1),
)
def test_disjoint_complete_stratified(counts: list[int], share: float, split_seed: int) -> None:
    assume(sum(counts) > 0)
    whole = rows(counts)
    taken = [math.floor(share * n + 0.5) for n in counts]
    if any(n and k in (0, n) for n, k in zip(counts, taken, strict=True)):
        with pytest.raises(ValueError, match=r"choose at (least|most) 0\.\d+$|leave dataset.validation out"):
            with_validation(whole, share, split_seed)
        return
    parted = with_validation(whole, share, split_seed)
    train, validation = places(parted, "train"), places(parted, "validation")
    assert sorted(train + validation) == list(range(whole.n)), "each sample once"
    assert (train, validation) == (sorted(train), sorted(validation)), "in stored order"
    assert parted.n == len(train)
    for split, at in (("train", train), ("validation", validation)):
        np.testing.assert_array_equal(parted.split(split)[1], whole.y_train[at])  # type: ignore[arg-type]
    assert parted.y_validation is not None
    found = np.bincount(parted.y_validation, minlength=len(counts))
    assert found.tolist() == taken
    assert all(abs(k - share * n) <= 1 for n, k in zip(counts, found, strict=True))


@given(n=st.integers(2, 200), share=st.floats(0.3, 0.7), split_seed=st.integers(0, 9))
def test_a_regression_is_one_class(n: int, share: float, split_seed: int) -> None:
    x = np.arange(float(n))[:, None]
    parted = with_validation(Dataset("line", x, x[:, 0], x[:0], x[:0, 0], None), share, split_seed)
    first = np.argsort(hashes(n, split_seed))[: math.floor(share * n + 0.5)]
    assert places(parted, "validation") == sorted(first.tolist())
    assert parted.y_validation is not None
    assert parted.y_validation.tolist() == places(parted, "validation")


def test_another_split_for_another_seed_and_the_same_for_the_same() -> None:
    whole = rows([300, 200])
    splits = [places(with_validation(whole, 0.1, seed), "validation") for seed in range(20)]
    assert splits[0] == places(with_validation(whole, 0.1), "validation"), "split_seed is 0 by default"
    assert len({tuple(s) for s in splits}) == 20
    shared = [len({*a} & {*b}) for i, a in enumerate(splits) for b in splits[:i]]
    assert 4 < np.mean(shared) < 6, "as chance has it: a tenth of 50"


def test_a_larger_share_contains_a_smaller_one() -> None:
    whole = rows([50, 40, 31])
    small, large = (set(places(with_validation(whole, share), "validation")) for share in (0.1, 0.25))
    assert small < large


def test_a_fixed_split() -> None:
    """If this fails, runs with a split that were recorded before cannot be compared with runs from now on."""
    x, y = np.arange(30.0)[:, None], np.arange(30) % 2
    parted = with_validation(Dataset("fixed", x, y, x[:0], y[:0], 2), 0.2, split_seed=1)
    assert places(parted, "validation") == [8, 12, 19, 27, 28, 29]
    (key,) = splitmix(1, 1)
    ranked = sorted(range(30), key=lambda i: splitmix((i + key) % 2**64, 1))
    assert {8, 12, 28} == {*[i for i in ranked if i % 2 == 0][:3]}
    assert {19, 27, 29} == {*[i for i in ranked if i % 2 == 1][:3]}


@pytest.mark.parametrize(
    ("share", "split_seed", "message"),
    [
        (0, 0, r"dataset.validation=0: .* between 0 and 1"),
        (1.0, 0, r"dataset.validation=1.0: .* 0 or null for none"),
        (-0.1, 0, "dataset.validation=-0.1"),
        (float("nan"), 0, "dataset.validation=nan"),
        (True, 0, "dataset.validation=True"),
        ("a", 0, "dataset.validation=a"),
        (0.1, -1, "dataset.split_seed=-1: a whole number, 0 or more"),
        (0.1, 2**64, "dataset.split_seed=18446744073709551616"),
        (0.1, 1.0, r"dataset.split_seed=1.0"),
        (0.01, 0, r"rows: dataset.validation=0.01 leaves class 1, of 20 samples, with 0 .* choose at least 0.05$"),
        (0.99, 0, r"class 1, of 20 samples, with 20 for validation and 0 for training; choose at most 0.95$"),
    ],
)
def test_refused_with_the_way_out(share: Any, split_seed: Any, message: str) -> None:
    whole = rows([40, 20])
    with pytest.raises(ValueError, match=message):
        with_validation(whole, share, split_seed)
    for allowed in (0.05, 0.95):
        with_validation(whole, allowed)


def test_what_cannot_be_parted() -> None:
    with pytest.raises(ValueError, match=r"class 2 has one sample, .* leave dataset.validation out"):
        with_validation(rows([10, 10, 1]), 0.3)
    with pytest.raises(ValueError, match=r"has a validation split of its own: leave dataset.validation out"):
        with_validation(with_validation(rows([10, 10]), 0.3), 0.3)


def test_a_split_that_is_not_there() -> None:
    whole = rows([4, 4])
    assert whole.splits == ("train", "test")
    assert (whole.x_validation, whole.y_validation) == (None, None)
    with pytest.raises(ValueError, match=r"rows: no split 'validation': .* dataset.validation=0.1"):
        whole.split("validation")
    with pytest.raises(ValueError, match="it is train, validation or test"):
        whole.split("dev")  # type: ignore[arg-type]
    assert with_validation(whole, 0.5).splits == ("train", "validation", "test")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x_validation": np.zeros((1, 1))}, "x_validation and y_validation go together"),
        ({"x_validation": np.zeros((1, 2)), "y_validation": np.zeros(1, np.int64)}, "they must agree"),
        ({"x_validation": np.zeros((0, 1)), "y_validation": np.zeros(0, np.int64)}, "x_validation has no samples"),
        ({"x_validation": np.zeros((1, 1)), "y_validation": np.array([9])}, "y_validation has labels 9 to 9"),
    ],
)
def test_validation_arrays_are_checked_as_the_others(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(rows([2, 2]), **given)


def test_sparse_rows() -> None:
    dense = rows([12, 8])
    sparse = replace(dense, x_train=csr_array(dense.x_train), x_test=csr_array(dense.x_test))
    parted, expected = with_validation(sparse, 0.25, 3), with_validation(dense, 0.25, 3)
    for split in parted.splits:
        assert isinstance(parted.split(split)[0], csr_array)
        assert places(parted, split) == places(expected, split)
    served = torch.cat([x for x, _ in evaluation_batches(parted, "validation", device="cpu", batch=2)])
    assert served[:, 0].tolist() == places(expected, "validation")


def test_images_are_served_as_in_evaluation() -> None:
    images, labels = RNG.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8), np.arange(20) % 2
    pre = Preprocessing(white=255.0, mean=[0.4], std=[0.3], pad=2, flip=True, rotate=20.0)
    parted = with_validation(Dataset("images", images, labels, images[:1], labels[:1], 2, pre), 0.3)
    x, y = parted.split("validation")
    assert isinstance(x, np.ndarray)
    expected = (torch.from_numpy(x).permute(0, 3, 1, 2).double() / 255 - 0.4) / 0.3
    for world in (1, 2):
        for rank in range(world):
            found = list(evaluation_batches(parted, "validation", device="cpu", batch=2, rank=rank, world_size=world))
            inputs, targets = (torch.cat(part) for part in zip(*found, strict=True))
            torch.testing.assert_close(inputs.double(), expected[rank::world], rtol=1e-6, atol=1e-6)
            assert targets.tolist() == y[rank::world].tolist()


def test_training_order_is_that_of_a_set_without_those_samples() -> None:
    parted = with_validation(rows([30, 20]), 0.2)
    alone = replace(parted, x_validation=None, y_validation=None)
    one, other = (Batches(d, seed=5, device="cpu") for d in (parted, alone))
    for _ in range(12):
        a, b = one.take(7), other.take(7)
        assert torch.equal(torch.cat([x for x, _ in a.micro]), torch.cat([x for x, _ in b.micro]))
    assert one.n == 40
    seen = torch.cat([x for x, _ in Batches(parted, seed=5, device="cpu").take(40).micro])
    assert sorted(seen[:, 0].int().tolist()) == places(parted, "train"), "no sample of validation is trained on"
