"""What every solver promises: the minimiser, exact resumption, honest counts, stop rules, clear errors."""

import io
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from batchlab.optimizers.finite_sum import (
    DASVRDA,
    FISTA,
    L1,
    L2,
    SAGA,
    SVRG,
    AccProxSVRG,
    ElasticNet,
    Katyusha,
    LinearProblem,
    TunedStep,
    minimum,
    tune,
    tuned_step,
    unit_rows,
)

# Each solver and the step size, in units of 1/Lbar, it is run with where the theory's is too small for a quick test.
SOLVERS = {
    "DASVRDA none": (DASVRDA, 1.0, {"restart": "none"}),
    "DASVRDA adaptive": (DASVRDA, 1.0, {}),
    "DASVRDA fixed": (DASVRDA, 1.0, {"restart": "fixed", "restart_every": 10}),
    "SVRG": (SVRG, 5.0, {}),
    "SAGA": (SAGA, None, {}),
    "SAGA batch": (SAGA, 1.0, {"batch_size": 10}),
    "AccProxSVRG": (AccProxSVRG, 1.0, {"strong_convexity": 1e-3}),
    "Katyusha": (Katyusha, None, {}),
    "Katyusha strongly convex": (Katyusha, None, {"strong_convexity": 1e-4}),
    "FISTA": (FISTA, None, {}),
}
every_solver = pytest.mark.parametrize("key", SOLVERS)
NETS = [L1(0.01), L2(0.01), ElasticNet(0.01, 0.01)]


@pytest.fixture(scope="module")
def cancer():
    A, y = load_breast_cancer(return_X_y=True)
    return unit_rows(StandardScaler().fit_transform(A)), y


def make(key, problem, **more):
    cls, scale, options = SOLVERS[key]
    step = None if scale is None else scale / problem.mean_smoothness
    return cls(problem, **{"step_size": step, **options, **more})


@every_solver
@pytest.mark.parametrize("net", NETS, ids=["L1", "L2", "elastic net"])
@pytest.mark.parametrize("loss", ["logistic", "squared_hinge", "squared"])
def test_converges_to_the_minimum(key, net, loss, cancer):
    problem = LinearProblem(*cancer, loss, net)
    optimum = minimum(problem, tolerance=1e-12).value
    result = make(key, problem).solve(passes=3000, gap=1e-10, optimum=optimum, every=20)
    assert result.reason == "gap"
    assert result.records[-1].gap > -1e-12


@pytest.mark.parametrize("net", [*NETS, L2(1e-9), L1(1e-5)], ids=str)
@pytest.mark.parametrize("loss", ["logistic", "squared_hinge", "squared"])
def test_the_way_to_the_minimum_is_certified_and_short(net, loss, cancer):
    """Newton's turns end where FISTA alone would need thousands of passes, at a point no solver can improve."""
    A, y = cancer
    A = np.concatenate([A, A[:, :1]], axis=1)  # a column twice: without an L2 term the Hessian is singular
    problem = LinearProblem(scipy.sparse.csr_array(A), y, loss, net)
    result = minimum(problem, tolerance=1e-13)
    assert result.records[-1].gap <= 1e-13
    assert problem.duality_gap(result.x) == result.records[-1].gap
    assert result.records[-1].passes < 5000
    assert [record.passes for record in result.records] == sorted(record.passes for record in result.records)
    on = FISTA(problem, x0=result.x).solve(passes=100).records
    assert on[-1].value >= on[0].value - 1e-13


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge", "squared"])
def test_without_a_regulariser_nothing_is_certified(loss, cancer):
    """No dual point is feasible but at the minimiser itself, up to rounding: said before the first pass."""
    problem = LinearProblem(*cancer, loss)
    for certify in (
        lambda: minimum(problem),
        lambda: problem.duality_gap(problem.start()),
        lambda: DASVRDA(problem).solve(passes=100, gap=1e-8),
    ):
        with pytest.raises(ValueError, match="add l1 or l2, or stop by residual= or by gap= to a known optimum="):
            certify()
    assert DASVRDA(problem).solve(passes=1000, residual=1e-4).reason == "residual"
    assert DASVRDA(problem).solve(passes=100, gap=0.4, optimum=0.0).reason == "gap"


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("net", NETS, ids=["L1", "L2", "elastic net"])
def test_conjugate_gradients_where_the_system_is_large(net, sparse, cancer, monkeypatch):
    A, y = cancer
    problem = LinearProblem(scipy.sparse.csr_array(A) if sparse else A, y, "logistic", net)
    expected = minimum(problem, tolerance=1e-13)
    monkeypatch.setattr(sys.modules[minimum.__module__], "LARGEST_SYSTEM", 3)
    found = minimum(problem, tolerance=1e-13)
    assert found.records[-1].passes <= expected.records[-1].passes + 5
    assert abs(found.records[-1].value - expected.records[-1].value) < 1e-13


