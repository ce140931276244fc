"""Finite-sum solvers, side by side with scikit-learn, and the measurements behind docs/finite-sum.md.

    python benchmarks/bench_finite_sum.py [saga] [backends] [batches] [solvers] [cost] [memory] [compile]

saga      seconds to gap 1e-8 on a9a: DASVRDA (tuned, theory's step) against scikit-learn's saga, interleaved medians
backends  one stage of DASVRDA in Numba, torch and SciPy, on the same draws
batches   the paper's mini-batch claim: passes and iterations to 1e-8 over b, step size from the paper's grid
solvers   all solvers at b = sqrt(n) (and SAGA at 1), tuned by the same rule, three regularisers
cost      an inner iteration's time against non-zeros and d
memory    n = 1,000,000, d = 1,000, sparse: seconds and peak resident memory
compile   the first stage in a fresh process, with an empty and with a filled Numba cache

a9a is read from libsvm/a9a under BATCHLAB_DATA. Without arguments everything runs (two to three minutes).
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import sklearn
import torch
from sklearn.datasets import load_svmlight_file
from sklearn.linear_model import LogisticRegression

from batchlab.optimizers.finite_sum import (
    DASVRDA,
    FISTA,
    SAGA,
    SVRG,
    AccProxSVRG,
    ElasticNet,
    Katyusha,
    LinearProblem,
    minimum,
    tune,
    unit_rows,
)
from batchlab.runner.train.facts import hardware, versions

MIDDLE = (1e-4, 1e-6)
TARGET = 1e-8


def a9a() -> tuple[Any, Any]:
    root = Path(os.environ.get("BATCHLAB_DATA", Path.home() / ".cache" / "batchlab"))
    A, y = load_svmlight_file(str(root / "libsvm" / "a9a"), n_features=123)
    A = unit_rows(A)
    A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
    return A, y


def medians(repeats: int, **runs: Callable[[], Any]) -> dict[str, float]:
    """Median seconds of each run, taken in turns so that a busy machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for name in list(runs) * repeats:
        began = time.perf_counter()
        runs[name]()
        seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def saga() -> None:
    A, y = a9a()
    l1, l2 = MIDDLE
    problem = LinearProblem(A, y, "logistic", ElasticNet(l1, l2))
    optimum = minimum(problem).value
    tuned = tune(lambda eta: DASVRDA(problem, step_size=eta), optimum=optimum, passes=60).best
    theory = DASVRDA(problem).solve(passes=100, gap=TARGET, optimum=optimum).records[-1]
    assert tuned.reached is not None

    def fit(passes: int) -> LogisticRegression:
        strength = l1 + l2
        model = LogisticRegression(C=1 / (len(y) * strength), l1_ratio=l1 / strength, solver="saga")
        model.set_params(fit_intercept=False, tol=0.0, max_iter=passes, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it stops by max_iter here, as is meant
            return model.fit(A, y)

    passes = next(k for k in range(1, 100) if problem.value(fit(k).coef_.ravel()) - optimum <= TARGET)

    def ours(step: float | None, budget: float) -> None:
        # From the matrix to the solution: checks, L_i, sampling and solving; values are looked at only at the ends.
        fresh = LinearProblem(A, y, "logistic", ElasticNet(l1, l2))
        DASVRDA(fresh, step_size=step).solve(passes=budget, every=1e9)

    seconds = medians(
        15,
        saga=lambda: fit(passes),
        tuned=lambda: ours(tuned.step_size, tuned.reached.passes),
        theory=lambda: ours(None, theory.passes),
    )
    print(f"scikit-learn {sklearn.__version__} saga      {passes:5.1f} passes  {seconds['saga']:.4f} s")
    for name, record in (("tuned", tuned.reached), ("theory", theory)):
        ratio = seconds[name] / seconds["saga"]
        print(f"DASVRDA, {name:6} step size    {record.passes:5.1f} passes  {seconds[name]:.4f} s  {ratio:.2f} of saga")
    print(f"(tuned step size {tuned.step_size:g}, theory's {DASVRDA(problem).step_size:.3g})")


def torch_stage(A: Any, y: Any, x0: Any, slopes: Any, full: Any, draws: Any, step: float) -> Any:
    """DASVRDA's stage as tensor operations, the rows of a batch gathered from CSR."""
    data, columns, pointers = (torch.from_numpy(a) for a in (A.data, A.indices.astype(np.int64), A.indptr))
    y, x, slopes, full = (torch.from_numpy(a) for a in (y, x0, slopes, full))
    start, z, average, previous = x, x, torch.zeros_like(x), 0.5
    l1, l2 = MIDDLE
    for k, batch in enumerate(torch.from_numpy(draws), start=1):
        theta = (k + 1) / 2
        point = torch.lerp(x, z, 1 / theta)
        first = pointers[batch].long()
        lengths = pointers[batch + 1].long() - first
        owner = torch.repeat_interleave(torch.arange(len(batch)), lengths)
        offsets = torch.arange(len(owner)) - (lengths.cumsum(0) - lengths)[owner]
        entries = first[owner] + offsets
        values, places = data[entries], columns[entries]
        margins = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, owner, values * point[places])
        change = -y[batch] * torch.sigmoid(-y[batch] * margins) - slopes[batch]
        gradient = full.index_add(0, places, values * change[owner] / len(batch))
        average = torch.lerp(average, gradient, 1 / theta)
        length = step * theta * previous
        moved = start - length * average
        z = (moved - moved.clip(-length * l1, length * l1)) / (1 + length * l2)
        x = torch.lerp(x, z, 1 / theta)
        previous = theta
    return x


