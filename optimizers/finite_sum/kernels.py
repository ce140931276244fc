"""Compiled inner loops of the solvers for linear models, one specialisation for sparse and one for dense rows.

Every kernel is a pure loop over arrays: indices are drawn outside, so a stage is a function of its arguments and
a test can feed the same draws to a transcription. An inner iteration costs O(non-zeros of the batch) + O(d).
All kernels live in one file because Numba's on-disk cache looks at the date of the calling file only.

Arguments that many kernels share:

- rows, y, loss: the data, n rows of d features, targets of shape (n,), and one of the codes below;
- l1, l2: strengths of the elastic net;
- snapshot, slopes, full: a point (d,), the derivatives of the component losses there (n,), and grad F there (d,);
- draws: indices, shape (m, b), a row per inner iteration;
- weights: 1/(n q_i), shape (n,), or empty where sampling is uniform;
- step: eta;
- out: where the result is written.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_F = TypeVar("_F", bound=Callable[..., Any])

SQUARED, LOGISTIC, SQUARED_HINGE = 0, 1, 2


class SparseRows(NamedTuple):
    """CSR arrays; column indices and row pointers unsigned, so that no kernel tests for negative ones."""

    data: Floats
    columns: NDArray[np.uint32]
    pointers: NDArray[np.uint64]


class DenseRows(NamedTuple):
    """The rows themselves, shape (n, d)."""

    values: Floats


Rows = SparseRows | DenseRows


def _jit(function: _F) -> _F:
    # nogil: several solvers may run in threads. No fastmath here: inf and nan must show that a step diverged.
    return cast(_F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def _dot(rows: Rows, i: int, x: Floats) -> float:
    """<a_i, x>; compiled through the overload below."""
    raise AssertionError("compiled code only")


def _add(rows: Rows, i: int, scale: float, out: Floats) -> None:
    """out += scale a_i; compiled through the overload below."""
    raise AssertionError("compiled code only")


def _compile_dot(rows: Any, i: Any, x: Any) -> Any:
    def sparse(rows: Any, i: Any, x: Any) -> float:
        total = 0.0
        for k in range(rows.pointers[i], rows.pointers[i + 1]):
            total += rows.data[k] * x[rows.columns[k]]
        return total

    def dense(rows: Any, i: Any, x: Any) -> float:
        total = 0.0
        for j in range(x.size):
            total += rows.values[i, j] * x[j]
        return total

    return sparse if rows.instance_class is SparseRows else dense


def _compile_add(rows: Any, i: Any, scale: Any, out: Any) -> Any:
    def sparse(rows: Any, i: Any, scale: Any, out: Any) -> None:
        for k in range(rows.pointers[i], rows.pointers[i + 1]):
            out[rows.columns[k]] += scale * rows.data[k]

    def dense(rows: Any, i: Any, scale: Any, out: Any) -> None:
        for j in range(out.size):
            out[j] += scale * rows.values[i, j]

    return sparse if rows.instance_class is SparseRows else dense


# Reassociation lets a row's sum use vector registers; it does not assume that numbers are finite.
overload(_dot, jit_options={"fastmath": {"reassoc", "contract"}, "error_model": "numpy"})(_compile_dot)
overload(_add, jit_options={"error_model": "numpy"})(_compile_add)


@_jit
def derivative(loss: int, margin: float, target: float) -> float:
    """Derivative of a component loss in its margin z = <a_i, x>."""
    if loss == LOGISTIC:
        return -target / (1.0 + math.exp(target * margin))
    if loss == SQUARED:
        return margin - target
    return -target * max(0.0, 1.0 - target * margin)


@_jit
def losses(rows: Rows, y: Floats, loss: int, x: Floats, out: Floats) -> None:
    """out_i = phi(<a_i, x>, y_i)."""
    for i in range(y.size):
        margin = _dot(rows, i, x)
        if loss == LOGISTIC:
            m = y[i] * margin
            out[i] = math.log1p(math.exp(-abs(m))) + max(0.0, -m)
        elif loss == SQUARED:
            out[i] = 0.5 * (margin - y[i]) ** 2
        else:
            out[i] = 0.5 * max(0.0, 1.0 - y[i] * margin) ** 2


BLOCK = 64
"""Samples whose losses are summed before they are written down: the factors 1 + exp(-|m|) of so many fit a float."""


@_jit
def loss_sums(rows: Rows, y: Floats, loss: int, x: Floats, out: Floats) -> None:
    """out_k = sum of phi(<a_i, x>, y_i) over the k-th BLOCK samples: `losses` with one logarithm per block."""
    for k in range(out.size):
        total, product = 0.0, 1.0
        for i in range(k * BLOCK, min((k + 1) * BLOCK, y.size)):
            margin = _dot(rows, i, x)
            if loss == LOGISTIC:
                m = y[i] * margin
                total += max(0.0, -m)
                product *= 1.0 + math.exp(-abs(m))
            elif loss == SQUARED:
                total += 0.5 * (margin - y[i]) ** 2
            else:
                total += 0.5 * max(0.0, 1.0 - y[i] * margin) ** 2
        out[k] = total + math.log(product)


@_jit
def margins(rows: Rows, x: Floats, out: Floats) -> None:
    """out_i = <a_i, x>."""
    for i in range(out.size):
        out[i] = _dot(rows, i, x)


@_jit
def gradient(rows: Rows, y: Floats, loss: int, x: Floats, slopes: Floats, out: Floats) -> None:
    """out = grad F(x) and slopes_i = phi'(<a_i, x>), in one pass over the rows."""
    out[:] = 0.0
    for i in range(y.size):
        slopes[i] = derivative(loss, _dot(rows, i, x), y[i])
        _add(rows, i, slopes[i] / y.size, out)


