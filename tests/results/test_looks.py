"""No two lines look the same, to anybody: judged by CIEDE2000 and Machado's matrices, which are written anew here."""

import itertools
import re
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb

from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.report.curves import ASSETS
from batchlab.results.show.drawing import COLORS, DASHES, MARKS
from batchlab.results.show.looks import (
    ALONE,
    MOST,
    PANELS,
    RAMPS,
    SCALE,
    TooManyLinesError,
    dotted,
    log_spaced,
    looks,
    places,
)
from batchlab.results.show.vision import TOLD, apart, difference
from batchlab.results.store.run import State

TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
SIGHTS = {
    "all": np.eye(3),
    "no red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.052]]
    ),
    "no green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.9689]]
    ),
}
WHITE, DARK = "#ffffff", "#0d1117"


def linear(color):
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


@cache
def lab_color(color, sight="all"):
    """CIELAB of an sRGB colour, white D65."""
    xyz = TO_XYZ @ np.clip(SIGHTS[sight] @ linear(color), 0, 1) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(one, other):
    """With complex numbers for the plane of hue and chroma."""
    g = np.mean([abs(complex(*color[1:])) for color in (one, other)])
    g = 0.5 * (1 - np.sqrt(g**7 / (g**7 + 25.0**7)))
    p, q = (complex((1 + g) * color[1], color[2]) for color in (one, other))
    chroma, light = (abs(p) + abs(q)) / 2, (one[0] + other[0]) / 2
    turn = np.angle(q * p.conjugate())
    hue = np.degrees(np.angle(p) + turn / 2) % 360
    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.2 * _cos(4 * hue - 63)
    dl = (other[0] - one[0]) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (abs(q) - abs(p)) / (1 + 0.045 * chroma)
    dh = 2 * np.sqrt(abs(p) * abs(q)) * np.sin(turn / 2) / (1 + 0.015 * chroma * t)
    rotation = (
        -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    )
    return np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def _cos(degrees):
    return np.cos(np.radians(degrees))


def seen(a, b):
    return min(ciede2000(lab_color(a, sight), lab_color(b, sight)) for sight in SIGHTS)


def contrast(a, b):
    """As the Web Content Accessibility Guidelines have it."""
    first, second = sorted((float(TO_XYZ[1] @ linear(color)) for color in (a, b)), reverse=True)
    return (first + 0.05) / (second + 0.05)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (58, 24, 15), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_is_that_of_sharmas_published_pairs(one, other, expected):
    assert difference(one, other) == pytest.approx(expected, abs=1e-4)
    assert difference(other, one) == pytest.approx(expected, abs=1e-4)


color = st.integers(0, 2**24 - 1).map("#{:06x}".format)


@given(color, color)
def test_how_far_colours_are_apart_is_the_least_over_sights(a, b):
    assert apart(a, b) == pytest.approx(seen(a, b), abs=0.15)


def test_colours_of_names_and_of_numbers_are_told_apart_by_everybody_and_seen_on_both_pages():
    for palette in (COLORS, SCALE):
        assert min(seen(a, b) for a, b in itertools.combinations(palette, 2)) > TOLD
    for ends in itertools.pairwise(RAMPS):
        assert min(seen(a, b) for a, b in itertools.product(*ends)) > TOLD
    for own in (COLORS, *map(mixed, itertools.pairwise(SCALE)), *map(mixed, RAMPS)):
        stands_out(own)
    text = (ASSETS / "scene.js").read_text(encoding="utf-8")
    assert re.findall(r'paper: "(#\w+)"', text) == [WHITE, DARK]


def mixed(ends):
    """A hundred colours from one to another."""
    one, other = (np.array(to_rgb(end)) for end in ends)
    return [to_hex(one + share * (other - one)) for share in np.linspace(0, 1, 100)]


def stands_out(colors):
    """As the Web Content Accessibility Guidelines ask of graphics."""
    for one in colors:
        assert min(contrast(one, page) for page in (WHITE, DARK)) >= 3, one


def frame(pairs):
    """A run for each pair of an optimizer and a learning rate."""
    configs = [{"optimizer": {"name": name, "lr": lr}, "seed": 0} for name, lr in pairs]
    runs = [RunRow(f"r{i}", State.DONE, None, {}, config, {}, {}, slice(0, 1)) for i, config in enumerate(configs)]
    return Frame(runs, pa.table({"samples": [0]}), frozenset({"samples"}), [])


def told_apart(made):
    stands_out({look["color"] for look in made.values()})
    for a, b in itertools.combinations(made.values(), 2):
        if (a["ls"], a["marker"]) == (b["ls"], b["marker"]):
            assert seen(a["color"], b["color"]) > TOLD - 0.15, (a, b)


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
        assert len(made) <= (MOST if "," in key else ALONE)
        told_apart(made)
        assert not refused or "--where" in refused
        first, _, second = key.partition(",")
        sizes = [len({pair[k] for pair in pairs}) for k in ((0, 1) if first == "optimizer" else (1, 0))]
        narrow = bool(second) and sizes[0] <= PANELS and sizes[1] <= ALONE
        assert not refused or ("--panel" in refused) == narrow


