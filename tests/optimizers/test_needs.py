"""What a step, a batch schedule and a solver are given is what they declare, and nothing is passed over in silence."""

from __future__ import annotations

import copy
import importlib
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Parameter
from torch.optim import SGD, Optimizer

import batchlab.optimizers as library
from batchlab.optimizers import GSNR, VRSGD, Clock, Heun
from batchlab.optimizers.batch import BatchSchedule, Constant, CoordinateTest, InnerProductTest, NormTest, total_steps
from batchlab.optimizers.finite_sum import FISTA, L2, LinearProblem, Solver
from batchlab.optimizers.needs import Closure, FiniteSum, Moments, Needs, Nothing, SummarisesLayers, needs_of, union

TORCH = [getattr(torch.optim, name) for name in torch.optim.__all__ if isinstance(getattr(torch.optim, name), type)]
TORCH = [kind for kind in TORCH if issubclass(kind, Optimizer) and kind is not Optimizer]


# -- defaults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TORCH, ids=lambda kind: kind.__name__)
def test_torchs_optimizers_are_driven_as_torch_drives_them(kind: type[Optimizer]) -> None:
    assert needs_of(kind) == (Closure(None) if kind is torch.optim.LBFGS else Nothing())


def test_all_of_torchs_optimizers_were_looked_at() -> None:
    assert {torch.optim.LBFGS, SGD, torch.optim.AdamW} < set(TORCH)


OURS = {
    Nothing(): {"NSHB", "AdaGradNorm", "LARS", "LAMB", "Muon", "Taylor", "AdamsBashforth"},
    Closure(2): {"Heun"},
    Closure(4): {"RK4"},
    Moments(elementwise=True): {"GSNR", "VRSGD", "VRMomentum", "VRAdam", "VRAdamW", "VRLARS", "VRLAMB"},
}


@pytest.mark.parametrize("name", [n for n in library.__all__ if n not in ("Clock", "GradientMoments")])
def test_our_optimizers(name: str) -> None:
    (expected,) = [needs for needs, names in OURS.items() if name in names]
    assert needs_of(getattr(library, name)) == expected


def test_instances_may_need_more_than_their_class() -> None:
    x = Parameter(torch.zeros(2))
    assert needs_of(SGD([x])) == Nothing()
    assert needs_of(Heun([x])) == Closure(2)
    assert needs_of(VRSGD([x], minimum_groups=16)) == Moments(groups=16, elementwise=True)
    assert isinstance(VRSGD([x]), SummarisesLayers)
    assert not isinstance(SGD([x]), SummarisesLayers)


def test_our_schedules_and_solvers() -> None:
    assert needs_of(Constant()) == Nothing()
    assert needs_of(NormTest()) == Moments(estimator="groups")
    assert needs_of(InnerProductTest(estimator="per_sample")) == Moments(estimator="per_sample", inner_products=True)
    assert needs_of(CoordinateTest()) == Moments(estimator="groups", coordinates=True)
    assert needs_of(FISTA) == FiniteSum(batches=False)
    assert needs_of(Solver) == FiniteSum(batches=True)


def test_a_schedule_that_listens_has_no_known_number_of_steps() -> None:
    assert Constant().deterministic
    assert not NormTest().deterministic
    assert total_steps(NormTest(initial=5), 10, 100) is None


# -- a user's own ------------------------------------------------------------------------------------------

FOREIGN = '''
import torch
from batchlab.optimizers.batch import BatchSchedule
from batchlab.optimizers.finite_sum import SVRG
from batchlab.optimizers.finite_sum.solver import State
from batchlab.optimizers.needs import Moments


class SignOfSurety(torch.optim.Optimizer):
    """Moves only where the mean gradient outweighs its scatter over the groups."""

    needs = Moments(elementwise=True)

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, moments):
        for p, mean, square in zip(moments.params, moments.means(), moments.second_moments()):
            p -= self.param_groups[0]["lr"] * torch.where(mean**2 > 0.5 * square, mean.sign(), 0.0)


class Doubling(BatchSchedule):
    """Doubles when it has heard of noise."""

    needs = "moments"

    def __init__(self):
        self.value, self.heard = 4, []

    def planned(self, clock):
        return self.value

    def update(self, moments):
        self.heard.append(moments.variance())
        self.value *= 2 if self.heard[-1] > 0 else 1


class HalfSVRG(SVRG):
    """SVRG that goes half of the way."""

    def __init__(self, problem, *, part=0.5, **options):
        self.part = part
        super().__init__(problem, **options)

    def advance(self, state, draws):
        return State(state.x + self.part * (super().advance(state, draws).x - state.x))
'''


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "somebodys_own.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(importlib.sys.modules, "somebodys_own", raising=False)
    return importlib.import_module("somebodys_own")


