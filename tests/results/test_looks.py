"""No two lines look the same: judged by distances in CIELAB, which the code does not compute."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.show.drawing import DASHES
from batchlab.results.show.looks import MOST, log_spaced, looks, places
from batchlab.results.store.run import State

TOLD = 9.0
"""A distance in CIELAB that is seen between lines in one figure; 2.3 is what is just noticed side by side."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab_color(color):
    """CIELAB of an sRGB colour, white D65."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ linear / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def frame(pairs):
    """A run for each pair of an optimizer and a learning rate."""
    configs = [{"optimizer": {"name": name, "lr": lr}, "seed": 0} for name, lr in pairs]
    runs = [RunRow(f"r{i}", State.DONE, None, {}, config, {}, {}, slice(0, 1)) for i, config in enumerate(configs)]
    return Frame(runs, pa.table({"samples": [0]}), frozenset({"samples"}), [])


def told_apart(made):
    colors = {look["color"]: lab_color(look["color"]) for look in made.values()}
    for a, b in itertools.combinations(made.values(), 2):
        if (a["ls"], a["marker"]) == (b["ls"], b["marker"]):
            assert np.linalg.norm(colors[a["color"]] - colors[b["color"]]) > TOLD, (a, b)


numbers = st.lists(st.floats(-1e6, 1e6, allow_nan=False) | st.sampled_from([0.1, 0.1001, 1, 1e-9]), unique=True)
words = st.lists(st.sampled_from([f"o{i}" for i in range(45)]), min_size=1, unique=True)


@settings(max_examples=150, deadline=None)
@given(words, numbers.filter(len), st.sampled_from(["optimizer", "optimizer.lr", "optimizer,optimizer.lr"]), st.data())
def test_any_numbers_of_hues_look_different_or_are_refused_with_the_way_out(names, rates, hue, data):
    every = [*itertools.product(names, rates)][:300]
    pairs = data.draw(st.just(every) | st.lists(st.sampled_from(every), min_size=1, unique=True))
    for key in (hue, ",".join(reversed(hue.split(",")))):
        made, refused = {}, ""
        try:
            made = looks(frame(pairs), key)
        except ValueError as error:
            refused = str(error)
        assert bool(made) != bool(refused)
        assert len(made) <= MOST
        told_apart(made)
        assert not refused or ("--where" in refused and ("--panel" in refused) == ("," in key))


@pytest.mark.parametrize(("names", "rates"), [(1, 15), (8, 5), (3, 9), (40, 1), (4, 10), (2, 12)])
def test_what_people_sweep_is_not_refused(names, rates):
    pairs = itertools.product([f"o{i}" for i in range(names)], [10.0**-i for i in range(rates)])
    made = looks(frame(pairs), "optimizer,optimizer.lr")
    assert len(made) == names * rates
    told_apart(made)


def test_the_dash_that_comes_again_has_another_shade():
    """The sixth rate has the first one's dash."""
    rates = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]
    made = looks(frame([("adamw", rate) for rate in rates]), "optimizer,optimizer.lr")
    first, sixth = made["adamw 0.0003"], made["adamw 0.1"]
    assert first["ls"] == sixth["ls"] == DASHES[0]
    assert first["color"] != sixth["color"]


def test_numbers_are_ordered_from_light_to_dark():
    for hue, rates in (("optimizer.lr", [0.1, 0.3, 1.0, 3.0]), ("optimizer,optimizer.lr", [1, 2, 3, 4, 5, 6])):
        made = looks(frame([("shb", rate) for rate in rates]), hue)
        lightness = [lab_color(look["color"])[0] for look in made.values()]
        assert lightness == sorted(lightness, reverse=True)
    assert [key.split()[0] for key in looks(frame([("b", 1), ("a", 2), ("b", 0)]), "optimizer,optimizer.lr")] == [
        "a",
        "b",
        "b",
    ]


def test_a_seed_is_a_name_and_no_number():
    runs = frame([("shb", rate) for rate in range(3)])
    runs = Frame([*map(_with_seed, enumerate(runs.runs))], runs.table, runs.names, [])
    assert len({look["color"] for look in looks(runs, "seed").values()}) == 3
    assert looks(runs, "seed")[0]["color"] == "#0072B2"


def _with_seed(numbered):
    i, run = numbered
    return RunRow(run.run_id, run.state, None, {}, {**run.config, "seed": i}, {}, {}, run.rows)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.1, 1.0, 10.0], [0, 0.5, 1]), ([1, 2, 3], [0, 0.5, 1]), ([5], [0.5]), ([0.0, 1.0], [0, 1]),
     ([1.0, 1.001, 10.0], [0, 0.5, 1]), ([1, 2, 4], [0, 1 / 3, 1])],
)  # fmt: skip
def test_places_on_the_scale_by_hand(values, expected):
    assert places(values) == pytest.approx(expected)


def test_log_spaced_by_hand():
    assert log_spaced([1e-3, 3e-3, 1e-2])
    assert log_spaced([0.1, 1.0])
    assert not log_spaced([0.1, 0.2, 0.3])
    assert not log_spaced([64, 128, 256])  # less than a factor of 5
    assert log_spaced([64, 128, 256, 512])
    assert not log_spaced([-1, 1, 100])