def scipy_stage(A: Any, y: Any, x0: Any, slopes: Any, full: Any, draws: Any, step: float) -> Any:
    """DASVRDA's stage with SciPy slices of rows."""
    start, x, z, average, previous = x0, x0, x0, np.zeros_like(x0), 0.5
    net = ElasticNet(*MIDDLE)
    for k, batch in enumerate(draws, start=1):
        theta = (k + 1) / 2
        rows = A[batch]
        margins = rows @ ((1 - 1 / theta) * x + z / theta)
        change = -y[batch] / (1 + np.exp(y[batch] * margins)) - slopes[batch]
        average = (1 - 1 / theta) * average + (full + rows.T @ change / len(batch)) / theta
        length = step * theta * previous
        z = net.prox(start - length * average, length)
        x = (1 - 1 / theta) * x + z / theta
        previous = theta
    return x


def backends() -> None:
    A, y = a9a()
    problem = LinearProblem(A, y, "logistic", ElasticNet(*MIDDLE))
    point = problem.snapshot(problem.start())
    print("one stage's inner iterations (m = n // b), ms; the ratio is to Numba")
    for b in (10, 180, 1440):
        draws = problem.draw(np.random.default_rng(0), (problem.n // b, b))
        rest = (A, y, point.x, point.slopes, point.gradient, draws, 5.0)
        reference = problem.dasvrda(point, point.x, draws, 5.0)[0]
        assert np.abs(torch_stage(*rest).numpy() - reference).max() < 1e-9
        assert np.abs(scipy_stage(*rest) - reference).max() < 1e-9
        seconds = medians(
            3,
            numba=lambda d=draws: problem.dasvrda(point, point.x, d, 5.0),
            torch=lambda r=rest: torch_stage(*r),
            scipy=lambda r=rest: scipy_stage(*r),
        )
        shown = "  ".join(f"{k} {1e3 * v:8.2f} ({v / seconds['numba']:.0f}x)" for k, v in seconds.items())
        print(f"b {b:5}  {shown}")


def batches() -> None:
    problem = LinearProblem(*a9a(), "logistic", ElasticNet(*MIDDLE))
    optimum = minimum(problem).value
    print("     b    eta  passes  iterations  seconds   (DASVRDA, adaptive restart, to 1e-8)")
    for b in (10, 45, 90, 180, 360, 720, 1440):
        best = tune(lambda eta, b=b: DASVRDA(problem, batch_size=b, step_size=eta), optimum=optimum, passes=80).best
        assert best.reached is not None
        record = best.reached
        print(f"{b:6} {best.step_size:6g} {record.passes:7.1f} {record.iterations:11,} {record.seconds:8.3f}")


def solvers() -> None:
    A, y = a9a()
    for strengths in ((1e-4, 0.0), MIDDLE, (0.0, 1e-6)):
        problem = LinearProblem(A, y, "logistic", ElasticNet(*strengths))
        optimum = minimum(problem).value
        print(f"l1, l2 = {strengths}: P* = {optimum:.15f}")
        cases: list[tuple[Any, dict[str, Any]]] = [
            (DASVRDA, {"restart": "none"}),
            (DASVRDA, {}),
            (SVRG, {}),
            (Katyusha, {}),
            (AccProxSVRG, {"strong_convexity": 1e-6}),
            (AccProxSVRG, {"strong_convexity": 1e-4}),
            (SAGA, {"batch_size": round(problem.n**0.5)}),
            (SAGA, {"batch_size": 1}),
            (FISTA, {}),
        ]
        for cls, options in cases:
            best = tune(
                lambda eta, c=cls, o=options, p=problem: c(p, step_size=eta, **o), optimum=optimum, passes=100
            ).best
            last = best.result.records[-1]
            print(
                f"  {cls.__name__:12} {options!s:28} eta {best.step_size:5g}  {last.passes:6.1f} passes  {last.gap:.1e}"
            )


def synthetic(n: int, d: int, per_row: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    columns = generator.integers(d, size=(n, per_row), dtype=np.int32).ravel()
    pointers = np.arange(0, n * per_row + 1, per_row)
    A = scipy.sparse.csr_array((generator.standard_normal(n * per_row), columns, pointers), shape=(n, d))
    truth = generator.standard_normal(d) * (generator.random(d) < 0.1)
    return A, np.sign(A @ truth + 0.1 * generator.standard_normal(n))


def cost() -> None:
    print("microseconds per inner iteration, b = 100")
    for d in (100, 1_000, 10_000, 100_000):
        shown = []
        for per_row in (5, 20, 80):
            problem = LinearProblem(*synthetic(20_000, d, per_row), "logistic", ElasticNet(1e-4, 1e-6))
            point = problem.snapshot(problem.start())
            draws = problem.draw(np.random.default_rng(0), (200, 100))
            problem.dasvrda(point, point.x, draws[:1], 0.1)
            seconds = medians(5, run=lambda p=problem, s=point, i=draws: p.dasvrda(s, s.x, i, 0.1))["run"]
            shown.append(f"{per_row} per row: {1e6 * seconds / 200:7.1f}")
        print(f"d {d:7,}  " + "  ".join(shown))


def memory() -> None:
    if "BATCHLAB_BENCH_CHILD" not in os.environ:
        command = [sys.executable, __file__, "memory"]
        subprocess.run(command, env=os.environ | {"BATCHLAB_BENCH_CHILD": "1"}, check=True)
        return
    A, y = synthetic(1_000_000, 1_000, 10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    began = time.perf_counter()
    problem = LinearProblem(A, y, "logistic", ElasticNet(1e-5, 1e-6))
    result = DASVRDA(problem, step_size=20.0 / problem.mean_smoothness).solve(passes=100, gap=1e-8)
    last, wall = result.records[-1], time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"n 1,000,000, d 1,000, {A.nnz:,} non-zeros: duality gap {last.gap:.1e} after {last.passes:.0f} passes,")
    print(f"{last.seconds:.1f} s ({wall:.1f} s with evaluation); peak {peak:.2f} GiB ({before:.2f} before)")


def compile() -> None:
    code = (
        "import time; a = time.perf_counter()\n"
        "import torch, scipy.sparse; b = time.perf_counter()\n"
        "from batchlab.optimizers.finite_sum import DASVRDA, LinearProblem; c = time.perf_counter()\n"
        "import numpy as np; A = scipy.sparse.csr_array(np.eye(4))\n"
        "DASVRDA(LinearProblem(A, [0, 1, 0, 1])).solve(passes=2); d = time.perf_counter()\n"
        "print(f'torch and scipy {b - a:.2f} s, the solvers (with Numba) {c - b:.2f} s, first solve {d - c:.2f} s')"
    )
    with tempfile.TemporaryDirectory() as cache:
        for state in ("empty ", "filled"):
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
            )
            print(f"Numba's cache {state}: import {done.stdout.strip()}")


SECTIONS: dict[str, Callable[[], None]] = {
    f.__name__: f for f in (saga, backends, batches, solvers, cost, memory, compile)
}


def conditions() -> str:
    """What the seconds depend on. The kernels and scikit-learn's saga take one thread, torch and BLAS what is set."""
    machine, packages = hardware(torch.device("cpu"), 1), versions()
    names = ("python", "numpy", "scipy", "scikit-learn", "numba", "torch")
    threads = f"torch {machine['threads']} thread(s), OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'not set')}"
    return (
        f"{', '.join(f'{name} {packages[name]}' for name in names)}\n"
        f"{machine['device']}, {machine['cores']} cores, {threads}"
    )


if __name__ == "__main__":
    if "BATCHLAB_BENCH_CHILD" not in os.environ:
        print(conditions())
    for name in sys.argv[1:] or SECTIONS:
        if "BATCHLAB_BENCH_CHILD" not in os.environ:
            print(f"-- {name}")
        SECTIONS[name]()