@pytest.mark.parametrize(("names", "rates"), [(1, 14), (7, 2), (3, 6), (14, 1), (4, 5), (2, 10), (6, 3)])
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


@pytest.mark.parametrize(
    ("names", "rates", "hue", "panels"),
    [
        (4, 6, "optimizer,optimizer.lr", ("optimizer", "optimizer.lr")),
        (15, 1, "optimizer", None),
        (21, 1, "optimizer,optimizer.lr", None),
        (2, 15, "optimizer,optimizer.lr", None),
        (2, 15, "optimizer.lr,optimizer", None),
    ],
)
def test_more_go_into_panels_where_each_has_few_enough(names, rates, hue, panels):
    pairs = [*itertools.product([f"o{i}" for i in range(names)], [10.0**-i for i in range(rates)])]
    with pytest.raises(TooManyLinesError, match=f"{len(pairs)} lines in one panel, of which the eye tells") as caught:
        looks(frame(pairs), hue)
    assert caught.value.panels == panels


def test_numbers_are_ordered_from_light_to_dark():
    for hue, rates in (
        ("optimizer.lr", [0.1, 0.3, 1.0, 3.0]),
        ("optimizer.lr", range(14)),
        ("optimizer,optimizer.lr", [1, 2, 3, 4, 5, 6]),
    ):
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


def test_points_of_every_dash_and_mark_that_twenty_lines_need_differ():
    made = [dotted({"color": "#000000", "ls": dash, "marker": mark})["marker"] for mark in MARKS[:3] for dash in DASHES]
    assert len(set(made)) == len(made)
    assert "" not in made


def grid(rows):
    """A run for each row of keys."""
    runs = frame([("shb", 1)] * len(rows)).runs
    made = [
        RunRow(f"r{i}", run.state, None, {}, row, {}, {}, run.rows)
        for i, (run, row) in enumerate(zip(runs, rows, strict=True))
    ]
    return Frame(made, pa.table({"samples": [0]}), frozenset({"samples"}), [])


def combined(**keys):
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*keys.values())]


@pytest.mark.parametrize("order", list(itertools.permutations(("name", "lr", "schedule"))))
def test_of_three_keys_the_number_is_the_colour_and_the_others_dash_and_mark(order):
    rates = [0.001, 0.01, 0.1]
    rows = combined(name=["a", "b"], lr=rates, schedule=["constant", "cosine", "linear"])
    made = looks(grid(rows), ",".join(order))
    told_apart(made)
    by = {key: {} for key in order}
    for value, look in made.items():
        for key, said in zip(order, value.split(" "), strict=True):
            by[key].setdefault(said, set()).add((look["color"], repr(look["ls"]), look["marker"]))
    colors = [{color for color, _, _ in by["lr"][str(rate)]} for rate in rates]
    assert all(len(own) == 1 for own in colors)
    lightness = [lab_color(*own)[0] for own in colors]
    assert lightness == sorted(set(lightness), reverse=True)
    others = [key for key in order if key != "lr"]
    for key, part in zip(others, (1, 2), strict=True):
        assert all(len({look[part] for look in own}) == 1 for own in by[key].values()), "one dash, one mark"
    assert list(made) == sorted(
        made,
        key=lambda value: [rows_of(rows, key).index(said) for key, said in zip(order, value.split(" "), strict=True)],
    )


def rows_of(rows, key):
    return list(dict.fromkeys(str(row[key]) for row in rows))


def test_of_more_than_dash_and_mark_can_say_lines_still_differ():
    made = looks(grid(combined(name="abcde", lr=[1, 2], schedule="uv", model="wx")[:20]), "name,lr,schedule,model")
    assert len(made) == 20
    told_apart(made)
    with pytest.raises(TooManyLinesError):
        looks(grid(combined(name="abcdef", lr=[1, 2], schedule="uv")), "name,lr,schedule")


@pytest.mark.parametrize("hue", ["size,lr", "lr,size", "name,lr,size"])
def test_numbers_that_move_together_are_one_scale(hue):
    rows = [{"name": "a", "size": size, "lr": size / 100} for size in (8, 32, 128)]
    colors = [look["color"] for look in looks(grid(rows), hue).values()]
    assert [colors[0], colors[-1]] == [SCALE[0], SCALE[-1]]
    assert {look["ls"] for look in looks(grid(rows), hue).values()} == {"-"}


def test_a_number_that_is_the_same_for_some_still_tells_the_others_apart():
    rows = [{"size": size, "lr": lr} for lr, size in ((1, 8), (1, 16), (2, 32), (2, 64))]
    for hue in ("lr,size", "size,lr"):
        made = looks(grid(rows), hue)
        assert len({repr(look) for look in made.values()}) == 4
        told_apart(made)
