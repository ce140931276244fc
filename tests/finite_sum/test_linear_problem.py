"""The objective of a linear model: values, gradients, certificates, sampling, formats and bad input."""

import math

import numpy as np
import pytest
import scipy.sparse
import torch
import torch.nn.functional as F

from batchlab.optimizers.finite_sum import DASVRDA, L1, L2, ElasticNet, LinearProblem, minimum, unit_rows

LOSSES = ["squared", "logistic", "squared_hinge"]


def data(n=30, d=5, seed=0):
    generator = np.random.default_rng(seed)
    A = generator.standard_normal((n, d)) * (generator.random((n, d)) < 0.7)
    A[:, 0] += 1.0
    return A, np.where(generator.random(n) < 0.5, -1.0, 1.0)


def autograd_value(A, y, loss, x, l1, l2):
    z, t = torch.as_tensor(A) @ x, torch.as_tensor(y)
    if loss == "squared":
        losses = (z - t) ** 2 / 2
    elif loss == "logistic":
        losses = F.softplus(-t * z)
    else:
        losses = F.relu(1 - t * z) ** 2 / 2
    return losses.mean() + l1 * x.abs().sum() + l2 / 2 * x @ x


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix])
def test_value_and_gradient_against_autograd(loss, form):
    A, y = data()
    problem = LinearProblem(form(A), y, loss, ElasticNet(0.1, 0.3))
    x = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert problem.value(x.detach().numpy()) == pytest.approx(autograd_value(A, y, loss, x, 0.1, 0.3).item(), abs=1e-14)
    (gradient,) = torch.autograd.grad(autograd_value(A, y, loss, x, 0.0, 0.0), x)
    np.testing.assert_allclose(problem.gradient(x.detach().numpy()), gradient, atol=1e-14)


def test_values_far_out_stay_finite():
    problem = LinearProblem([[1.0], [1.0]], [0, 1], "logistic", L1(0.1))
    x = np.array([1e4])
    assert problem.value(x) == pytest.approx(6e3)
    assert problem.gradient(x) == pytest.approx([0.5])
    assert math.isfinite(problem.duality_gap(x))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [2, 63, 64, 65, 1000])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e3])
def test_the_value_is_the_mean_of_the_losses_to_rounding(loss, n, scale):
    """It is summed in blocks, with one logarithm each."""
    generator = np.random.default_rng(0)
    problem = LinearProblem(generator.standard_normal((n, 4)), np.arange(n) % 2, loss)
    x = scale * generator.standard_normal(4)
    exact = math.fsum(problem.component_losses(x)) / n
    assert problem.value(x) == pytest.approx(exact, rel=4e-16)
    x[0] = math.inf
    with np.errstate(invalid="ignore"):
        assert not math.isfinite(problem.value(x))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("net", [L1(0.05), L2(0.1), ElasticNet(0.02, 0.1)])
def test_duality_gap_bounds_the_distance_and_vanishes(loss, net):
    A, y = data()
    problem = LinearProblem(A, y, loss, net)
    solution = minimum(problem, tolerance=1e-13)
    optimum = solution.records[-1].value
    assert problem.duality_gap(solution.x) <= 1e-13
    generator = np.random.default_rng(1)
    for scale in (1e-3, 0.1, 1.0):
        x = solution.x + scale * generator.standard_normal(5)
        assert problem.value(x) >= optimum - 1e-13
        assert problem.duality_gap(x) >= problem.value(x) - optimum - 1e-13


@pytest.mark.parametrize("loss", LOSSES)
def test_smoothness_constants(loss):
    A, y = data()
    problem = LinearProblem(A, y, loss)
    factor = 0.25 if loss == "logistic" else 1.0
    np.testing.assert_allclose(problem.smoothness, factor * np.linalg.norm(A, axis=1) ** 2)
    greatest = factor * np.linalg.eigvalsh(A.T @ A / len(A))[-1]
    assert greatest - 1e-12 <= problem.gradient_lipschitz <= 1.01 * greatest
    assert problem.gradient_lipschitz <= problem.mean_smoothness


