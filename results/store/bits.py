"""Which of a split's examples were right, one bit each, as the text that a row can hold."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(correct: NDArray[np.bool_]) -> str:
    """Bits in order, the first in the highest place of the first byte, in base64: 60 characters for 355 examples.

    >>> packed(np.array([True, False, True]))
    'oA=='

    Args:
        correct: of shape (n,), in the order of the data set.
    """
    return base64.b64encode(np.packbits(correct).tobytes()).decode("ascii")


def unpacked(text: str, n: int) -> NDArray[np.bool_]:
    """What `packed` made of n bits.

    Args:
        text: from a row.
        n: how many bits.

    Raises:
        ValueError: The text is not that of n bits.
    """
    data: NDArray[Any] = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    if len(data) != (n + 7) // 8:
        raise ValueError(f"{len(data)} bytes cannot be the bits of {n} examples")
    return np.unpackbits(data, count=n).astype(bool)
