"""The training stream: any batch size at any step, on any ranks and micro-batches, is the same stream."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from batchlab.datasets import Batches, Dataset, Preprocessing, evaluation_batches, largest_part
from batchlab.datasets import batches as module

N = 37
RNG = np.random.default_rng(7)
IMAGES = RNG.integers(0, 256, (N, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(N) % 4
AUGMENTED = Preprocessing(white=255.0, mean=[0.4], std=[0.3], pad=2, flip=True, rotate=20.0)
DATASETS = {
    "augmented": Dataset("augmented", IMAGES, LABELS, IMAGES[:5], LABELS[:5], 4, AUGMENTED),
    "standardized": Dataset(
        "standardized", IMAGES, LABELS, IMAGES[:5], LABELS[:5], 4, replace(AUGMENTED, standardize=True)
    ),
    "plain": Dataset("plain", IMAGES, LABELS, IMAGES[:5], LABELS[:5], 4),
    "features": Dataset("features", RNG.random((N, 3)), RNG.random(N), np.zeros((0, 3)), np.zeros(0), None),
    "sparse": Dataset("sparse", csr_array(np.diag(np.arange(1.0, N + 1))), LABELS, csr_array((0, N)), LABELS[:0], 4),
}
names = st.sampled_from(sorted(DATASETS))


def whole_epoch(dataset: Dataset, seed: int, epoch: int, **options) -> tuple[torch.Tensor, torch.Tensor]:
    stream = Batches(dataset, seed=seed, device="cpu", **options)
    stream.seek(epoch)
    [(x, y)] = stream.take(N).micro
    return x, y


@given(
    name=names,
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(1, N + 5), min_size=1, max_size=12),
    world_size=st.integers(1, 5),
    micro_batch=st.none() | st.integers(1, 9),
    groups=st.integers(1, 4),
    window=st.sampled_from([1, 500, 3000, 2**22]),
)
@settings(max_examples=150, deadline=None)
def test_ranks_micro_batches_and_sizes_do_not_change_the_samples(
    name, seed, sizes, world_size, micro_batch, groups, window
):
    dataset = DATASETS[name]
    whole = [whole_epoch(dataset, seed, epoch) for epoch in range(len(sizes) + 1)]
    streams = [
        Batches(dataset, seed=seed, device="cpu", rank=rank, world_size=world_size, micro_batch=micro_batch)
        for rank in range(world_size)
    ]
    saved, module.WINDOW_BYTES = module.WINDOW_BYTES, {"cpu": window}
    try:
        epoch = position = 0
        for size in sizes:
            batches = [stream.take(size, groups) for stream in streams]
            expected = min(size, N - position)
            held, largest = [], 0
            for rank, batch in enumerate(batches):
                assert (batch.size, batch.epoch, batch.position) == (expected, epoch, position)
                parts = list(batch.micro)
                counts = [len(y) for _, y in parts]
                held.append(sum(counts))
                largest = max([largest, *counts])
                assert len(parts) >= min(groups, sum(counts))
                assert all(counts)
                assert max(counts, default=0) <= (micro_batch or N)
                assert max(counts, default=0) - min(counts, default=0) <= 1
                places = [p for p in range(position, position + expected) if p % world_size == rank]
                x, y = whole[epoch]
                if parts:
                    assert torch.equal(torch.cat([part for part, _ in parts]), x[places])
                    assert torch.equal(torch.cat([part for _, part in parts]), y[places])
            assert sum(held) == expected
            assert max(held) - min(held) <= 1
            assert largest == largest_part(expected, groups=groups, world_size=world_size, micro_batch=micro_batch)
            position += expected
            if position == N:
                epoch, position = epoch + 1, 0
            assert {(s.epoch, s.position) for s in streams} == {(epoch, position)}
    finally:
        module.WINDOW_BYTES = saved


@given(name=names, seed=st.integers(0, 2**20), epoch=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_an_epoch_holds_every_sample_once(name, seed, epoch):
    x, y = whole_epoch(DATASETS[name], seed, epoch)
    assert len(x) == N
    assert sorted(y.tolist()) == sorted(torch.from_numpy(DATASETS[name].y_train).to(y.dtype).tolist())


def test_order_depends_on_seed_epoch_and_stream():
    dataset = DATASETS["features"]
    orders = [
        whole_epoch(dataset, seed, epoch, stream=stream)[1]
        for seed, epoch, stream in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1)]
    ]
    for i, first in enumerate(orders):
        assert not any(torch.equal(first, second) for second in orders[:i])
    assert torch.equal(orders[0], whole_epoch(dataset, 0, 0)[1])


def test_preprocessing_does_not_change_the_order():
    labels = [whole_epoch(DATASETS[name], 5, 2)[1] for name in ("augmented", "standardized", "plain", "sparse")]
    assert all(torch.equal(y, labels[0]) for y in labels)


@given(
    name=names,
    before=st.lists(st.integers(1, N), max_size=6),
    after=st.lists(st.integers(1, N), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_resumed_stream_is_the_uninterrupted_one(name, before, after):
    first = Batches(DATASETS[name], seed=3, device="cpu", micro_batch=4)
    for size in before:
        first.take(size)
    second = Batches(DATASETS[name], seed=3, device="cpu", micro_batch=4)
    second.load_state_dict(first.state_dict())
    for size in after:
        one, two = first.take(size), second.take(size)
        assert (one.size, one.epoch, one.position) == (two.size, two.epoch, two.position)
        for (x1, y1), (x2, y2) in zip(one.micro, two.micro, strict=True):
            assert torch.equal(x1, x2)
            assert torch.equal(y1, y2)


def test_a_batch_can_be_read_again_after_the_stream_went_on():
    stream = Batches(DATASETS["augmented"], seed=0, device="cpu", micro_batch=3)
    batch = stream.take(20)
    first = [(x.clone(), y.clone()) for x, y in batch.micro]
    for _ in range(5):
        stream.take(15).micro[0]
    for (x1, y1), (x2, y2) in zip(first, batch.micro, strict=True):
        assert torch.equal(x1, x2)
        assert torch.equal(y1, y2)
    assert torch.equal(batch.micro[-1][0], first[-1][0])
    assert len(batch.micro[1:3]) == 2
    with pytest.raises(IndexError):
        batch.micro[7]


def test_a_batch_of_everything_prepares_one_part_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_BYTES", {"cpu": 1})
    stream = Batches(DATASETS["augmented"], seed=0, device="cpu", micro_batch=5)
    sizes = []
    for x, _ in stream.take(N).micro:
        assert x.untyped_storage().nbytes() == x.nbytes  # no window around it
        sizes.append(len(x))
    assert sum(sizes) == N


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_types_and_memory_formats(dtype, channels_last):
    dataset = DATASETS["augmented"]
    reference, _ = whole_epoch(dataset, 0, 0, dtype=torch.float64)
    x, y = whole_epoch(dataset, 0, 0, dtype=dtype, channels_last=channels_last)
    assert x.dtype == dtype
    assert y.dtype == torch.int64
    assert x.shape == (N, 3, 6, 5)
    expected = torch.channels_last if channels_last else torch.contiguous_format
    assert x.is_contiguous(memory_format=expected)
    torch.testing.assert_close(x.double(), reference, rtol=2 * torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps)


def test_regression_targets_take_the_inputs_type():
    x, y = whole_epoch(DATASETS["features"], 0, 0, dtype=torch.float64)
    assert (x.dtype, y.dtype, y.shape) == (torch.float64, torch.float64, (N,))


@pytest.mark.parametrize("name", sorted(DATASETS))
@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_evaluation_sees_every_sample_once_and_not_augmented(name, world_size, batch):
    dataset = DATASETS[name]
    for split in ("train", "test"):
        x, y = dataset.split(split)
        dense = torch.from_numpy(np.asarray(x if isinstance(x, np.ndarray) else x.toarray()))
        seen = torch.zeros(len(y))
        for rank in range(world_size):
            start = rank
            for inputs, targets in evaluation_batches(
                dataset, split, device="cpu", batch=batch, rank=rank, world_size=world_size
            ):
                rows = torch.arange(start, len(y), world_size)[:batch]
                start += world_size * len(rows)
                seen[rows] += 1
                assert torch.equal(targets, torch.from_numpy(y).to(targets.dtype)[rows])
                if name in ("features", "sparse"):
                    torch.testing.assert_close(inputs, dense[rows].float())
                elif name == "plain":
                    torch.testing.assert_close(inputs, dense[rows].permute(0, 3, 1, 2).float())
                elif name == "augmented":
                    values = (dense[rows].permute(0, 3, 1, 2).double() / 255 - 0.4) / 0.3
                    torch.testing.assert_close(inputs.double(), values, rtol=1e-6, atol=1e-6)
        assert (seen == 1).all()


def test_splits_are_stored_once_per_device():
    dataset = DATASETS["augmented"]
    first = Batches(dataset, seed=0, device="cpu")
    second = Batches(dataset, seed=1, device="cpu", stream=1, dtype=torch.bfloat16, channels_last=True)
    assert first._source._pixels is second._source._pixels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"rank": -1}, "rank -1"),
        ({"micro_batch": 0}, "micro_batch=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Batches(DATASETS["plain"], **({"seed": 0, "device": "cpu"} | options))


def test_bad_requests():
    stream = Batches(DATASETS["plain"], seed=0, device="cpu")
    with pytest.raises(ValueError, match="batch of 0"):
        stream.take(0)
    with pytest.raises(ValueError, match="place 37"):
        stream.seek(0, N)
    other = Batches(DATASETS["plain"], seed=1, device="cpu")
    with pytest.raises(ValueError, match=r"seed=0.*must agree"):
        other.load_state_dict(stream.state_dict())
    with pytest.raises(ValueError, match="evaluation batch of 0"):
        next(evaluation_batches(DATASETS["plain"], "test", device="cpu", batch=0))
    with pytest.raises(ValueError, match="no split 'validation'"):
        next(evaluation_batches(DATASETS["plain"], "validation", device="cpu", batch=1))