def test_a_users_optimizer_and_schedule_share_one_measurement(foreign: ModuleType) -> None:
    x = Parameter(torch.tensor([1.0, 1.0]))
    optimizer, batch = foreign.SignOfSurety([x]), foreign.Doubling()
    assert needs_of(optimizer) == needs_of(foreign.SignOfSurety) == Moments(elementwise=True)
    assert needs_of(batch) == Moments()
    assert not batch.deterministic
    wanted = union(needs_of(optimizer), needs_of(batch))
    assert wanted == Moments(elementwise=True)
    moments = wanted.gather([x])
    sizes = []
    for step in range(3):
        sizes.append(batch.size(Clock(0, step, 100, 1000)))
        for sign in (-1.0, 1.0):  # sure of the first coordinate, noise in the second
            x.grad = torch.tensor([1.0, sign])
            moments.observe(sizes[-1] // 2)
        moments.reduce()
        optimizer.step(moments)
        batch.update(moments)
        moments.reset()
    assert sizes == [4, 8, 16]
    assert len(batch.heard) == 3
    assert x.tolist() == pytest.approx([0.7, 1.0])


def test_a_users_solver(foreign: ModuleType) -> None:
    assert needs_of(foreign.HalfSVRG) == FiniteSum()
    problem = LinearProblem(np.eye(2), [2.0, -2.0], "squared", L2(0.5))
    result = foreign.HalfSVRG(problem, part=0.9, batch_size=1, seed=1).solve(passes=300, gap=1e-10)
    assert result.reason == "gap"
    np.testing.assert_allclose(result.x, [1.0, -1.0], atol=1e-4)
    with pytest.raises(TypeError, match="unexpected keyword argument 'parts'"):
        foreign.HalfSVRG(problem, parts=0.9)


# -- what cannot work --------------------------------------------------------------------------------------


class Unheard(Constant):
    def update(self, moments: Any) -> None:
        raise AssertionError


class UnheardHeir(Unheard):
    pass


class Declares(Constant):
    """A schedule with a declaration and nothing to be called with it."""

    needs = "moments"


class ByClosure(Constant):
    needs = Closure(2)  # type: ignore[assignment]


class Solves(Constant):
    needs = FiniteSum()  # type: ignore[assignment]


class Stubborn(Unheard):
    needs = Nothing()


class StepOfTwo(SGD):
    def step(self, moments: Any, batch: Any) -> None:  # type: ignore[override]
        raise AssertionError


class AtLeastNamed(SGD):
    def step(self, closure: Any = None, *, batch: Any) -> None:  # type: ignore[override]
        raise AssertionError


class AtLeastPlaced(SGD):
    def step(self, moments: Any, /) -> None:  # type: ignore[override]
        raise AssertionError


class NamedClosure(SGD):
    def step(self, *, closure: Any) -> None:  # type: ignore[override]
        raise AssertionError


class ByTorchsStep(SGD):
    """Torch's own `step(closure=None)`, which would call the moments."""

    needs = Moments()


class ByClosureAlone(SGD):
    needs = Moments()

    def step(self, closure: Any) -> None:  # type: ignore[override]
        raise AssertionError


class GivenNothing(SGD):
    needs = Closure(2)

    def step(self) -> None:  # type: ignore[override]
        raise AssertionError


class GivenTooLittle(SGD):
    needs = Moments()

    def step(self, moments: Any, *, batch: Any) -> None:  # type: ignore[override]
        raise AssertionError


class Nonsense(SGD):
    needs = "gradients"


class Overeager(SGD):
    needs = Moments  # the class, not a declaration


class Unsolved(SGD):
    """An optimizer that says it is a solver."""

    needs = FiniteSum()


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        (Unheard, r'Unheard has an update\(moments\) that nobody would call: declare needs = "moments"'),
        (UnheardHeir, "UnheardHeir has an update"),
        (Stubborn, "Stubborn has an update"),
        (Declares, r"Declares declares needs, but has no update\(moments\)"),
        (ByClosure, r"ByClosure.needs=Closure\(evaluations=2\): a batch schedule can be given Moments"),
        (Solves, r"Solves.needs=FiniteSum\(batches=True\): a batch schedule"),
        (StepOfTwo, r"StepOfTwo.step needs moments, batch: declare"),
        (AtLeastNamed, r"AtLeastNamed.step needs batch: declare"),
        (AtLeastPlaced, r"AtLeastPlaced.step needs moments: declare"),
        (NamedClosure, r"NamedClosure.step needs closure: declare what it is given, by place"),
        (ByTorchsStep, r"ByTorchsStep declares Moments.*step\(moments\) is called, but its step takes a closure"),
        (ByClosureAlone, r"ByClosureAlone declares Moments.*takes a closure: write step\(self, moments\)"),
        (GivenNothing, r"GivenNothing declares Closure.*step\(closure\) is called.*too many positional"),
        (GivenTooLittle, r"GivenTooLittle declares Moments.*step\(moments\) is called.*missing.*'batch'"),
        (Nonsense, r"Nonsense.needs='gradients': declare Nothing\(\), Closure\(\), .* of batchlab\.optimizers\.needs"),
        (Overeager, r"Overeager.needs=<class .*Moments'>: that is the class, call it: Moments\(\)"),
        (Unsolved, r"Unsolved declares FiniteSum.*but has a step.*declare Nothing\(\), Closure\(\) or Moments\(\)"),
    ],
)
def test_what_cannot_work_is_refused_of_classes_and_instances(kind: type[Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        needs_of(kind)
    instance = kind() if issubclass(kind, BatchSchedule) else kind([Parameter(torch.zeros(1))])
    with pytest.raises(ValueError, match=match):
        needs_of(instance)


def test_a_schedule_that_says_it_needs_nothing_is_as_one_that_says_nothing() -> None:
    class Plain(Constant):
        needs = Nothing()

    assert needs_of(Plain) == needs_of(Plain()) == needs_of(Constant()) == Nothing()
    assert Plain(size=3).deterministic
    assert not Plain().listening
    assert total_steps(Plain(size=3), 10, 20) == total_steps(Constant(size=3), 10, 20) == 8


def test_an_update_set_on_an_instance_is_one() -> None:
    schedule = Constant()
    schedule.update = lambda moments: None  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"Constant has an update\(moments\) that nobody would call"):
        needs_of(schedule)
    schedule.needs = Moments()
    assert needs_of(schedule) == Moments()


def test_needs_may_be_a_property_of_who_is_asked_as_an_instance() -> None:
    class Asked(VRSGD):
        groups: int

        @property
        def needs(self) -> Moments:
            return Moments(groups=self.groups)

        @needs.setter
        def needs(self, value: Moments) -> None:
            pass

    optimizer = Asked([Parameter(torch.zeros(2))])
    optimizer.groups = 5
    assert needs_of(optimizer) == Moments(groups=5)
    with pytest.raises(ValueError, match=r"Asked.needs is a property.*ask one, or declare needs as a plain attribute"):
        needs_of(Asked)
    del optimizer.groups
    with pytest.raises(AttributeError, match="groups"):
        needs_of(optimizer)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"groups": 0}, "groups=0 must be a whole number, at least 1"),
        ({"groups": 2.5}, "groups=2.5 must be"),
        ({"estimator": "grups"}, "estimator='grups': choose one of groups, per_sample, ddp_norm, or None"),
    ],
)
def test_moments_that_cannot_be_are_refused_where_they_are_declared(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Moments(**wrong)


# -- the union ---------------------------------------------------------------------------------------------

FLAGS = ("elementwise", "coordinates", "inner_products")
estimators = st.sampled_from([None, "groups"])
measurements = st.builds(
    Moments, groups=st.integers(2, 64), estimator=estimators, **{flag: st.booleans() for flag in FLAGS}
)
needs = st.one_of(measurements, st.just(Nothing()), st.builds(Closure, st.none() | st.integers(1, 4)))


def together(*of: Needs | None) -> Moments | None:
    return union(*(Nothing() if one is None else one for one in of))


@given(needs, needs, needs)
def test_the_union_is_the_same_in_any_order(a: Needs, b: Needs, c: Needs) -> None:
    expected = union(a, b, c)
    assert union(c, a, b) == union(b, a, c) == expected
    assert together(union(a, b), c) == together(a, union(b, c)) == expected
    assert together(expected, expected) == expected


@given(st.lists(needs, max_size=5))
def test_the_union_serves_everyone_and_measures_no_more(all_of_them: list[Needs]) -> None:
    wanted = [one for one in all_of_them if isinstance(one, Moments)]
    found = union(*all_of_them)
    assert (found is None) == (not wanted)
    if found is not None:
        assert found.groups == max(one.groups for one in wanted)
        assert found.estimator == ("groups" if any(one.estimator for one in wanted) else None)
        for flag in FLAGS:
            assert getattr(found, flag) == any(getattr(one, flag) for one in wanted)


def test_two_estimators_cannot_both_be_had() -> None:
    one, other = Moments(estimator="per_sample"), Moments(estimator="groups")
    with pytest.raises(ValueError, match="one wants estimator=per_sample, another groups"):
        union(one, Nothing(), Moments(), other)
    assert union(one, Moments(), one) == one


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("estimator", [None, "per_sample", "ddp_norm"])
def test_gather_measures_what_is_needed(flag: str, estimator: Any) -> None:
    x = Parameter(torch.zeros(3))
    moments = Moments(groups=4, estimator=estimator, **{flag: True}).gather([x])
    assert moments.params == [x]
    assert moments.estimator == (estimator or "groups")
    assert {kept for kept in FLAGS if getattr(moments, kept)} == {flag}
    assert moments.process_group is None


# -- copies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, copy.copy, lambda one: pickle.loads(pickle.dumps(one))], ids=["deep", "copy", "pickle"]
)
def test_copies_keep_what_they_need(duplicate: Any) -> None:
    x = Parameter(torch.zeros(2))
    wrapped = GSNR(SGD([x], lr=0.1), minimum_groups=16)
    assert needs_of(duplicate(wrapped)) == Moments(groups=16, elementwise=True)
    assert needs_of(duplicate(InnerProductTest(estimator="ddp_norm"))) == Moments(
        estimator="ddp_norm", inner_products=True
    )
    assert duplicate(Moments(groups=3, coordinates=True)) == Moments(groups=3, coordinates=True)
