"""Streams in lockstep: each lane is the stream of its seed, bit for bit, wherever batches are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchlab.datasets import Batches, Dataset, Lockstep, Preprocessing

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (37, 8, 8, 3), dtype=np.uint8)
TABLE = RANDOM.normal(size=(37, 5))
LABELS = np.arange(37) % 3
SETS = {
    "table": Dataset("t", TABLE, LABELS, TABLE, LABELS, classes=3),
    "numbers": Dataset("n", TABLE, TABLE[:, 0], TABLE, TABLE[:, 0], classes=None),
    "augmented": Dataset(
        "i", IMAGES, LABELS, IMAGES, LABELS, classes=3, preprocessing=Preprocessing(pad=2, flip=True, rotate=10.0)
    ),
}


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(sorted(SETS)),
    seeds=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    micro=st.sampled_from([None, 3, 8]),
    groups=st.integers(1, 4),
)
def test_lanes_are_streams(name: str, seeds: list[int], sizes: list[int], micro: int | None, groups: int) -> None:
    together = Lockstep(SETS[name], seeds, device="cpu", micro_batch=micro)
    alone = [Batches(SETS[name], seed=seed, device="cpu", micro_batch=micro) for seed in seeds]
    for size in sizes:
        batch, own = together.take(size, groups), [each.take(size, groups) for each in alone]
        assert {(batch.size, batch.epoch, batch.position)} == {(b.size, b.epoch, b.position) for b in own}
        assert len(batch.micro) == len(own[0].micro)
        for part, (x, y) in enumerate(batch.micro):
            for lane, mine in enumerate(own):
                assert torch.equal(x[lane], mine.micro[part][0])
                assert torch.equal(y[lane], mine.micro[part][1])
    assert all((each.epoch, each.position) == (together.epoch, together.position) for each in alone)


@pytest.mark.parametrize("seeds", [[], [1, -1]])
def test_seeds_are_checked(seeds: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one, and each 0 or more"):
        Lockstep(SETS["table"], seeds, device="cpu")
