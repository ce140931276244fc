"""From what users hold (NumPy, SciPy, torch; dense or sparse) to the arrays the kernels read, checked."""

import hashlib
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from batchlab.optimizers.finite_sum.kernels import DenseRows, Floats, Indices, Rows, SparseRows


def _host(values: torch.Tensor) -> torch.Tensor:
    """On the host, without a graph, in a type that NumPy has."""
    values = values.detach().cpu()
    return values.float() if values.dtype is torch.bfloat16 else values


def _to_scipy_or_numpy(A: Any) -> Any:
    if not isinstance(A, torch.Tensor):
        return A
    A = _host(A)
    if A.layout is torch.strided:
        return A.numpy()
    if A.layout is not torch.sparse_csr:
        A = A.to_sparse_csr()
    parts = (A.values().numpy(), A.col_indices().numpy(), A.crow_indices().numpy())
    return scipy.sparse.csr_array(parts, shape=tuple(A.shape))


def as_rows(A: Any) -> tuple[Rows, tuple[int, int]]:
    """The rows of a design matrix, float64, and its shape (n, d).

    Takes NumPy arrays and dense tensors, SciPy sparse matrices and arrays, torch CSR, COO and CSC; tensors on a
    device are copied to the host. Float64 data is shared, not copied, where its layout allows.

    Raises:
        ValueError: not a matrix, no rows, no columns, or an entry that is no real number or not finite.
    """
    A = _to_scipy_or_numpy(A)
    if scipy.sparse.issparse(A):
        return _sparse(A)
    values = _floats(np.asarray(A), "A")
    _check(values.shape, values)
    return DenseRows(values), (values.shape[0], values.shape[1])


def _sparse(A: Any) -> tuple[Rows, tuple[int, int]]:
    csr = scipy.sparse.csr_array(A)
    if not csr.has_canonical_format:  # duplicates would make wrong row norms; never touch the caller's arrays
        csr = csr.copy()
        csr.sum_duplicates()
    data = _floats(csr.data, "A")
    _check(csr.shape, data)
    columns = csr.indices.astype(np.uint32, copy=False)
    pointers = csr.indptr.astype(np.uint64, copy=False)
    return SparseRows(data, columns, pointers), (int(csr.shape[0]), int(csr.shape[1]))


def _floats(values: NDArray[Any], name: str, hint: str = "") -> Floats:
    """Contiguous and float64; ValueError for complex numbers and texts."""
    if values.dtype.kind in "biufO":
        try:
            return np.ascontiguousarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            pass
    raise ValueError(f"{name} must hold real numbers, got {values.dtype}{hint}")


def _check(shape: tuple[int, ...], values: Floats) -> None:
    if len(shape) != 2:
        raise ValueError(f"A must be a matrix of shape (n, d), got shape {shape}")
    if shape[0] == 0 or shape[1] == 0:
        raise ValueError(f"A has shape {shape}: at least one row (sample) and one column (feature) are needed")
    if not np.isfinite(values).all():
        raise ValueError("A has entries that are NaN or infinite: drop or impute them first")


def as_targets(y: Any, n: int) -> Floats:
    """Targets as float64 of shape (n,); ValueError for another length or entries that are no finite numbers."""
    if isinstance(y, torch.Tensor):
        y = _host(y).numpy()
    targets = _floats(np.asarray(y), "y", ": encode labels as numbers")
    if targets.shape != (n,):
        raise ValueError(f"y must have one number per row of A, shape ({n},); got shape {targets.shape}")
    if not np.isfinite(targets).all():
        raise ValueError("y has entries that are NaN or infinite")
    return targets


def signs(y: Floats, classes: tuple[float, float]) -> Floats:
    """Labels as -1.0 (the first class) and +1.0 (the second); ValueError for any third value."""
    first, second = classes
    unknown = y[(y != first) & (y != second)]
    if unknown.size:
        raise ValueError(f"label {unknown[0]:g} is neither of the two classes {first:g} and {second:g}")
    return np.where(y == second, 1.0, -1.0)


def two_classes(y: Floats) -> tuple[float, float]:
    """The two values of the labels, ascending; ValueError unless there are exactly two."""
    values = np.unique(y)
    if values.size != 2:
        shown = ", ".join(f"{v:g}" for v in values[:5]) + (", ..." if values.size > 5 else "")
        raise ValueError(
            f"this loss needs labels of exactly two classes, got {values.size} ({shown}): "
            "choose two of them, or loss='squared' for real targets"
        )
    return float(values[0]), float(values[1])


def _lengths(rows: SparseRows) -> Indices:
    pointers = rows.pointers.astype(np.int64)
    return pointers[1:] - pointers[:-1]


def squared_norms(rows: Rows) -> Floats:
    """||a_i||^2, shape (n,)."""
    if isinstance(rows, DenseRows):
        norms: Floats = np.einsum("ij,ij->i", rows.values, rows.values)
        return norms
    norms = np.zeros(rows.pointers.size - 1)
    filled = np.flatnonzero(_lengths(rows))  # reduceat would give an empty row its neighbour's first entry
    if filled.size:
        norms[filled] = np.add.reduceat(rows.data * rows.data, rows.pointers[filled].astype(np.int64))
    return norms


def digest(rows: Rows, y: Floats) -> str:
    """Of the rows and the targets as the kernels read them: 16 hexadecimal digits, about 1 GB/s."""
    found = hashlib.blake2b(digest_size=8)
    for part in (*rows, y):
        found.update(f"{part.shape} {part.dtype} ".encode())
        found.update(np.ascontiguousarray(part).view(np.uint8).data)
    return found.hexdigest()


def unit_rows(A: Any) -> NDArray[np.float64] | scipy.sparse.csr_array:
    """A with every row divided by its Euclidean norm, dense or CSR as it came; rows of zeros stay as they are.

    >>> unit_rows([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    rows, shape = as_rows(A)
    norms = np.sqrt(squared_norms(rows))
    norms[norms == 0.0] = 1.0
    if isinstance(rows, DenseRows):
        return rows.values / norms[:, None]
    parts = (
        rows.data / np.repeat(norms, _lengths(rows)),
        rows.columns.astype(np.int64),
        rows.pointers.astype(np.int64),
    )
    return scipy.sparse.csr_array(parts, shape=shape)
