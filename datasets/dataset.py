"""A data set in memory, and what is done to its samples on their way to the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from batchlab.datasets import ids

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WHITE = 255.0
"""Of images in bytes."""
LARGEST = float(np.finfo(np.float32).max)
Split: TypeAlias = Literal["train", "validation", "test"]
Features: TypeAlias = "NDArray[Any] | csr_array[Any]"


@dataclass(frozen=True)
class Preprocessing:
    """How a stored sample becomes a model's input; every transformation is per sample.

    Training applies, in this order: random crop after zero padding, horizontal flip, rotation,
    scaling, standardisation. Evaluation applies only the last two.

    Args:
        white: stored value that becomes 1.0 (255 for ordinary images).
        mean: per channel, of the values in [0, 1]; `None`, as `std` is then, leaves them as they are.
        std: standard deviation per channel, of the values in [0, 1].
        standardize: each image to zero mean and unit variance over its pixels and channels, the standard
            deviation bounded below by 1/sqrt(pixels x channels) in stored units; replaces `mean`, `std`. Of features it
            asks for something else, which `standardized` does: each feature by the training split.
        pad: pixels of zero padding on every side before a crop of the original size at a uniform place.
        flip: mirror left to right with probability 1/2.
        rotate: angle uniform in [-rotate, rotate] degrees, nearest neighbour, black outside.
    """

    white: float = 1.0
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    standardize: bool = False
    pad: int = 0
    flip: bool = False
    rotate: float = 0.0

    def __post_init__(self) -> None:
        for key in ("mean", "std"):
            value = getattr(self, key)
            if isinstance(value, (int, float)):
                raise ValueError(f"dataset.{key}={value}: a list, one value per channel or one for all")
            if value is not None:
                object.__setattr__(self, key, tuple(float(v) for v in value))
        if (self.mean is None) != (self.std is None):
            raise ValueError("dataset.mean and dataset.std go together: give both, or null for both")
        if self.std is not None and not all(v > 0 and math.isfinite(v) for v in self.std):
            raise ValueError(f"dataset.std={list(self.std)}: every value must be positive")
        if self.mean is not None and not all(math.isfinite(v) for v in self.mean):
            raise ValueError(f"dataset.mean={list(self.mean)}: every value must be finite")
        if not 0 < self.white < math.inf:
            raise ValueError(f"dataset.white={self.white}: the stored value that becomes 1.0 is positive and finite")
        if not 0 <= self.pad < math.inf or self.pad != int(self.pad):
            raise ValueError(f"dataset.pad={self.pad}: padding is a number of pixels, 0 or more")
        object.__setattr__(self, "pad", int(self.pad))
        if not 0 <= self.rotate <= 180:
            raise ValueError(f"dataset.rotate={self.rotate}: an angle between 0 and 180 degrees")

    @property
    def augments(self) -> bool:
        """Whether training moves pixels."""
        return self.pad > 0 or self.flip or self.rotate > 0


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split, and a validation split where there is one; checked on construction.

    Args:
        name: as tables show it.
        x_train: images (N, H, W, C), uint8 or float; features (N, d), float, dense or SciPy CSR; or, with `vocabulary`,
            ids (N, T), int64.
        y_train: int64 labels in 0 ... classes - 1, (N,), or of any shape, (N, ...), such as one for each token, (N, T);
            or float targets of any shape.
        x_test: like `x_train`; may have no rows.
        y_test: like `y_train`.
        classes: number of classes; `None` for regression.
        preprocessing: applied by `Batches` and `evaluation_batches`.
        x_validation: like `x_train`, of which `with_validation` takes it; `None` without.
        y_validation: like `y_train`; `None` without.
        vocabulary: of ids, which reach the model as they are, int64, how many there are: one number of tokens, or one
            for each of the T columns of a table, where 0 is a column of whole numbers (counts) that are no ids;
            `None`: samples are numbers to compute with.
        notes: what its reader decided for itself, a line each, for whoever asked for it.

    Raises:
        ValueError: naming what is wrong.
    """

    name: str
    x_train: Features
    y_train: NDArray[Any]
    x_test: Features
    y_test: NDArray[Any]
    classes: int | None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    x_validation: Features | None = None
    y_validation: NDArray[Any] | None = None
    vocabulary: int | Sequence[int] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.vocabulary is not None:
            object.__setattr__(self, "vocabulary", ids.vocabulary_of(self.name, self.vocabulary, self.x_train.shape))
        if (self.x_validation is None) != (self.y_validation is None):
            raise ValueError(f"{self.name}: x_validation and y_validation go together: give both, or neither")
        for split in self.splits:
            x, y = self.split(split)
            self._check(split, x, y)
            if split != "test" and x.shape[0] == 0:
                raise ValueError(f"{self.name}: x_{split} has no samples")
            if self.y_train.shape[1:] != y.shape[1:] and len(y):
                raise ValueError(
                    f"{self.name}: y_train holds targets of shape {self.y_train.shape[1:]}, "
                    f"y_{split} of shape {y.shape[1:]}; they must agree"
                )
            if self.x_train.shape[1:] != x.shape[1:]:
                raise ValueError(
                    f"{self.name}: x_train holds samples of shape {self.x_train.shape[1:]}, "
                    f"x_{split} of shape {x.shape[1:]}; they must agree"
                )
            if "f" in (kinds := {x.dtype.kind, self.x_train.dtype.kind}) and len(kinds) > 1 and x.shape[0]:
                why = (
                    "one value of white cannot be right for both" if self.is_image else "they would not be on one scale"
                )
                raise ValueError(
                    f"{self.name}: x_train holds {span(self.x_train)}, x_{split} {span(x)}: {why}; store them in one "
                    "type, on one scale"
                )
        channels, pre = self.shape[0], self.preprocessing
        if self.x_train.dtype == np.uint8 and pre.white == WHITE:
            for key, value in (("mean", pre.mean), ("std", pre.std)):
                if value is not None and not all(0 <= v <= 1 for v in value):
                    scaled = ",".join(f"{v / WHITE:.3g}" for v in value)
                    raise ValueError(
                        f"{self.name}: dataset.{key}={list(value)} is of values in [0, 1], bytes divided by 255: "
                        f"dataset.{key}=[{scaled}]?"
                    )
        if self.is_image and pre.pad > max(self.shape[1:]):
            height, width = self.shape[1:]
            raise ValueError(
                f"{self.name}: dataset.pad={pre.pad} is more than images of {height} x {width} have pixels"
            )
        if not self.is_image and pre != Preprocessing(white=pre.white, standardize=pre.standardize):
            raise ValueError(
                f"{self.name}: its samples are vectors; dataset.mean, std, pad, flip and rotate are for images"
            )
        for key, value in (("mean", pre.mean), ("std", pre.std)):
            if value is not None and len(value) not in (1, channels):
                raise ValueError(
                    f"{self.name}: dataset.{key} has {len(value)} values for {channels} channel(s); "
                    "give one per channel, or one for all"
                )

    def _check(self, split: str, x: Features, y: NDArray[Any]) -> None:
        if x.ndim not in (2, 4):
            raise ValueError(f"{self.name}: x_{split} has shape {x.shape}; images are (N, H, W, C), features (N, d)")
        if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
            raise ValueError(
                f"{self.name}: x_{split} has shape {x.shape}, which looks like (N, C, H, W); "
                "store images as (N, H, W, C)"
            )
        values = x if isinstance(x, np.ndarray) else x.data
        if x.ndim == 4 and values.dtype not in (np.uint8, np.float32, np.float64):
            raise ValueError(f"{self.name}: x_{split} has type {values.dtype}; images are uint8, float32 or float64")
        if values.dtype.kind not in "fiu":
            raise ValueError(f"{self.name}: x_{split} has type {values.dtype}; features are numbers")
        if self.vocabulary is not None:
            ids.check(f"{self.name}: x_{split}", x, self.vocabulary)
        for part, dtype in (("x", values.dtype), ("y", y.dtype)):
            if dtype.kind in "fiu" and (not dtype.isnative or dtype.itemsize > 8):
                raise ValueError(f"{self.name}: {part}_{split} has type {dtype.str}, which torch does not take")
        fits = y.shape[:1] == (x.shape[0],) and 0 not in y.shape[1:]
        way_out = ""
        if fits and self.classes is not None and y.ndim > 1:
            if y.ndim == 2 and y.shape[1] == 1:
                way_out = "; of labels in a column take [:, 0]"
            elif self.vocabulary is None and ids.one_hot(y):
                way_out = "; of one-hot labels take argmax(1)"
        if not fits or way_out:
            raise ValueError(
                f"{self.name}: y_{split} has shape {y.shape}; expected ({x.shape[0]},), one per sample of x_{split}"
                f"{way_out}"
            )
        if self.classes is not None:
            if y.dtype != np.int64:
                raise ValueError(f"{self.name}: y_{split} has type {y.dtype}; labels are int64")
            if y.size and (y.min() < 0 or y.max() >= self.classes):
                raise ValueError(
                    f"{self.name}: y_{split} has labels {y.min()} to {y.max()}; expected 0 to {self.classes - 1}"
                )
        elif y.dtype.kind != "f":
            raise ValueError(
                f"{self.name}: y_{split} has type {y.dtype}; targets are floating-point numbers, and labels whole ones "
                "from 0, in all splits alike"
            )
        elif not np.isfinite(y).all():
            raise ValueError(f"{self.name}: y_{split} has NaN or infinite targets")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{self.name}: x_{split} has NaN or infinite values; clean the data first")
        for part, array in (("x", values), ("y", y)):
            if array.dtype == np.float64 and array.size and max(-array.min(), array.max()) > LARGEST:
                raise ValueError(
                    f"{self.name}: {part}_{split} has values beyond {LARGEST:.3g}, which are infinite in float32; "
                    "clean or scale the data first"
                )

    @property
    def is_image(self) -> bool:
        """Whether samples are images rather than vectors."""
        return self.x_train.ndim == 4

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input: (C, H, W) for images, (d,) for features."""
        if self.is_image:
            height, width, channels = self.x_train.shape[1:]
            return (channels, height, width)
        return (int(self.x_train.shape[1]),)

    @property
    def n(self) -> int:
        """Samples of the training set, without those set apart for validation: the length of an epoch."""
        return int(self.x_train.shape[0])

    @property
    def outputs(self) -> int:
        """What a model is told of its outputs: the classes of a label, or how many numbers it has to regress."""
        return math.prod(self.target_shape) if self.classes is None else self.classes

    @property
    def target_shape(self) -> tuple[int, ...]:
        """The shape of one target: () where it is a number or a label, (T,) where each of T tokens has a label."""
        return tuple(int(size) for size in self.y_train.shape[1:])

    @property
    def splits(self) -> tuple[Split, ...]:
        """What `split` gives."""
        return ("train", "test") if self.y_validation is None else ("train", "validation", "test")

    def split(self, split: Split) -> tuple[Features, NDArray[Any]]:
        """(x, y) of `"train"`, `"test"` or, where there is one, `"validation"`.

        Raises:
            ValueError: there is no such split; the message names the way out.
        """
        if split == "train":
            return self.x_train, self.y_train
        if split == "test":
            return self.x_test, self.y_test
        if split != "validation":
            raise ValueError(f"no split {split!r}: it is train, validation or test")
        if self.x_validation is None or self.y_validation is None:
            raise ValueError(f"{self.name}: no split 'validation': set one apart with dataset.validation=0.1")
        return self.x_validation, self.y_validation


def span(x: Features) -> str:
    """What a split holds, in words: `uint8 (0 to 255)`."""
    values = x if isinstance(x, np.ndarray) else x.data
    return f"{values.dtype} ({values.min():.4g} to {values.max():.4g})" if values.size else f"{values.dtype}"