def sklearn_logistic(A, y, l1, l2):
    c = 1 / (len(y) * (l1 + l2))
    ratio = l1 / (l1 + l2)
    model = LogisticRegression(
        C=c, l1_ratio=ratio, solver="saga", fit_intercept=False, tol=1e-12, max_iter=20_000, random_state=0
    )
    return model.fit(A, y).coef_.ravel()


@pytest.mark.parametrize(("l1", "l2"), [(0.01, 0.0), (0.0, 0.01), (0.005, 0.01)])
def test_logistic_agrees_with_sklearn(l1, l2, cancer):
    mine = DASVRDA(LinearProblem(*cancer, "logistic", ElasticNet(l1, l2))).solve(passes=2000, gap=1e-12)
    np.testing.assert_allclose(mine.x, sklearn_logistic(*cancer, l1, l2), atol=2e-5)
    assert mine.reason == "gap"


def test_squared_agrees_with_sklearn(cancer):
    A, y = cancer
    model = SklearnElasticNet(alpha=0.03, l1_ratio=1 / 3, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(A, y)
    mine = DASVRDA(LinearProblem(A, y, "squared", ElasticNet(0.01, 0.02))).solve(passes=2000, gap=1e-13)
    np.testing.assert_allclose(mine.x, model.coef_, atol=1e-6)


def test_squared_hinge_agrees_with_sklearn(cancer):
    A, y = cancer
    c = 1 / (2 * 0.05 * len(y))  # LinearSVC's loss is twice ours: ||w||^2/2 + C sum max(0, 1 - y z)^2
    model = LinearSVC(C=c, fit_intercept=False, tol=1e-10, max_iter=100_000, dual=True, random_state=0).fit(A, y)
    mine = DASVRDA(LinearProblem(A, y, "squared_hinge", L2(0.05))).solve(passes=2000, gap=1e-13)
    np.testing.assert_allclose(mine.x, model.coef_.ravel(), atol=1e-5)


@every_solver
def test_a_run_in_pieces_is_the_same_run(key, cancer):
    problem = LinearProblem(*cancer, "logistic", ElasticNet(0.001, 0.001))
    whole = make(key, problem, **({} if key == "FISTA" else {"seed": 3}))
    whole.solve(passes=24)
    first = make(key, problem, **({} if key == "FISTA" else {"seed": 3}))
    first.solve(passes=8)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make(key, problem, **({} if key == "FISTA" else {"seed": 3}))
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.progress == first.progress
    told = []
    second.solve(passes=24, callback=lambda record: told.append(record.stage))
    np.testing.assert_array_equal(second.x, whole.x)
    assert told[0] == first.progress.stage + 1  # the callback is not told the same stage twice
    assert (second.progress.gradients, second.restarts) == (whole.progress.gradients, whole.restarts)
    with pytest.raises(ValueError, match="step_size: saved"):
        make(key, problem, step_size=0.123).load_state_dict(first.state_dict())


def test_a_state_of_another_problem_is_refused(cancer):
    A, y = cancer
    net = ElasticNet(0.001, 0.002)
    state = SAGA(LinearProblem(A, y, "logistic", net), step_size=1.0).state_dict()
    edited = A.copy()
    edited[3, 4] += 1e-9
    others = {
        "loss": LinearProblem(A, y, "squared_hinge", net),
        "l1": LinearProblem(A, y, "logistic", ElasticNet(0.003, 0.002)),
        "l2": LinearProblem(A, y, "logistic", ElasticNet(0.001, 0.0)),
        "data": LinearProblem(edited, y, "logistic", net),
    }
    for name, problem in others.items():
        with pytest.raises(ValueError, match=rf"another run \({name}: saved [^,]*, here [^,]*\): make"):
            SAGA(problem, step_size=1.0).load_state_dict(state)
    with pytest.raises(ValueError, match=r"another run \(data: saved"):
        SAGA(LinearProblem(A, 1 - y, "logistic", net), step_size=1.0).load_state_dict(state)
    SAGA(LinearProblem(A.copy(), 2.0 * y, "logistic", net), step_size=1.0).load_state_dict(state)


@every_solver
def test_an_interrupt_leaves_a_whole_stage(key, cancer):
    problem = LinearProblem(*cancer, "logistic", L2(0.001))
    whole, cut = make(key, problem), make(key, problem)
    whole.solve(passes=24)

    def interrupt(record):
        if record.stage == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut.solve(passes=24, callback=interrupt)
    assert cut.progress.stage == 2
    cut.solve(passes=24)
    np.testing.assert_array_equal(cut.x, whole.x)


def test_seeds_differ_and_repeat(cancer):
    problem = LinearProblem(*cancer)
    runs = [DASVRDA(problem, seed=seed).solve(passes=10).x for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_counts(cancer):
    problem = LinearProblem(*cancer)
    n, b = problem.n, 20

    def last(solver, passes):
        return solver.solve(passes=passes).records[-1]

    dasvrda = last(DASVRDA(problem, batch_size=b), 4)
    assert (dasvrda.stage, dasvrda.iterations, dasvrda.gradients) == (2, 2 * (n // b), 2 * (n + n // b * b))
    svrg = last(SVRG(problem, batch_size=b), 3)
    assert (svrg.iterations, svrg.gradients) == (2 * n // b, n + 2 * n // b * b)
    saga = last(SAGA(problem), 3)
    assert (saga.stage, saga.iterations, saga.gradients) == (2, 2 * n, 3 * n)  # the table is filled once
    fista = last(FISTA(problem), 5)
    assert (fista.stage, fista.iterations, fista.gradients, fista.passes) == (5, 5, 5 * n, 5.0)


def test_no_stage_crosses_the_budget(cancer):
    problem = LinearProblem(*cancer)
    for passes in (4.0, 5.9, 6.0):
        solver = DASVRDA(problem, batch_size=problem.n, inner_iterations=1)  # exactly two passes per stage
        assert solver.solve(passes=passes).records[-1].passes == 2 * (passes // 2)


def test_theoretical_steps(cancer):
    problem = LinearProblem(*cancer)
    smoothness, b = 0.25, 16
    m = problem.n // b
    gamma = (3 + math.sqrt(9 + 8 * b / (m + 1))) / 2
    assert DASVRDA(problem, batch_size=b).step_size == pytest.approx(1 / ((1 + gamma * (m + 1) / b) * smoothness))

    def objective(g):
        return (1 + g * (m + 1) / b) / (1 - 1 / g) ** 2

    assert objective(gamma) <= min(objective(gamma - 1e-3), objective(gamma + 1e-3))
    for method in (Katyusha, SAGA):
        assert method(problem).step_size == pytest.approx(1 / (3 * smoothness))
    assert SVRG(problem, batch_size=5).step_size == pytest.approx(0.5 / smoothness)
    assert SVRG(problem, batch_size=50).step_size == pytest.approx(1 / smoothness)
    acc = AccProxSVRG(problem, strong_convexity=1e-3, batch_size=b).step_size
    assert acc == pytest.approx((0.1 * b) ** 2 / 64 * ((problem.n - 1) / (problem.n - b)) ** 2 * 1e-3 / smoothness**2)
    assert AccProxSVRG(problem, strong_convexity=1e-3, batch_size=problem.n).step_size == pytest.approx(2.0)


@every_solver
def test_the_theorys_step_descends(key, cancer):
    problem = LinearProblem(*cancer, "logistic", L2(0.01))
    cls, _, options = SOLVERS[key]
    records = cls(problem, **options).solve(passes=100).records
    assert records[-1].value < records[0].value


def test_stop_rules_and_records(cancer):
    problem = LinearProblem(*cancer, "logistic", L2(0.01))
    by_residual = DASVRDA(problem).solve(passes=500, residual=1e-8)
    assert by_residual.reason == "residual"
    gradient = problem.gradient(by_residual.x) + 0.01 * by_residual.x
    assert np.linalg.norm(gradient) < 2e-8
    by_passes = DASVRDA(problem).solve(passes=9, every=3.9)
    assert by_passes.reason == "passes"
    assert [round(record.passes) for record in by_passes.records] == [0, 4, 8]
    assert not by_passes.converged
    assert all(math.isnan(record.gap) and math.isnan(record.residual) for record in by_passes.records)
    assert DASVRDA(problem).solve(passes=50, callback=lambda record: record.stage == 3).records[-1].stage == 3
    assert DASVRDA(problem).solve(passes=50, callback=lambda record: True).reason == "callback"
    assert DASVRDA(problem).solve(passes=50, gap=1.0, optimum=0.0).records[-1].stage == 0
    seconds = [record.seconds for record in by_residual.records]
    assert seconds[0] == 0.0
    assert seconds == sorted(seconds)


def test_evaluation_is_not_timed(cancer, monkeypatch):
    problem = LinearProblem(*cancer, "logistic", L2(0.01))
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def spend(method, seconds):
        def spending(*arguments):
            clock[0] += seconds
            return method(*arguments)

        return spending

    monkeypatch.setattr(problem, "value", spend(problem.value, 100.0))
    monkeypatch.setattr(problem, "duality_gap", spend(problem.duality_gap, 100.0))
    monkeypatch.setattr(problem, "draw", spend(problem.draw, 1.0))
    record = DASVRDA(problem).solve(passes=10, gap=0.0).records[-1]
    assert record.seconds == record.stage == 5


def test_divergence_is_said(cancer):
    A, y = cancer
    result = SVRG(LinearProblem(A, y, "squared"), step_size=1e6).solve(passes=600)
    assert result.reason == "diverged"
    assert not math.isfinite(result.records[-1].value)


def test_start(cancer):
    problem = LinearProblem(*cancer, "logistic", L2(0.01))
    solution = minimum(problem).x
    assert DASVRDA(problem, x0=solution).solve(passes=2, gap=1e-10).records[-1].stage == 0
    assert DASVRDA(problem, x0=torch.tensor(solution)).x.dtype == np.float64
    with pytest.raises(ValueError, match=r"x0 has shape \(3,\), the problem \(30,\)"):
        DASVRDA(problem, x0=np.zeros(3))


def test_bad_settings(cancer):
    problem = LinearProblem(*cancer, "logistic", L1(0.01))
    cases = [
        (lambda: DASVRDA(problem, batch_size=570), "n = 569"),
        (lambda: SVRG(problem, batch_size=0), "between 1 and"),
        (lambda: SVRG(problem, step_size=0.0), "step_size=0.0 must be a positive"),
        (lambda: SVRG(problem, step_size=math.nan), "must be a positive"),
        (lambda: SVRG(problem, inner_iterations=0), "inner_iterations=0"),
        (lambda: SVRG(problem, seed=-1), "seed=-1"),
        (lambda: SVRG(problem, seed=1.5), "seed=1.5 must be a whole number"),
        (lambda: SVRG(problem, batch_size=10.0), "batch_size=10.0 must be a whole number"),
        (lambda: SVRG(problem, inner_iterations=3.0), "inner_iterations=3.0 must be a whole number"),
        (lambda: SVRG(problem, step_size="best"), "step_size='best' must be a positive number"),
        (lambda: AccProxSVRG(problem), "add an L2 term, or give strong_convexity"),
        (lambda: AccProxSVRG(problem, strong_convexity=-1.0), "strong convexity > 0"),
        (lambda: Katyusha(problem, strong_convexity=-1.0), "strong_convexity=-1.0"),
        (lambda: DASVRDA(problem, restart="always"), "none, adaptive or fixed"),
        (lambda: DASVRDA(problem, restart="fixed"), "go together"),
        (lambda: DASVRDA(problem, restart_every=3), "go together"),
        (lambda: DASVRDA(problem, restart="fixed", restart_every=0), "at least 1"),
        (lambda: DASVRDA(problem).solve(passes=1.0), "does not cover the first stage, which costs 1.97"),
        (lambda: DASVRDA(problem).solve(passes=math.nan), "does not cover"),
        (lambda: DASVRDA(problem).solve(passes=9, gap=-1.0), "gap=-1.0"),
        (lambda: ElasticNet(l1=-1.0), "l1 must be"),
        (lambda: minimum(problem, passes=3), "the duality gap is"),
        (lambda: tune(lambda eta: SVRG(problem, step_size=eta), optimum=0.0, passes=9, grid=[]), "empty"),
    ]
    for make_it, message in cases:
        with pytest.raises(ValueError, match=message):
            make_it()


@every_solver
def test_an_unknown_argument_is_named(key, cancer):
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepsize'"):
        make(key, LinearProblem(*cancer, "logistic", L2(0.01)), stepsize=1.0)


@pytest.mark.parametrize("option", ["batch_size", "inner_iterations", "seed"])
def test_fista_takes_nothing_that_it_does_not_use(option, cancer):
    with pytest.raises(TypeError, match=option):
        FISTA(LinearProblem(*cancer, "logistic", L2(0.01)), **{option: 10})


def test_tuning_takes_the_fewest_passes(cancer):
    problem = LinearProblem(*cancer, "logistic", ElasticNet(0.001, 0.001))
    optimum = minimum(problem).value
    grid = [1e-3, 1.0, 4.0, 1e5]

    def solver(eta):
        return SVRG(problem, step_size=eta)

    tuning = tune(solver, optimum=optimum, passes=200, grid=grid)
    passes = []
    for eta in grid:  # the rule, without the cut
        result = solver(eta).solve(passes=200, gap=1e-8, optimum=optimum)
        passes.append(result.records[-1].passes if result.reason == "gap" else math.inf)
    assert tuning.best.step_size == grid[int(np.argmin(passes))]
    assert tuning.best.reached is not None
    assert tuning.best.reached.passes == min(passes)
    assert [trial.step_size for trial in tuning.trials] == grid
    plain = [trial.summary() for trial in tuning.trials]
    assert [trial["step_size"] for trial in plain] == grid
    assert min(trial["passes_to_gap"] or math.inf for trial in plain) == min(passes)
    assert plain[-1]["passes_to_gap"] is None
    assert plain[-1]["gap"] > 1.0
    none = tune(solver, optimum=optimum, passes=6, gap=1e-15, grid=grid)
    assert none.best.reached is None
    assert none.best.result.records[-1].gap == min(
        t.result.records[-1].gap for t in none.trials if t.result.reason != "diverged"
    )


def test_a_trial_that_diverged_is_told_in_plain_numbers(cancer):
    problem = LinearProblem(*cancer, "squared", L2(0.01))
    trial = tune(lambda eta: SVRG(problem, step_size=eta), optimum=0.0, passes=2000, grid=[1e5]).best.summary()
    assert trial["passes_to_gap"] is trial["gap"] is None
    assert json.loads(json.dumps(trial, allow_nan=False)) == trial


def test_a_tuned_step_is_what_tune_finds_at_the_certified_minimum(cancer):
    problem = LinearProblem(*cancer, "logistic", ElasticNet(0.001, 0.001))
    seeds = []

    def solver(eta, seed):
        seeds.append(seed)
        return SVRG(problem, step_size=eta, seed=seed)

    found = tuned_step(solver, passes=60, seed=7, gap=1e-6, grid=[1.0, 4.0])
    assert set(seeds) == {7}
    optimum = minimum(problem).value
    expected = tune(lambda eta: SVRG(problem, step_size=eta, seed=7), optimum=optimum, passes=60, gap=1e-6, grid=[1, 4])
    assert found == TunedStep(
        expected.best.step_size, optimum, seed=7, gap=1e-6, trials=[trial.summary() for trial in expected.trials]
    )
    assert tuned_step(solver, passes=60, optimum=0.0, gap=1e-6, grid=[1.0]).trials[0]["passes_to_gap"] is None


def test_importing_the_optimizers_loads_neither_numba_nor_scipy():
    code = "import sys, batchlab.optimizers; sys.exit(bool({'numba', 'scipy', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
