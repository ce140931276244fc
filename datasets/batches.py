"""Training batches of any size at any step, exact over ranks and micro-batches, resumable anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from batchlab.datasets.augment import ORDER, draw_maps, rng
from batchlab.datasets.dataset import Dataset, Split
from batchlab.datasets.resident import Resident

Pair = tuple[Tensor, Tensor]

# Prepared samples are made in windows of about this many bytes and handed out as views, so that a step of
# 8 samples does not pay for a dozen small operations. On the CPU a window should stay in cache.
WINDOW_BYTES = {"cpu": 2**22, "cuda": 2**26}


class Epoch:
    """One rank's samples of one epoch, in order: places rank, rank + world_size, ... of the shuffled set.

    Interleaved, a rank's samples are known before the batches are: batches of b samples cut them into
    stretches whose lengths differ by at most one between ranks, whatever b is.
    """

    def __init__(self, source: Resident, seed: int, stream: int, epoch: int, rank: int, world_size: int) -> None:
        order = torch.from_numpy(rng(seed, stream, epoch, ORDER).permutation(source.n))
        self._source, self._order = source, order[rank::world_size].to(source.device)
        maps = draw_maps(source.pre, source.shape, source.n, seed, stream, epoch)
        self._maps = None if maps is None else torch.from_numpy(maps[rank::world_size]).to(source.device)
        self._start = self._stop = 0
        self._x = self._y = torch.empty(0)

    def samples(self, start: int, stop: int, unit: int) -> Pair:
        """Inputs (m, ...) and targets (m,) of this rank's samples start ... stop - 1, m = stop - start.

        Args:
            start: place among this rank's samples of the epoch.
            stop: one past the last place.
            unit: samples that this rank has in the batch they belong to.
        """
        if start < self._start or stop > self._stop:
            began = time.perf_counter()
            self._prepare(start, stop, unit)
            self._source.seconds += time.perf_counter() - began
        offset = self._start
        return self._x[start - offset : stop - offset], self._y[start - offset : stop - offset]

    def _prepare(self, start: int, stop: int, unit: int) -> None:
        capacity = WINDOW_BYTES.get(self._source.device.type, 2**26) // self._source.sample_bytes
        stop = min(max(stop, start + capacity // unit * unit), len(self._order))  # whole batches, if one fits
        index, maps = self._order[start:stop], None if self._maps is None else self._maps[start:stop]
        self._x, self._y = self._source.x(index, maps), self._source.y.index_select(0, index)
        self._start, self._stop = start, stop


class MicroBatches(Sequence[Pair]):
    """This rank's share of a batch, in parts whose sizes differ by at most one.

    Parts are prepared when asked for and may be asked for again (a scheme with several gradient evaluations
    does): a batch of the whole training set needs the memory of one part.
    """

    def __init__(self, epoch: Epoch, start: int, stop: int, parts: int) -> None:
        self._epoch, self._start, self._size, self._parts = epoch, start, stop - start, parts

    def __len__(self) -> int:
        return self._parts

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._parts))]
        if not -self._parts <= index < self._parts:
            raise IndexError(index)
        index %= self._parts
        start = self._start + index * self._size // self._parts
        stop = self._start + (index + 1) * self._size // self._parts
        return self._epoch.samples(start, stop, self._size)


@dataclass(frozen=True, slots=True)
class Batch:
    """A mini-batch: `size` samples over all ranks, of which `micro` holds this rank's.

    Args:
        size: global size; smaller than asked for at the end of an epoch.
        epoch: the epoch it belongs to.
        position: the place in the epoch of its first sample.
        micro: (inputs, targets) of this rank, part by part; empty when the rank has no sample.
    """

    size: int
    epoch: int
    position: int
    micro: Sequence[Pair]


class Batches:
    """The training stream of a data set on a device.

    Order and augmentation depend on (seed, stream, epoch, place in the epoch) alone. Whatever the batch
    sizes, ranks and micro-batches, a place of an epoch holds the same sample with the same pixels.

    Args:
        dataset: where the samples come from.
        seed: of order and augmentation.
        device: where the samples live and the batches appear.
        rank: of this process, 0 to world_size - 1.
        world_size: processes that share each batch.
        micro_batch: most samples in one part of a batch; `None` for no limit.
        dtype: of inputs and of float targets.
        channels_last: memory format of images.
        stream: an independent sequence with the same seed, e.g. for a pass over the augmented training set
            that must not disturb training.

    Raises:
        ValueError: a size, rank or micro_batch out of range; a state of another stream.

    Example:
        >>> import numpy as np
        >>> x, y = np.zeros((10, 8, 8, 1), np.uint8), np.arange(10) % 2
        >>> batches = Batches(Dataset("ten", x, y, x, y, classes=2), seed=0, device="cpu")
        >>> [batches.take(4).size for _ in range(4)], batches.epoch, batches.position
        ([4, 4, 2, 4], 1, 4)
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        seed: int,
        device: str | torch.device,
        rank: int = 0,
        world_size: int = 1,
        micro_batch: int | None = None,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        stream: int = 0,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed={seed}: a seed is 0 or more")
        _check_rank(rank, world_size)
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f"train.micro_batch={micro_batch}: at least 1 sample, or null for no limit")
        self._source = Resident(dataset, "train", torch.device(device), dtype, channels_last)
        self._seed, self._stream, self._rank, self._world_size = seed, stream, rank, world_size
        self._micro_batch = micro_batch
        self.seek(0)

    @property
    def n(self) -> int:
        """Samples in an epoch, over all ranks."""
        return self._source.n

    @property
    def epoch(self) -> int:
        """Whole epochs done; the epoch the next batch comes from."""
        return self._epoch

    @property
    def seconds(self) -> float:
        """What it took so far to make batches; of a GPU, to tell it to."""
        return self._source.seconds

    @property
    def position(self) -> int:
        """Samples of this epoch already handed out, over all ranks; less than n."""
        return self._position

    def seek(self, epoch: int, position: int = 0) -> None:
        """Make the next batch begin at this place.

        Args:
            epoch: whole epochs done.
            position: samples of the epoch already handed out, over all ranks.

        Raises:
            ValueError: there is no such place.
        """
        if epoch < 0 or not 0 <= position < self.n:
            raise ValueError(f"no place {position} in epoch {epoch} of {self.n} samples")
        self._epoch, self._position = epoch, position
        self._samples: Epoch | None = None

    def take(self, size: int, groups: int = 1) -> Batch:
        """The next batch of `size` samples over all ranks, or what is left of the epoch.

        Args:
            size: over all ranks.
            groups: fewest parts that this rank's share comes in, as far as it has that many samples.

        Raises:
            ValueError: `size` or `groups` is less than 1.
        """
        if size < 1 or groups < 1:
            raise ValueError(f"a batch of {size} samples in {groups} groups: both must be at least 1")
        if self._samples is None:
            began = time.perf_counter()
            self._samples = self._opened()
            self._source.seconds += time.perf_counter() - began
        position, epoch = self._position, self._epoch
        size = min(size, self.n - position)
        start = -((self._rank - position) // self._world_size)
        stop = -((self._rank - position - size) // self._world_size)
        parts = _parts(stop - start, groups, self._micro_batch)
        batch = Batch(size, epoch, position, MicroBatches(self._samples, start, stop, parts))
        self._position += size
        if self._position == self.n:
            self.seek(epoch + 1)
        return batch

    def _opened(self) -> Epoch:
        """The samples of the epoch that begins or goes on."""
        return Epoch(self._source, self._seed, self._stream, self._epoch, self._rank, self._world_size)

    def state_dict(self) -> dict[str, int]:
        """Everything a later process needs to go on with the next batch."""
        return {
            "seed": self._seed,
            "stream": self._stream,
            "n": self.n,
            "epoch": self._epoch,
            "position": self._position,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where `state` was taken, with any ranks and micro-batches.

        Raises:
            ValueError: it is the state of another stream.
        """
        for key, mine in (("seed", self._seed), ("stream", self._stream), ("n", self.n)):
            if state[key] != mine:
                raise ValueError(f"the saved stream has {key}={state[key]}, this one {mine}; they must agree")
        self.seek(state["epoch"], state["position"])


def largest_part(size: int, *, groups: int = 1, world_size: int = 1, micro_batch: int | None = None) -> int:
    """Samples of the largest part that a batch comes in, over all ranks.

    Args:
        size: of the batch, over all ranks.
        groups: as in `Batches.take`.
        world_size: as in `Batches`.
        micro_batch: as in `Batches`.

    Example:
        >>> largest_part(1442, micro_batch=512), largest_part(8, groups=4)
        (481, 2)
    """
    shares = {-(-size // world_size), size // world_size} - {0}
    return max(-(-share // _parts(share, groups, micro_batch)) for share in shares)


def _parts(share: int, groups: int, micro_batch: int | None) -> int:
    """How many parts a rank's share of a batch comes in."""
    parts = min(groups, share)
    return parts if micro_batch is None else max(parts, -(-share // micro_batch))


def evaluation_batches(
    dataset: Dataset,
    split: Split,
    *,
    device: str | torch.device,
    batch: int,
    rank: int = 0,
    world_size: int = 1,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
) -> Iterator[Pair]:
    """Every sample of a split once over all ranks, in stored order, without augmentation.

    Args:
        dataset: where the samples come from.
        split: `"train"`, `"validation"` or `"test"`.
        device: where the batches appear.
        batch: samples of this rank in each (inputs, targets) but the last.
        rank: of this process, 0 to world_size - 1.
        world_size: processes that share the split.
        dtype: of inputs and of float targets.
        channels_last: memory format of images.

    Yields:
        (inputs, targets): (m, C, H, W) or (m, d), and (m,); nothing for a split without samples.

    Raises:
        ValueError: a rank, batch or split out of range.
    """
    _check_rank(rank, world_size)
    if batch < 1:
        raise ValueError(f"an evaluation batch of {batch} samples: at least 1")
    source = Resident(dataset, split, torch.device(device), dtype, channels_last)
    places = torch.arange(source.n, device=source.device)[rank::world_size]
    for start in range(0, len(places), batch):
        index = places[start : start + batch]
        yield source.x(index, None), source.y.index_select(0, index)


def _check_rank(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} of {world_size}: ranks are 0 to world_size - 1")