def test_one_column_has_its_lipschitz_constant():
    problem = LinearProblem([[1.0], [2.0]], [0.0, 1.0], "squared")
    assert problem.gradient_lipschitz == problem.mean_smoothness == 2.5


def test_draws_follow_the_smoothness():
    A, y = data(n=12)
    problem = LinearProblem(A, y)
    draws = problem.draw(np.random.default_rng(0), (1000, 400))
    q = problem.smoothness / problem.smoothness.sum()
    observed = np.bincount(draws.ravel(), minlength=12) / draws.size
    assert np.abs(observed - q).max() < 5 * np.sqrt(q.max() / draws.size)
    np.testing.assert_allclose(problem.weights, 1 / (12 * q))


def test_equal_rows_are_drawn_uniformly():
    A, y = data(n=12)
    problem = LinearProblem(unit_rows(A), y)
    assert problem.weights.size == 0
    counts = np.bincount(problem.draw(np.random.default_rng(0), (100, 1200)).ravel(), minlength=12)
    assert counts.min() > 9500


def test_kept_rows_of_zeros_are_never_drawn():
    A, y = data(n=200)
    A[::3] = 0.0
    with pytest.raises(ValueError, match=r"67 of 200 rows of A are all zeros .*row 0.*zero_rows='keep'"):
        LinearProblem(A, y)
    problem = LinearProblem(A, y, regularizer=L2(0.1), zero_rows="keep")
    assert (problem.draw(np.random.default_rng(0), (100, 1000)) % 3 != 0).all()
    solution = DASVRDA(problem).solve(passes=400, gap=1e-10)
    assert solution.converged
    np.testing.assert_allclose(solution.x, minimum(problem).x, atol=1e-4)