@_jit
def _reduced(
    rows: Rows, y: Floats, loss: int, x: Floats, batch: Indices, weights: Floats, slopes: Floats, out: Floats
) -> None:
    """out += (1/b) sum_{i in batch} (grad f_i(x) - grad f_i(snapshot)) / (n q_i), the second from its slopes."""
    scale = 1.0 / batch.size
    for i in batch:
        change = derivative(loss, _dot(rows, i, x), y[i]) - slopes[i]
        if weights.size > 0:  # empty means uniform sampling
            change *= weights[i]
        _add(rows, i, scale * change, out)


@_jit
def _prox(z: float, threshold: float, shrink: float) -> float:
    """Elastic net's proximal operator, one coordinate: soft threshold, then shrink."""
    return shrink * (z - min(max(z, -threshold), threshold))


@_jit
def svrg(
    rows: Rows,
    y: Floats,
    loss: int,
    l1: float,
    l2: float,
    snapshot: Floats,
    slopes: Floats,
    full: Floats,
    draws: Indices,
    weights: Floats,
    step: float,
    momentum: float,
) -> Floats:
    """A stage of proximal SVRG (momentum 0) or AccProxSVRG; returns the last iterate."""
    x, point, g = snapshot.copy(), snapshot.copy(), np.empty_like(full)
    shrink = 1.0 / (1.0 + step * l2)
    for k in range(draws.shape[0]):
        g[:] = full
        _reduced(rows, y, loss, point, draws[k], weights, slopes, g)
        for j in range(x.size):
            new = _prox(point[j] - step * g[j], step * l1, shrink)
            point[j] = new + momentum * (new - x[j])
            x[j] = new
    return x


@_jit
def dasvrda(
    rows: Rows,
    y: Floats,
    loss: int,
    l1: float,
    l2: float,
    start: Floats,
    slopes: Floats,
    full: Floats,
    draws: Indices,
    weights: Floats,
    step: float,
) -> tuple[Floats, Floats]:
    """A stage of DASVRDA from the point `start`, with the snapshot's slopes and gradient; returns (x, z)."""
    x, z, point = start.copy(), start.copy(), start.copy()
    g, average = np.empty_like(full), np.zeros_like(full)
    previous = 0.5
    for k in range(draws.shape[0]):
        theta = 0.5 * (k + 2)  # k counts from 0 here, from 1 in the paper
        new = 1.0 / theta
        old = 1.0 - new
        g[:] = full
        for j in range(x.size):
            point[j] = old * x[j] + new * z[j]
        _reduced(rows, y, loss, point, draws[k], weights, slopes, g)
        length = step * theta * previous
        shrink = 1.0 / (1.0 + length * l2)
        for j in range(x.size):
            average[j] = old * average[j] + new * g[j]
            z[j] = _prox(start[j] - length * average[j], length * l1, shrink)
            x[j] = old * x[j] + new * z[j]
        previous = theta
    return x, z


