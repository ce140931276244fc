"""Which runs a sweep is made of: a grid for each choice, keys that move together, what is left out, drawn points."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import TINY
from shell import in_one_line

from batchlab.runner.options import GridOptions, Search
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.config import Planned, compose
from batchlab.runner.plan.grid.parsing import parse
from batchlab.runner.plan.grid.product import Grid
from batchlab.runner.plan.overrides import Setting

SHB, ADAMW = "optimizer.lr@shb=0.1,0.3", "optimizer.lr@adamw=1e-3,3e-3,1e-2"
LOG = "tag(log,interval(1e-4,1e-1))"


def grid(*overrides: str, **options: Any) -> list[Planned]:
    return compose(overrides, options=GridOptions(**options))


def refused(*overrides: str, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        grid(*overrides, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rates(plans: list[Planned]) -> list[tuple[str, float]]:
    return [(p.tree["optimizer"]["name"], p.tree["optimizer"]["lr"]) for p in plans]


def test_each_contender_has_rates_of_its_own() -> None:
    plans = grid("optimizer=shb,adamw", SHB, ADAMW)
    assert rates(plans) == [("shb", 0.1), ("shb", 0.3), ("adamw", 1e-3), ("adamw", 3e-3), ("adamw", 1e-2)]
    assert plans[0].overrides == ("optimizer=shb", "optimizer.lr=0.1"), "as the override of a run alone"
    single = compose(["optimizer=shb", "optimizer.lr=0.1"])
    assert single[0].run_id == plans[0].run_id


def test_of_a_key_that_is_given_for_all_too_the_own_one_counts() -> None:
    plans = grid("optimizer=shb,adamw,sgd", "optimizer.lr=0.5", "optimizer.lr@adamw=1e-3,3e-3")
    assert rates(plans) == [("shb", 0.5), ("adamw", 1e-3), ("adamw", 3e-3), ("sgd", 0.5)]


def test_a_run_alone_and_the_default_choice_can_be_named() -> None:
    assert rates(grid("optimizer.lr@shb=0.2")) == [("shb", 0.2)]
    assert grid("optimizer.lr@shb=0.2")[0].overrides == ("optimizer.lr=0.2",)
    (run,) = grid("~optimizer.momentum@nshb", "optimizer=nshb", "+optimizer.new@nshb=1")
    assert run.tree["optimizer"].keys() >= {"lr", "new"}
    assert "momentum" not in run.tree["optimizer"]


def test_an_experiment_names_the_choice_that_it_makes() -> None:
    plans = grid("experiment=vrgd_digits,vrgd_toy", "optimizer.lr@resnet8=0.3", "optimizer.lr@linear=0.1")
    assert [p.tree["optimizer"]["lr"] for p in plans] == [0.3, 0.1]
    plans = grid("experiment=vrgd_digits,vrgd_toy", "train.epochs@vrgd_toy=2")
    assert [p.tree["train"]["epochs"] for p in plans] == [5.0, 2.0]


def test_a_key_for_the_choice_of_another_axis() -> None:
    plans = grid("lr_schedule=cosine,constant", "optimizer.lr@cosine=0.3", "optimizer.lr@constant=0.1")
    assert [p.tree["optimizer"]["lr"] for p in plans] == [0.3, 0.1], "batch_schedule=constant was not asked for"
    both = ("lr_schedule=cosine,constant", "batch_schedule=constant")
    plans = grid(*both, "optimizer.lr@lr_schedule.constant=0.1")
    assert [p.tree["optimizer"]["lr"] for p in plans] == [0.1, 0.1]
    assert "write optimizer.lr@lr_schedule.constant=..." in refused(*both, "optimizer.lr@constant=0.1")


def test_what_is_measured_can_depend_on_the_choice() -> None:
    plans = grid("optimizer=shb,adamw", "+measure=gsnr", "+measure@adamw=train_accuracy")
    assert [[*p.tree["measure"]] for p in plans] == [["scores", "gsnr"], ["scores", "gsnr", "train_accuracy"]]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("optimizer=shb,adamw", "optimizer.lr@adam=1"), "no run here has the choice adam; did you mean adamw?"),
        (("optimizer.lr@adamw=1",), "no run here has the choice adamw; there are: shb"),
        (("optimizer.lr@optimizer.adam=1",), "no run here has optimizer=adam; there are: shb"),
        (("optimizer@shb=adam",), "is an axis and stands for itself: --zip or --skip"),
        (("optimizer.lr@shb=fast",), "optimizer.lr@shb=fast: optimizer.lr must be a number"),
        (("optimizer.lrr@shb=1",), "optimizer.lrr@shb=1: there is no key optimizer.lrr; did you mean optimizer.lr?"),
        (("optimizer.lr@shb=1", "optimizer.lr@shb=2"), "optimizer.lr@shb is given twice"),
        (
            ("optimizer=shb", "lr_schedule=cosine", "optimizer.lr@shb=1", "optimizer.lr@cosine=2"),
            "optimizer.lr@shb=1 and optimizer.lr@cosine=2 both hold for optimizer=shb lr_schedule=cosine",
        ),
        (
            ("optimizer=shb,adamw", "optimizer.lr=0.05,0.5", "optimizer.lr@shb=1", "optimizer.lr@adamw=1e-3"),
            "optimizer.lr=0.05,0.5: no run takes it, as each has a choice that optimizer.lr@... is given for: leave it",
        ),
        (("optimizer.lr=1", "optimizer.lr@shb=1"), "optimizer.lr=1: no run takes it"),
        ((f"optimizer.lr={LOG}",), "an interval has no finite set of values: --draws N,"),
        (("optimizer=[shb,adamw]",), "optimizer takes one choice a run: without brackets, optimizer=shb,adamw"),
        (("optimizer=interval(0,1)",), "optimizer=interval(0,1): optimizer takes names of choices, not"),
    ],
)  # fmt: skip
def test_what_cannot_be_scoped(overrides: tuple[str, ...], says: str) -> None:
    assert says in refused(*overrides)


def test_zipped_keys_move_together() -> None:
    data = ("dataset=digits", "dataset.validation=0.1")
    plans = grid(*data, "seed=0,1", "optimizer=shb,adam", "dataset.split_seed=5,6", zip=["seed,dataset.split_seed"])
    found = [(p.tree["seed"], p.tree["optimizer"]["name"], p.tree["dataset"]["split_seed"]) for p in plans]
    assert found == [(0, "shb", 5), (0, "adam", 5), (1, "shb", 6), (1, "adam", 6)]


def test_choices_can_be_zipped_with_each_other_and_with_values() -> None:
    plans = grid(
        "optimizer=shb,adamw", "lr_schedule=cosine,constant", "optimizer.lr=0.1,1e-3", "seed=0,1",
        zip=["optimizer,lr_schedule,optimizer.lr"],
    )  # fmt: skip
    found = [
        (*rate, p.tree["lr_schedule"]["name"], p.tree["seed"]) for rate, p in zip(rates(plans), plans, strict=True)
    ]
    assert found == [(*one, seed) for one in (("shb", 0.1, "cosine"), ("adamw", 1e-3, "constant")) for seed in (0, 1)]


def test_scoped_keys_can_be_zipped() -> None:
    own = ("optimizer.lr@shb=0.1,0.3", "optimizer.momentum@shb=0.9,0.5", "optimizer.lr@adamw=1,2,3")
    plans = grid("optimizer=shb,adamw", *own, zip=["optimizer.lr,optimizer.momentum"])
    assert [p.tree["optimizer"].get("momentum") for p in plans] == [0.9, 0.5, None, None, None]


@pytest.mark.parametrize(
    ("overrides", "zipped"),
    [
        (("optimizer=shb,adamw", SHB, "optimizer.lr@adamw=1e-3,3e-3", "seed=0,1"), "optimizer,optimizer.lr"),
        (("optimizer=shb,adamw", "seed@shb=0,1", "seed@adamw=0,1,2"), "seed,optimizer"),
        (("optimizer=shb,adamw,sgd", "optimizer.lr@shb=0.1,0.2,0.3"), "optimizer,optimizer.lr"),
        (("optimizer=shb,adamw", "optimizer.lr=0.1,0.2", "optimizer.lr@shb=0.3"), "optimizer,optimizer.lr"),
    ],
)
def test_axes_do_not_move_with_what_is_for_one_choice(overrides: tuple[str, ...], zipped: str) -> None:
    said = refused(*overrides, zip=[zipped])
    assert f"--zip {zipped}: {next(o for o in overrides if '@' in o)} is for shb only and goes with it anyway" in said
    assert "without @" in said


@pytest.mark.parametrize(
    ("zipped", "says"),
    [
        ("seed,train.epochs", "they move together and need as many values each: seed 2 values, train.epochs 3"),
        ("seed", "it takes keys with commas between"),
        ("seed,", "it takes keys with commas between"),
        ("seed,train.epoch", "train.epoch has no values to move through; did you mean train.epochs?"),
        ("seed,model.dropout", "model.dropout has no values"),
        ("seed,seed", "seed is named twice"),
        ("seed,nproc", "nproc has no values to move through; give it several values"),
        ("seed,optimizer.lr", "optimizer.lr is an interval"),
    ],
)  # fmt: skip
def test_what_cannot_be_zipped(zipped: str, says: str) -> None:
    overrides = ("seed=0,1", "train.epochs=1,2,3", "nproc=1", f"optimizer.lr={LOG}")
    assert says in refused(*overrides, zip=[zipped], draws=2)


def test_what_is_skipped_meets_all_conditions() -> None:
    overrides = ("optimizer=shb,adamw", "optimizer.lr=0.1,1e-3", "model=mlp", "model.hidden=[8],[8,8]")
    plans = grid(*overrides, skip=["optimizer=shb,optimizer.lr=1e-3", "model.hidden=[8,8],optimizer=adamw"])
    found = [(*rate, str(p.tree["model"]["hidden"])) for rate, p in zip(rates(plans), plans, strict=True)]
    assert found == [("shb", 0.1, "[8]"), ("shb", 0.1, "[8, 8]"), ("adamw", 0.1, "[8]"), ("adamw", 0.001, "[8]")]
    assert len(grid(*overrides, skip=["optimizer.lr=1e-3,0.1,optimizer=shb"])) == 4, "either value"


@pytest.mark.parametrize(
    ("skip", "says"),
    [
        ("optimizer=shb,optimizer.lr=5", "no run has optimizer.lr=5; optimizer.lr is one of 0.001, 0.1"),
        ("optimiser=shb", "--skip optimiser=shb: no run has the axis optimiser; did you mean optimizer"),
        ("optimizer", "--skip takes AXIS=VALUE"),
        ("seed=0", "--skip seed=0: no run is left"),
    ],
)
def test_what_cannot_be_skipped(skip: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        grid("optimizer=shb,adamw", "optimizer.lr=0.1,1e-3", skip=[skip])


def test_all_contenders_are_given_as_many_points() -> None:
    own = (
        f"optimizer.lr@shb={LOG}",
        "optimizer.lr@adamw=tag(log,interval(1e-5,1e-2))",
        "optimizer.weight_decay=interval(0,0.1)",
    )
    plans = grid("optimizer=shb,adamw", *own, "seed=0,1", draws=5)  # fmt: skip
    assert Counter((p.tree["optimizer"]["name"], p.tree["seed"]) for p in plans) == Counter(
        {(name, seed): 5 for name in ("shb", "adamw") for seed in (0, 1)}
    )
    of = {(n, s): [p.tree["optimizer"] for p in plans if (p.tree["optimizer"]["name"], p.tree["seed"]) == (n, s)]
          for n in ("shb", "adamw") for s in (0, 1)}  # fmt: skip
    for seed in (0, 1):
        pairs = zip(of["shb", seed], of["adamw", seed], strict=True)
        assert all(a["lr"] == pytest.approx(10 * b["lr"], rel=1e-3) for a, b in pairs), (
            "the same shares of each one's own"
        )
    assert len({(o["lr"], o["weight_decay"]) for o in of["shb", 0]}) == 5


def test_an_interval_that_no_run_draws_from_is_refused() -> None:
    overrides = (f"optimizer.lr={LOG}", "optimizer.lr@shb=0.1", "optimizer.weight_decay=interval(0,1)")
    assert f"optimizer.lr={LOG}: no run takes it" in refused(*overrides, draws=2)


@pytest.mark.parametrize("search", Search)
def test_a_key_has_the_same_shares_in_whatever_order_it_is_given(search: Search) -> None:
    own = (
        "optimizer.lr@shb=interval(0,1)",
        "optimizer.weight_decay=interval(0,0.1)",
        "optimizer.lr@adamw=interval(0,1)",
    )
    found: dict[str, list[tuple[float, float]]] = {"shb": [], "adamw": []}
    for plan in grid("optimizer=shb,adamw", *own, draws=3, search=search):
        found[plan.tree["optimizer"]["name"]].append(
            (plan.tree["optimizer"]["lr"], plan.tree["optimizer"]["weight_decay"])
        )
    assert found["shb"] == found["adamw"]
    if search is Search.HALTON:
        assert found["shb"] == [(0.5, 0.03333), (0.25, 0.06667), (0.75, 0.01111)], "bases 2 and 3, by hand"


def test_keys_of_different_contenders_take_no_coordinates_from_each_other() -> None:
    names = [f"c{i}" for i in range(12)]
    texts = [f"optimizer={','.join(names)}", *(f"optimizer.k{i}@c{i}=interval(0,1)" for i in range(12))]
    every = [*texts, "optimizer.all=interval(0,1)"]
    for asked, wanted in ((texts, {(0.5,), (0.25,)}), (every, {(0.5, 0.3333), (0.25, 0.6667)})):
        points = Grid(
            parse(asked), GridOptions(draws=2), {"optimizer"}, lambda one: {"optimizer": {"name": one[0].value}}
        ).points()
        assert len(points) == 24
        assert {tuple(s.value for s in point[1:]) for point, _ in points} == wanted


@pytest.mark.parametrize("search", Search)
def test_asking_for_more_points_keeps_those_that_are_there(search: Search) -> None:
    def ids(n: int, **more: Any) -> list[str]:
        return [p.run_id for p in grid(f"optimizer.lr={LOG}", draws=n, search=search, **more)]

    assert ids(8)[:4] == ids(4)
    assert ids(4) == ids(4, search_seed=0)
    assert not {*ids(4)} & {*ids(4, search_seed=1)}


def test_a_key_of_whole_numbers_is_drawn_as_one() -> None:
    plans = grid("model=mlp", "batch_schedule.size=tag(log,interval(8,512))", draws=6)
    sizes = [p.tree["batch_schedule"]["size"] for p in plans]
    assert all(isinstance(size, int) for size in sizes)
    assert sizes == [64, 22, 181, 13, 107, 38], "by hand: 8 * 64.125 ** (1/2, 1/4, 3/4, 1/8, 5/8, 3/8), rounded down"
    assert "has 3 different points: --draws 3" in refused("seed=interval(0,2)", draws=4)
    assert sorted(p.tree["seed"] for p in grid("seed=interval(0,2)", draws=3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"draws": 3}, "--draws 3: no key has an interval"),
        ({"search": Search.RANDOM}, "go with --draws N"),
        ({"draws": 0}, "draws must be a whole number of at least 1, not 0"),
        ({"draws": 2.5}, "draws must be a whole number of at least 1, not 2.5"),
        ({"draws": 2, "search_seed": -1}, "search_seed must be a whole number of at least 0, not -1"),
        ({"zip": [["a", "b"]]}, "zip takes texts with commas between, such as 'seed,optimizer', not ['a', 'b']"),
        ({"skip": [{"seed": 1}]}, "skip takes texts with commas between"),
    ],
)
def test_a_budget_needs_an_interval_and_no_option_is_silently_empty(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        grid("seed=0,1", **options)


KEYS = ("a", "b", "c", "d")


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(KEYS), st.integers(1, 3), min_size=1), st.permutations(KEYS))
def test_without_more_a_grid_is_the_product_in_the_order_of_its_overrides(
    sizes: dict[str, int], order: list[str]
) -> None:
    keys = [key for key in order if key in sizes]
    sweeps = parse([f"{key}={','.join(map(str, range(sizes[key])))}" for key in keys])
    found = Grid(sweeps, GridOptions(), frozenset(), lambda chosen: {}).points()
    assert [[s.value for s in point] for point, _ in found] == [
        list(one) for one in itertools.product(*(range(sizes[key]) for key in keys))
    ]
    assert all(swept == tuple(sizes[key] > 1 for key in keys) for _, swept in found)


@settings(max_examples=60)
@given(st.integers(1, 4), st.dictionaries(st.sampled_from("xyz"), st.integers(1, 3)), st.randoms())
def test_scopes_and_zips_against_a_plain_loop(n: int, own: dict[str, int], shuffle: Any) -> None:
    """`optimizer` chooses; k has values of its own for some choices, z moves with t."""
    texts = ["optimizer=x,y,z", "optimizer.k=100", f"z={','.join(map(str, range(n + 1)))}"]
    texts += [f"t={','.join(map(str, range(10, 11 + n)))}"]
    texts += [f"optimizer.k@{name}={','.join(map(str, range(size)))}" for name, size in own.items()]
    shuffle.shuffle(texts)

    def base(chosen: Any) -> dict[str, Any]:
        (setting,) = chosen
        assert isinstance(setting, Setting)
        return {"optimizer": {"name": setting.value}}

    asked = Grid(parse(texts), GridOptions(zip=["z,t"]), {"optimizer"}, base)
    if len(own) == 3:
        with pytest.raises(ConfigError, match=r"^optimizer\.k=100: no run takes it"):
            asked.points()
        return
    points = asked.points()
    found = Counter(tuple(sorted((s.key, s.value) for s in point)) for point, _ in points)
    wanted = Counter(
        tuple(sorted([("optimizer", name), ("optimizer.k", k), ("z", i), ("t", 10 + i)]))
        for name in "xyz"
        for k in (range(own[name]) if name in own else [100])
        for i in range(n + 1)
    )
    assert found == wanted


def test_a_dry_run_shows_the_grid(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ("optimizer=shb,adamw", f"optimizer.lr@shb={LOG}", "optimizer.lr@adamw=0.1,0.2", "seed=0,1")
    more = ("--skip", "optimizer=adamw,seed=1", "--draws", "2", "--dry-run")
    code, said = in_one_line("sweep", *TINY, *asked, *more, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0, said
    assert re.findall(r"optimizer=\w+ optimizer\.lr=\S+ seed=\d", said) == [
        *(f"optimizer=shb optimizer.lr={lr} seed={seed}" for lr in (0.003162, 0.0005623) for seed in (0, 1)),
        *(f"optimizer=adamw optimizer.lr={lr} seed=0" for lr in (0.1, 0.2)),
    ]
    assert "6 runs, all valid" in said