FORMS = {
    "list": lambda A: A.tolist(),
    "numpy float32": lambda A: A.astype(np.float32),
    "numpy Fortran": np.asfortranarray,
    "torch dense": lambda A: torch.tensor(A, requires_grad=True),
    "torch float16": lambda A: torch.tensor(A).half(),
    "torch bfloat16": lambda A: torch.tensor(A).bfloat16(),
    "torch csr": lambda A: torch.tensor(A).to_sparse_csr(),
    "torch csr bfloat16": lambda A: torch.tensor(A).bfloat16().to_sparse_csr(),
    "torch coo": lambda A: torch.tensor(A).to_sparse(),
    "scipy csr": scipy.sparse.csr_matrix,
    "scipy csr array": scipy.sparse.csr_array,
    "scipy csc": scipy.sparse.csc_matrix,
    "scipy coo": scipy.sparse.coo_array,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_form_gives_the_same_run(form):
    A, y = data()
    A = np.round(A * 8) / 8  # exact in every precision
    reference = DASVRDA(LinearProblem(A, y, regularizer=L1(0.01)), batch_size=4).solve(passes=20)
    got = DASVRDA(LinearProblem(form(A), torch.tensor(y).bfloat16(), regularizer=L1(0.01)), batch_size=4).solve(
        passes=20
    )
    np.testing.assert_allclose(got.x, reference.x, atol=1e-13)


def test_duplicate_entries_are_summed_and_the_callers_arrays_are_left_alone():
    A = scipy.sparse.csr_matrix((np.array([1.0, 2.0, 5.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    problem = LinearProblem(A, [0, 1], "squared")
    assert problem.smoothness.tolist() == [9.0, 25.0]
    assert A.nnz == 3


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
def test_the_digest_is_of_the_content(form):
    A, y = data()
    known = LinearProblem(form(A), y).digest
    assert LinearProblem(form(A.copy()), y > 0, regularizer=L1(0.1)).digest == known
    for row, column in ((0, 0), (29, 4)):
        other = A.copy()
        other[row, column] += 1e-12
        assert LinearProblem(form(other), y).digest != known
    assert LinearProblem(form(A[:, ::-1]), y).digest != known
    assert LinearProblem(form(A), -y).digest != known


def test_float64_data_is_shared():
    A, y = data()
    csr = scipy.sparse.csr_array(A)
    assert np.shares_memory(LinearProblem(A, y).rows.values, A)
    assert np.shares_memory(LinearProblem(csr, y).rows.data, csr.data)


@pytest.mark.parametrize("labels", [(0, 1), (-1, 1), (1, 2), (3.5, -2.0)])
def test_any_two_values_are_classes(labels):
    A, y = data()
    low, high = sorted(labels)
    problem = LinearProblem(A, np.where(y > 0, high, low))
    assert problem.classes == (low, high)
    assert (problem.y == y).all()


def test_evaluate_on_other_data():
    A, y = data()
    problem = LinearProblem(A, y)
    x = np.random.default_rng(0).standard_normal(5)
    other, labels = data(seed=7)
    loss, accuracy = problem.evaluate(x, scipy.sparse.csr_matrix(other), labels)
    assert loss == pytest.approx(np.logaddexp(0, -labels * (other @ x)).mean())
    assert accuracy == pytest.approx((np.where(other @ x > 0, 1, -1) == labels).mean())
    assert math.isnan(LinearProblem(A, y, "squared").evaluate(x, other, labels)[1])
    with pytest.raises(ValueError, match="4 features, the problem 5"):
        problem.evaluate(x, other[:, :4], labels)
    with pytest.raises(ValueError, match=r"label -?7 is neither"):
        problem.evaluate(x, other, labels * 7)


def test_unit_rows():
    A, _ = data()
    A[3] = 0.0
    for form in (np.asarray, scipy.sparse.csr_matrix):
        scaled = unit_rows(form(A))
        norms = np.linalg.norm(scaled if isinstance(scaled, np.ndarray) else scaled.toarray(), axis=1)
        assert norms[3] == 0.0
        np.testing.assert_allclose(np.delete(norms, 3), 1.0)


NAN = np.array([[1.0, np.nan], [1.0, 0.0]])
BAD = {
    "one class": (np.eye(2), [1, 1], {}, "exactly two classes, got 1"),
    "three classes": (np.eye(3), [0, 1, 2], {}, r"got 3 \(0, 1, 2\)"),
    "nan in A": (NAN, [0, 1], {}, "A has entries that are NaN"),
    "nan in sparse A": (scipy.sparse.csr_array(NAN), [0, 1], {}, "A has entries that are NaN"),
    "nan in y": (np.eye(2), [0, np.nan], {}, "y has entries that are NaN"),
    "no rows": (np.empty((0, 2)), [], {}, "at least one row"),
    "no columns": (np.empty((2, 0)), [0, 1], {}, "at least one row"),
    "no matrix": (np.ones(3), [0, 1, 1], {}, r"must be a matrix of shape \(n, d\)"),
    "lengths": (np.eye(2), [0, 1, 1], {}, r"shape \(2,\); got shape \(3,\)"),
    "zero row": ([[1.0, 0.0], [0.0, 0.0]], [0, 1], {}, "1 of 2 rows of A are all zeros"),
    "only zeros": (np.zeros((2, 2)), [0, 1], {"zero_rows": "keep"}, "2 of 2 rows"),
    "complex A": (1j * np.eye(2), [0, 1], {}, "A must hold real numbers, got complex128"),
    "complex sparse A": (scipy.sparse.csr_array(1j * np.eye(2)), [0, 1], {}, "A must hold real numbers"),
    "complex tensor": (1j * torch.eye(2), [0, 1], {}, "A must hold real numbers, got complex64"),
    "text in A": ([["a", "b"], ["c", "d"]], [0, 1], {}, "A must hold real numbers, got <U1"),
    "complex y": (np.eye(2), [1j, 1], {}, "y must hold real numbers, got complex128"),
    "text labels": (np.eye(2), ["yes", "no"], {}, "y must hold real numbers, got <U3: encode labels as numbers"),
    "labels of any kind": (np.eye(2), np.array([0, "no"], dtype=object), {}, "got object: encode labels"),
    "loss": (np.eye(2), [0, 1], {"loss": "hinge"}, "unknown loss 'hinge'"),
    "zero_rows": (np.eye(2), [0, 1], {"zero_rows": "drop"}, "must be 'error' or 'keep'"),
}


@pytest.mark.parametrize(("A", "y", "options", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(A, y, options, message):
    with pytest.raises(ValueError, match=message):
        LinearProblem(A, y, **options)
