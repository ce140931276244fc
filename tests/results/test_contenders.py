"""Summaries over problems average over no tuning grid: by an independent computation from the runs."""

import re
import shlex
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import trim_mean

from batchlab.results.compare.contenders import contenders
from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.show.figure import load_figure
from batchlab.results.show.kinds import Kind
from batchlab.results.store.runs import SweepEntry
from batchlab.runner.archives import reading, sweep_of

RECORDED = Path(__file__).resolve().parents[2] / "results" / "reproduced"
ACCURACY = Metric("test_accuracy")
KINDS = [kind for kind in Kind if kind is not Kind.CURVES]
RATES = (0.1, 1.0, 10.0)
SEEDS = range(6)


def level(optimizer, rate, seed):
    """Test and validation accuracy: validation prefers the middle for adam, and for shb the greatest."""
    at = RATES.index(rate)
    test = 0.3 + 0.1 * at + 0.05 * (optimizer == "shb") + 0.01 * np.sin(7 * seed + at)
    return test, (0.8 if at == (1 if optimizer == "adam" else 2) else 0.5) + 0.01 * np.cos(seed)


def grid(lab, curve, *, validation=True, seeds=SEEDS, **more):
    for optimizer in ("adam", "shb"):
        for rate in RATES:
            for seed in seeds:
                test, chooses = level(optimizer, rate, seed)
                rows = [row | ({"validation_accuracy": chooses} if validation else {}) for row in curve([0.1, test])]
                name = f"{optimizer}{rate}x{seed}{''.join(map(str, more.values()))}"
                lab.run(name, rows, optimizer=optimizer, lr=rate, seed=seed, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_contenders_are_at_the_rate_that_validation_chose_on_seeds_that_are_not_judged(lab, curve, kind):
    grid(lab, curve)
    made = load_figure(lab.store, metric="test_accuracy", kind=kind)
    assert made.field.contenders == ["adam", "shb"]
    for name, rate in (("adam", 1.0), ("shb", 10.0)):
        by_hand = {seed: level(name, rate, seed)[0] for seed in (3, 4, 5)}  # the first half of the seeds chose
        assert {seed: o.value for seed, o in made.field.outcomes[name][""].items()} == pytest.approx(by_hand)
    figure = made.figure()
    (note,) = made.notes
    assert note.startswith("optimizer.lr was chosen by validation_accuracy on seeds 0, 1 and 2, not judged here")
    assert "adam 1, shb 10" in note
    shown = figure.get_supxlabel() or figure.legends[0].get_title().get_text()
    assert note in " ".join(shown.split()), "the figure says it too"
    assert "mix" not in shown


def test_the_interquartile_mean_is_that_of_the_chosen_runs(lab, curve):
    grid(lab, curve)
    made = load_figure(lab.store, metric="test_accuracy", kind=Kind.IQM).field
    top = max(np.mean([level(name, rate, s)[0] for s in (3, 4, 5)]) for name, rate in (("adam", 1.0), ("shb", 10.0)))
    behind = [top - level("adam", 1.0, seed)[0] for seed in (3, 4, 5)]
    assert made.middles["adam"][0] == pytest.approx(trim_mean(behind, 0.25))


@pytest.mark.parametrize("kind", KINDS)
def test_without_validation_each_rate_is_a_contender(lab, curve, kind):
    grid(lab, curve, validation=False)
    made = load_figure(lab.store, metric="test_accuracy", kind=kind)
    assert made.field.contenders == [f"{name} {rate:g}" for name in ("adam", "shb") for rate in RATES]
    assert {len(own[""]) for own in made.field.outcomes.values()} == {6}
    assert made.notes == [
        "each optimizer.lr is a contender of its own: no validation metric was recorded to choose by "
        "(dataset.validation=0.1)"
    ]
    made.figure()


def test_where_nothing_can_be_chosen_it_is_said_why(lab, curve):
    grid(lab, curve, seeds=[0])
    made = contenders(load(lab.store), ACCURACY, "optimizer", (), ["optimizer"])
    assert len(made.field.contenders) == 6
    (said,) = made.remarks
    assert said.startswith("each optimizer.lr is a contender of its own: there is 1 seed")


def test_other_methods_are_contenders_too_beside_a_chosen_rate(lab, curve):
    for schedule in ("constant", "exponential"):
        grid(lab, curve, batch_schedule=schedule)
    made = contenders(load(lab.store), ACCURACY, "optimizer", (), ["optimizer"])
    wanted = [f"{name} {schedule}" for name in ("adam", "shb") for schedule in ("constant", "exponential")]
    assert made.field.contenders == wanted
    assert {len(own[""]) for own in made.field.outcomes.values()} == {3}
    assert "optimizer.lr was chosen" in made.remarks[0]
    assert made.remarks[1] == "each batch_schedule is a contender of its own: methods are not averaged over"


def test_what_mixes_nothing_is_as_asked_for(lab, curve):
    grid(lab, curve)
    for frame in (load(lab.store, where=["optimizer.lr=1"]), load(lab.store, where=["optimizer.lr=10"])):
        made = contenders(frame, ACCURACY, "optimizer", (), ["optimizer", "optimizer.lr"])
        assert made.remarks == ()
        assert {len(own[""]) for own in made.field.outcomes.values()} == {6}
    asked = contenders(load(lab.store), ACCURACY, "optimizer,optimizer.lr", (), ["optimizer", "optimizer.lr"])
    assert (asked.remarks, len(asked.field.contenders)) == ((), 6)


def test_a_key_that_goes_with_the_seed_makes_no_contender(lab, curve):
    for optimizer in ("adam", "shb"):
        for seed in range(3):
            lab.run(f"{optimizer}{seed}", curve([0.1, 0.5]), optimizer=optimizer, seed=seed, salt=seed)
    assert contenders(load(lab.store), ACCURACY, "optimizer", (), []).field.contenders == ["adam", "shb"]


def test_problems_that_would_be_averaged_over_are_refused(lab, curve):
    for dataset in ("digits", "a9a"):
        grid(lab, curve, dataset=dataset)
    with pytest.raises(ValueError, match=r"differ in dataset: --problems model,dataset makes .*--where dataset=VALUE"):
        load_figure(lab.store, metric="test_accuracy", kind=Kind.IQM, problems=["model"])
    made = load_figure(lab.store, metric="test_accuracy", kind=Kind.IQM).field
    assert made.shared == ["a9a", "digits"]
    assert {len(own["digits"]) for own in made.outcomes.values()} == {3}


def test_a_value_that_not_every_run_has_is_refused(lab, curve):
    for i, (name, keys) in enumerate((("adam", {"beta": 0.9}), ("adam", {"beta": 0.5}), ("shb", {}))):
        lab.run(f"r{i}", curve([0.1, 0.5]), optimizer=name, **keys)
    with pytest.raises(
        ValueError, match=r"differ in optimizer\.beta, which others do not have: add --where "
    ) as caught:
        load_figure(lab.store, metric="test_accuracy", kind=Kind.IQM)
    assert "--where optimizer.beta=0.9,null, or name what is compared" in str(caught.value)
    narrow = load(lab.store, where=["optimizer.beta=0.9,null"])
    assert contenders(narrow, ACCURACY, "optimizer", (), []).field.contenders == ["adam", "shb"]


def test_a_condition_that_there_is_already_is_not_named_again(lab, curve):
    for i, (name, keys) in enumerate((("adam", {"beta": 0.9}), ("adam", {"beta": 0.5}), ("shb", {}))):
        lab.run(f"r{i}", curve([0.1, 0.5]), optimizer=name, **keys)
    with pytest.raises(ValueError, match=r"do not have: name what is compared by --hue and --problems, or take fewer"):
        load_figure(lab.store, metric="test_accuracy", kind=Kind.IQM, where=["optimizer.beta=0.9,0.5,null"])


def test_a_sweeps_own_words_tell_apart_what_keys_cannot(lab, curve):
    """The size that some lack goes with `setting`, the norm with `task`, which every contender has all of."""
    sizes = {"small": {"size": 64}, "large": {"size": 2048}, "tested": {"batch_schedule": "norm_test"}}
    norms = {"plain": {}, "batch": {"norm": "batch"}, "group": {"norm": "group"}}
    entries = []
    for (task, norm), (setting, size), seed in product(norms.items(), sizes.items(), range(2)):
        name = f"{task}{setting}{seed}"
        lab.run(name, curve([0.1, 0.5]), seed=seed, **size, **norm)
        entries.append(SweepEntry(name, {"task": task, "setting": setting}))
    lab.store.write_sweep("lab", entries)
    made = contenders(load(lab.store, "lab"), ACCURACY, "optimizer", (), [])
    assert made.field.hue == "optimizer,batch_schedule,setting"
    assert made.field.axes == ("task",)
    assert made.field.shared == ["plain", "batch", "group"]
    assert {len(own) for own in made.field.groups} == {2}
    assert made.remarks == (
        "each batch_schedule with setting is a contender of its own: methods are not averaged over",
        "each task is a problem of its own",
    )
    alone = contenders(load(lab.store, "lab", where=["task=plain"]), ACCURACY, "optimizer", (), ["task"])
    assert (alone.field.hue, alone.field.axes) == ("optimizer,batch_schedule,setting", ())


def test_contenders_that_share_no_problem_any_more_are_refused(lab, curve):
    cells = [("a9a", "adam", 1), ("a9a", "adam", 2), ("a9a", "shb", 1), ("w8a", "adam", 3), ("w8a", "shb", 1)]
    for i, (dataset, optimizer, size) in enumerate(cells):
        lab.run(f"r{i}", curve([0.1, 0.5]), dataset=dataset, optimizer=optimizer, size=size)
    made = contenders(load(lab.store, where=["dataset=a9a"]), ACCURACY, "optimizer", (), [])
    assert made.field.contenders == ["adam 1", "adam 2", "shb 1"]
    wanted = r"differ in optimizer\.size, and no problem has them all.*--where optimizer.size="
    with pytest.raises(ValueError, match=wanted):
        contenders(load(lab.store), ACCURACY, "optimizer", (), [])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.tar.xz")), ids=lambda path: path.name.partition("-")[0])
def test_what_a_refusal_names_draws_for_our_own_runs(path, kind):
    """As it is typed; where nothing is refused, the figure is there at once."""
    with reading(Path("runs"), [path]) as store:
        sweep = sweep_of(store, [path], None)
        said = ""
        try:
            made = load_figure(store, metric="test_accuracy", kind=kind, sweep=sweep)
        except ValueError as error:
            said = str(error)
        way = re.search(r"add (--where .+?), or ", said)
        where = [word for word in shlex.split(way[1]) if word != "--where"] if way else []
        if said:
            made = load_figure(store, metric="test_accuracy", kind=kind, sweep=sweep, where=where)
        made.check()
    assert len(made.field.contenders) > 1
    assert made.drawable
    refused = {
        "vrgd-desk.tar.xz": ["optimizer.control=false,null"],
        "dasvrda-desk.tar.xz": ["batch_schedule.size=180,223"],
        "numerical_sgd-laptop.tar.xz": ["optimizer=sgd,taylor,ab2,ab3,ab4,heun,rk4"],  # with momentum over more rates
    }
    assert where == refused.get(path.name, [])
