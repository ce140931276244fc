"""Several training streams of one data set that take their batches at the same places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from batchlab.datasets.batches import WINDOW_BYTES, Batches, Epoch, Pair
from batchlab.datasets.dataset import Dataset
from batchlab.datasets.resident import Resident


class Lockstep(Batches):
    """The streams of several seeds, side by side: each lane holds, bit for bit, what `Batches` of its seed would.

    Args:
        dataset: where the samples come from.
        seeds: one of each lane.
        options: of `Batches`, for one rank.

    Returns:
        From `take`, batches whose parts are (inputs (lanes, m, ...), targets (lanes, m, ...)).

    Raises:
        ValueError: as `Batches` does; no seed.

    Example:
        >>> import numpy as np
        >>> x, y = np.zeros((10, 8, 8, 1), np.uint8), np.arange(10) % 2
        >>> batches = Lockstep(Dataset("ten", x, y, x, y, classes=2), [0, 5, 7], device="cpu")
        >>> [tuple(targets.shape) for _, targets in batches.take(4).micro]
        [(3, 4)]
    """

    def __init__(self, dataset: Dataset, seeds: Sequence[int], **options: Any) -> None:
        if not seeds or min(seeds) < 0:
            raise ValueError(f"seeds={list(seeds)}: at least one, and each 0 or more")
        self._seeds = list(seeds)
        super().__init__(dataset, seed=self._seeds[0], **options)

    @override
    def _opened(self) -> Epoch:
        where = (self._stream, self._epoch, self._rank, self._world_size)
        return _Epochs(self._source, [Epoch(self._source, seed, *where) for seed in self._seeds])


class _Epochs(Epoch):
    """Epochs of the lanes as one, whose samples have the lanes in front."""

    def __init__(self, source: Resident, lanes: Sequence[Epoch]) -> None:
        self._source = source
        self._order = torch.stack([lane._order for lane in lanes])
        maps = [lane._maps for lane in lanes if lane._maps is not None]
        self._maps: Tensor | None = torch.stack(maps) if maps else None
        self._start = self._stop = 0
        self._x = self._y = torch.empty(0)

    @override
    def samples(self, start: int, stop: int, unit: int) -> Pair:
        if start < self._start or stop > self._stop:
            self._prepare(start, stop, unit)
        offset = self._start
        return self._x[:, start - offset : stop - offset], self._y[:, start - offset : stop - offset]

    @override
    def _prepare(self, start: int, stop: int, unit: int) -> None:
        lanes, n = self._order.shape
        capacity = WINDOW_BYTES.get(self._source.device.type, 2**26) // (self._source.sample_bytes * lanes)
        stop = min(max(stop, start + capacity // unit * unit), n)  # whole batches, if one fits
        index = self._order[:, start:stop].reshape(-1)
        maps = None if self._maps is None else self._maps[:, start:stop].reshape(len(index), -1)
        x, y = self._source.x(index, maps), self._source.y.index_select(0, index)
        self._x, self._y = (t.view(lanes, stop - start, *t.shape[1:]) for t in (x, y))
        self._start, self._stop = start, stop
