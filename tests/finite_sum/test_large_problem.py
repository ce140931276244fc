"""A million samples solve within 4 GiB."""

import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np, scipy.sparse
from batchlab.optimizers.finite_sum import DASVRDA, ElasticNet, LinearProblem
n, d, per_row = 1_000_000, 1_000, 10
g = np.random.default_rng(0)
columns = g.integers(d, size=n * per_row, dtype=np.int32)
pointers = np.arange(0, n * per_row + 1, per_row)
A = scipy.sparse.csr_array((g.standard_normal(n * per_row), columns, pointers), shape=(n, d))
y = A @ g.standard_normal(d) + 0.1 * g.standard_normal(n) > 0
solver = DASVRDA(LinearProblem(A, y, regularizer=ElasticNet(1e-5, 1e-6)), step_size=2.0)
result = solver.solve(passes=200, gap=1e-6, every=4)
print(result.reason, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_million_samples_fit_in_4_gib():
    run = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    reason, peak = run.stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024
    assert reason == "gap"
    assert int(peak) * unit < 4 * 2**30
