"""The way to P*: FISTA for the support, Newton's method on it, the duality gap as the certificate."""

import dataclasses
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

from batchlab.optimizers.finite_sum.fista import FISTA
from batchlab.optimizers.finite_sum.kernels import DenseRows, Floats
from batchlab.optimizers.finite_sum.problem import LinearProblem
from batchlab.optimizers.finite_sum.result import Record, Result

ROUNDING = 1e-13
"""Where P* is a `minimum`, nothing but rounding is left of a smaller P(x) - P*."""
FIRST_STRETCH = 64.0
"""Passes of FISTA before the first Newton steps."""
LARGEST_SYSTEM = 2_000
"""Coordinates up to which Newton's system is factorised (32 MB, a tenth of a second); above, conjugate gradients."""
MOST_STEPS = 30
"""Newton steps at a time: more are only needed where the signs are wrong, and then FISTA is better."""


def minimum(problem: LinearProblem, *, tolerance: float = 1e-12, passes: float = 100_000) -> Result:
    """P* and its minimiser, certified: the duality gap is at most `tolerance` (absolute).

    FISTA runs for 64 passes, then for 128, and so on. After each stretch Newton's method goes on from its point, on the
    coordinates that are not zero: once these are the minimiser's it is there in a few steps, where FISTA alone takes
    thousands of passes.

    Args:
        problem: with a regulariser, without which there is no duality gap.
        tolerance: of the duality gap.
        passes: budget, Newton steps included.

    Returns:
        The result, with a record at the end of each stretch and after each of Newton's turns;
        ``result.value`` is P* to within ``result.records[-1].gap``. A Newton step counts as a pass and as
        an iteration; ``seconds`` are FISTA's alone.

    Raises:
        ValueError: no regulariser, without which nothing certifies P*; or the gap was not reached within `passes`.
    """
    problem.check_certificate()
    x, stretch = problem.start(), FIRST_STRETCH
    records: list[Record] = []
    while True:
        spent = records[-1].passes if records else 0.0
        budget = max(1.0, min(stretch, passes - spent))
        result = FISTA(problem, x0=x).solve(passes=budget, gap=tolerance, every=50.0)
        records.append(_later(result.records[-1], records))
        if result.converged:
            return Result(result.x, records, "gap")
        x, steps = _newton(problem, result.x, min(MOST_STEPS, int(passes - records[-1].passes)))
        records.append(_stepped(records[-1], problem, x, steps))
        if records[-1].gap <= tolerance:
            return Result(x, records, "gap")
        if records[-1].passes >= passes:
            found = f"the duality gap is {records[-1].gap:.1e} after {records[-1].passes:g} passes"
            raise ValueError(f"{found}: allow more, or a larger tolerance")
        stretch *= 2.0


def _newton(problem: LinearProblem, x: Floats, most: int) -> tuple[Floats, int]:
    """At most so many steps to the minimum of P over the coordinates that are not zero (all where l1 = 0), signs kept.

    A step that would change a sign ends where the first coordinate comes to zero, which then stays there; it is halved
    until P does not grow. Returns the point and the number of steps.
    """
    net, design, value = problem.regularizer, _columns(problem), problem.value(x)
    for count in range(most):
        support = np.flatnonzero(x) if net.l1 > 0.0 else np.arange(problem.dimension)
        if not support.size:
            return x, count
        point, sign = x[support], np.sign(x[support])
        slope = problem.gradient(x)[support] + net.l1 * sign + net.l2 * point
        try:
            direction = -_solve(design[:, support], problem.curvatures(x) / problem.n, net.l2, slope)
        except scipy.linalg.LinAlgError:  # P is flat in some direction here
            return x, count
        length = 1.0
        if net.l1 > 0.0:
            crossing = sign * direction < -abs(point)
            length = float((abs(point) / abs(direction))[crossing].min(initial=1.0))
        while True:
            moved = point + length * direction
            if net.l1 > 0.0:
                moved[sign * moved <= 1e-15 * abs(point)] = 0.0  # zero but for rounding
            trial = x.copy()
            trial[support] = moved
            reached = problem.value(trial)
            if reached <= value + 1e-15 * abs(value):
                break
            length /= 2.0
            if length < 1e-9:
                return x, count
        change, x, value = float(abs(moved - point).max()), trial, min(value, reached)
        if change <= 1e-13 * float(abs(moved).max()):
            return x, count + 1
    return x, most


def _columns(problem: LinearProblem) -> Any:
    """A in a layout that columns can be taken from."""
    rows = problem.rows
    if isinstance(rows, DenseRows):
        return rows.values
    parts = (rows.data, rows.columns.astype(np.int64), rows.pointers.astype(np.int64))
    return scipy.sparse.csr_array(parts, shape=(problem.n, problem.dimension)).tocsc()


def _solve(part: Any, weights: Floats, l2: float, slope: Floats) -> Floats:
    """H^-1 slope with H = A^T diag(weights) A + l2 I and, where it is singular, a ridge of rounding size."""
    size, dense = slope.size, isinstance(part, np.ndarray)
    squares = part * part if dense else part.multiply(part)
    diagonal = np.asarray(squares.T @ weights)
    ridge = max(l2 + 1e-12 * float(diagonal.mean()), 1e-300)
    solution: Floats
    if size > LARGEST_SYSTEM:
        product = scipy.sparse.linalg.LinearOperator(
            (size, size), matvec=lambda v: part.T @ (weights * (part @ v)) + ridge * v, dtype=np.float64
        )
        solution, _ = scipy.sparse.linalg.cg(
            product, slope, rtol=1e-8, maxiter=5_000, M=scipy.sparse.diags_array(1.0 / (diagonal + ridge))
        )
        return solution
    if dense:
        hessian = (part * weights[:, None]).T @ part
    else:
        hessian = (part.multiply(weights[:, None]).tocsc().T @ part).toarray()
    hessian[np.diag_indices(size)] += ridge
    solution = scipy.linalg.solve(hessian, slope, assume_a="pos")
    return solution


def _later(record: Record, before: list[Record]) -> Record:
    """A record of a stretch of FISTA, counted from the first one's start."""
    if not before:
        return record
    counts = ("stage", "gradients", "passes", "iterations", "seconds", "restarts")
    sums = {name: getattr(record, name) + getattr(before[-1], name) for name in counts}
    return dataclasses.replace(record, **sums)


def _stepped(record: Record, problem: LinearProblem, x: Floats, steps: int) -> Record:
    """The record after so many Newton steps to `x`."""
    return dataclasses.replace(
        record,
        gradients=record.gradients + steps * problem.n,
        passes=record.passes + steps,
        iterations=record.iterations + steps,
        value=problem.value(x),
        gap=problem.duality_gap(x),
    )