@_jit
def katyusha(
    rows: Rows,
    y: Floats,
    loss: int,
    l1: float,
    l2: float,
    snapshot: Floats,
    slopes: Floats,
    full: Floats,
    draws: Indices,
    weights: Floats,
    step: float,
    tau1: float,
    tau2: float,
    growth: float,
    y0: Floats,
    z0: Floats,
) -> tuple[Floats, Floats, Floats]:
    """A stage of Katyusha; returns (y, z, the average of the y's, the k-th weighing growth^k)."""
    point, yk, zk = np.empty_like(full), y0.copy(), z0.copy()
    g, average = np.empty_like(full), np.zeros_like(full)
    alpha = step / tau1
    shrink_z, shrink_y = 1.0 / (1.0 + alpha * l2), 1.0 / (1.0 + step * l2)
    total = 0.0  # of the weights, in units of the newest: growth^k itself would overflow
    for k in range(draws.shape[0]):
        g[:] = full
        for j in range(yk.size):
            point[j] = tau1 * zk[j] + tau2 * snapshot[j] + (1.0 - tau1 - tau2) * yk[j]
        _reduced(rows, y, loss, point, draws[k], weights, slopes, g)
        total = total / growth + 1.0
        for j in range(yk.size):
            zk[j] = _prox(zk[j] - alpha * g[j], alpha * l1, shrink_z)
            yk[j] = _prox(point[j] - step * g[j], step * l1, shrink_y)
            average[j] += (yk[j] - average[j]) / total
    return yk, zk, average


@_jit
def saga(
    rows: Rows,
    y: Floats,
    loss: int,
    l1: float,
    l2: float,
    x0: Floats,
    slopes: Floats,
    mean: Floats,
    draws: Indices,
    step: float,
) -> Floats:
    """A pass of SAGA; returns x. Updates the table (`slopes`, one number per sample) and its `mean` gradient."""
    x, g = x0.copy(), np.empty_like(mean)
    fresh = np.empty(draws.shape[1])
    shrink = 1.0 / (1.0 + step * l2)
    scale = 1.0 / draws.shape[1]
    for k in range(draws.shape[0]):
        g[:] = mean
        for r, i in enumerate(draws[k]):
            fresh[r] = derivative(loss, _dot(rows, i, x), y[i])
            _add(rows, i, scale * (fresh[r] - slopes[i]), g)
        for r, i in enumerate(draws[k]):  # a sample drawn twice changes the table once
            _add(rows, i, (fresh[r] - slopes[i]) / y.size, mean)
            slopes[i] = fresh[r]
        for j in range(x.size):
            x[j] = _prox(x[j] - step * g[j], step * l1, shrink)
    return x


@_jit
def alias_table(probabilities: Floats) -> tuple[Floats, Indices]:
    """Walker's alias method: (keep, alias); column i keeps i with probability keep_i, else gives alias_i."""
    n = probabilities.size
    keep = probabilities * (n / probabilities.sum())
    alias = np.full(n, np.argmax(probabilities))  # where rounding leaves a column of probability 0 unpaired
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    smalls = larges = 0
    for i in range(n):
        if keep[i] < 1.0:
            small[smalls] = i
            smalls += 1
        else:
            large[larges] = i
            larges += 1
    while smalls > 0 and larges > 0:
        smalls -= 1
        i, j = small[smalls], large[larges - 1]
        alias[i] = j
        keep[j] -= 1.0 - keep[i]
        if keep[j] < 1.0:
            larges -= 1
            small[smalls] = j
            smalls += 1
    for k in range(smalls):  # left by rounding only
        if probabilities[small[k]] > 0.0:
            keep[small[k]] = 1.0
    return keep, alias
