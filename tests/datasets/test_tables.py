"""Tables of one's own: CSV files and DataFrames."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchlab.datasets import Dataset
from batchlab.datasets.columns import features
from batchlab.datasets.names import in_list
from batchlab.datasets.sets.csv import csv
from batchlab.datasets.sets.frame import frame
from batchlab.datasets.shares import apart
from batchlab.datasets.validation import with_validation

RNG = np.random.default_rng(0)
N = 60
WINE = pd.DataFrame(
    {
        "acidity": RNG.normal(7, 1, N),
        "year": RNG.integers(1990, 2000, N),
        "colour": RNG.choice(["white", "red", "rosé"], N),
        "organic": RNG.random(N) < 0.5,
        "quality": RNG.integers(3, 7, N),
        "grade": RNG.choice(["good", "bad"], N),
        "price": RNG.random(N),
    }
)


def table(**changes: Any) -> pd.DataFrame:
    """WINE with other values in places: `acidity=(3, None)`."""
    changed = WINE.astype(object)
    for column, (row, value) in changes.items():
        changed.loc[row, column] = value
    return changed.infer_objects()


def test_a_csv_file_is_a_data_set(tmp_path: Path) -> None:
    WINE.to_csv(tmp_path / "wine.csv", index=False)
    dataset = csv("wine.csv", "quality", root=tmp_path, drop=["grade"])
    assert (dataset.name, dataset.classes, dataset.shape) == ("wine.csv", 4, (7,))
    assert dataset.n + len(dataset.y_test) == N
    (note,) = dataset.notes
    assert note == (
        "wine.csv: quality holds whole numbers, 3 to 6: 4 classes; dataset.task=regression takes them as values; "
        f"{dataset.n} rows for training, {N - dataset.n} for testing, 7 features of 5 columns, texts one-hot"
    )
    whole = csv("wine.csv", "quality", root=tmp_path, drop=["grade"], test=0)
    expected = pd.get_dummies(WINE.drop(columns=["quality", "grade"]), columns=["colour"], dtype=float)
    order = ["acidity", "year", *(c for c in expected if c.startswith("colour")), "organic", "price"]
    np.testing.assert_allclose(whole.x_train, expected[order].astype(float), rtol=1e-15)
    assert (whole.y_train + 3).tolist() == WINE["quality"].tolist()
    assert len(whole.y_test) == 0


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_what_separates_is_seen(separator: str, name: str, tmp_path: Path) -> None:
    WINE.to_csv(tmp_path / name, index=False, sep=separator, encoding="utf-8-sig")
    for said in (None, separator):
        dataset = csv(name, "grade", root=tmp_path, separator=said)
        assert (dataset.shape, dataset.classes) == ((8,), 2)


def test_the_row_numbers_that_pandas_writes_are_no_feature(tmp_path: Path) -> None:
    WINE.to_csv(tmp_path / "wine.csv")
    assert csv("wine.csv", "quality", root=tmp_path, drop=["grade"]).shape == (7,)


def test_a_test_file(tmp_path: Path) -> None:
    test = WINE.head(9).assign(colour=["red", "pink"] + ["white"] * 7)
    WINE.to_csv(tmp_path / "a.csv", index=False)
    test.sample(frac=1, axis=1, random_state=0).to_csv(tmp_path / "b.csv", index=False)
    dataset = csv("a.csv", "grade", test_path=str(tmp_path / "b.csv"), root=tmp_path)
    assert (dataset.n, len(dataset.y_test)) == (N, 9)
    colours = dataset.x_test[:, 2:5]
    assert colours[:2].tolist() == [[1, 0, 0], [0, 0, 0]], "red, rosé, white; one that the training split does not have"
    assert [["bad", "good"][y] for y in dataset.y_test] == test["grade"].tolist()
    test.astype({"year": object}).replace({"year": {test["year"][2]: None}}).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(ValueError, match=r"a\.csv: column year has no value in b\.csv, line \d"):
        csv("a.csv", "grade", test_path="b.csv", root=tmp_path)


def test_the_test_share_is_of_each_class_alike_and_the_same_every_time() -> None:
    y = np.arange(100) % 4 // 3
    chosen = apart(y, 0.2)
    assert np.bincount(y[chosen]).tolist() == [15, 5]
    np.testing.assert_array_equal(chosen, apart(y, 0.2))
    assert (chosen != apart(y, 0.2, 1)).any()
    assert not apart(np.array([0, 1, 1, 1]), 0.9)[0], "a class of one sample is for training"
    assert apart(RNG.random(10), 0.3).sum() == 3
    dataset = frame(WINE, "grade")
    assert with_validation(dataset, 0.1).n + 5 == dataset.n
    for share in (1, -0.1, True, "a"):
        with pytest.raises(ValueError, match=r"dataset\.test="):
            apart(y, share)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1e9, 1e9), st.booleans()), min_size=1, max_size=12),
    st.lists(st.tuples(st.sampled_from("abcd"), st.floats(-1e9, 1e9), st.booleans()), max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_features_are_pandas_dummies_of_the_training_split(train: list[Any], test: list[Any]) -> None:
    columns = ["text", "number", "truth"]
    a, b = (pd.DataFrame(rows, columns=columns).astype({"truth": bool, "number": float}) for rows in (train, test))
    x_train, x_test, names = features(a, b)
    expected = pd.get_dummies(a, columns=["text"], prefix_sep="=", dtype=float)
    others = pd.get_dummies(b, columns=["text"], prefix_sep="=", dtype=float).reindex(
        columns=expected.columns, fill_value=0
    )
    assert sorted(names) == sorted(expected.columns)
    np.testing.assert_array_equal(x_train, expected[names].astype(float))
    np.testing.assert_array_equal(x_test, others[names].astype(float).to_numpy().reshape(len(b), len(names)))


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        ("quality", "auto", 4),
        ("quality", "regression", None),
        ("grade", "auto", 2),
        ("organic", "auto", 2),
        ("price", "auto", None),
        ("year", "classification", 10),
    ],
)
def test_what_a_target_is(target: str, task: str, classes: int | None) -> None:
    dataset = frame(WINE, target, task=task)
    assert dataset.classes == classes
    assert dataset.y_train.dtype == (np.float64 if classes is None else np.int64)
    assert ("; dataset.task=" in dataset.notes[0]) == ((target, task) == ("quality", "auto"))


def test_labels_are_numbered_in_sorted_order() -> None:
    assert frame(WINE, "grade", test=0).y_train.tolist() == (WINE["grade"] == "good").astype(int).tolist()
    years = frame(WINE.assign(year=WINE["year"] * 10.0), "year", test=0)
    assert years.y_train.tolist() == (WINE["year"] - 1990).tolist()


def test_what_is_missing_is_filled_or_left_out_on_request() -> None:
    holes = table(acidity=(3, None), colour=(5, None))
    filled = frame(holes, "grade", missing="mean", test=0)
    np.testing.assert_allclose(filled.x_train[3, 0], WINE["acidity"].drop(3).mean(), rtol=1e-12)
    assert filled.x_train[5, 2:5].tolist() == [0, 0, 0]
    left = frame(holes, "grade", missing="drop", test=0)
    assert (left.n, left.notes[0]) == (N - 2, "frame: 2 of 60 rows lack a value and are left out")
    train, test = WINE.copy(), WINE.head(4).astype({"acidity": object})
    test.loc[1, "acidity"] = None
    np.testing.assert_allclose(frame((train, test), "grade", missing="mean").x_test[1, 0], train["acidity"].mean())


def test_two_frames_and_kinds_of_columns() -> None:
    kinds = WINE.astype({"colour": "category", "year": "Int64", "grade": "string"})
    dataset = frame(lambda: (kinds, kinds.head(5)), "grade", standardize=True)
    plain = frame((WINE, WINE.head(5)), "grade")
    np.testing.assert_array_equal(dataset.x_train, plain.x_train)
    np.testing.assert_array_equal(dataset.y_test, plain.y_test)
    assert (dataset.preprocessing.standardize, plain.preprocessing.standardize) == (True, False)


FAULTS: dict[str, tuple[pd.DataFrame, dict[str, Any], str]] = {
    "no target": (WINE, {"target": "taste"}, "dataset.target: there is no column 'taste'; there are acidity, year"),
    "nothing to drop": (WINE, {"drop": ["x"]}, "dataset.drop: there is no column 'x'"),
    "target dropped": (WINE, {"drop": ["grade"]}, "grade is the target"),
    "a value": (table(acidity=(3, None)), {}, "column acidity has no value in row 3: dataset.missing=mean fills it"),
    "a text": (table(colour=(7, None)), {}, "column colour has no value in row 7"),
    "a label": (
        table(grade=(7, None)),
        {"missing": "mean"},
        "column grade has no value in row 7: dataset.missing=drop",
    ),
    "infinite": (table(acidity=(9, np.inf)), {}, "column acidity is infinite in row 9"),
    "a stray text": (table(acidity=(9, "?")), {}, r"column acidity has '\?' in row 9, where most values are numbers"),
    "names": (WINE.assign(name=[f"n{i}" for i in range(N)]), {}, "48 different texts in 48 rows.*drop=.name."),
    "dates": (WINE.assign(day=pd.Timestamp("2024-01-01")), {}, "column day is of type datetime64.*drop=.day."),
    "task": (WINE, {"task": "guess"}, "dataset.task=guess: choose auto, classification or regression"),
    "regress texts": (WINE, {"task": "regression"}, "column grade holds texts"),
    "one label": (WINE.assign(grade="good"), {}, "column grade is good in all rows"),
    "labels": (WINE.assign(grade=[f"n{i}" for i in range(N)]), {}, "60 different texts .*dataset.target names"),
    "fill": (WINE, {"missing": "zero"}, "dataset.missing=zero: choose"),
    "only a target": (WINE[["grade"]], {}, "no column is left beside the target"),
    "no rows": (WINE.head(0), {}, "the table has no rows"),
    "one text in the test split": (
        WINE.assign(acidity=[*map(str, range(59)), "?"]).iloc[::-1].reset_index(drop=True),
        {},
        r"column acidity has '\?' in row 0, where most values are numbers: .*dataset.na=\['\?'\]",
    ),
    "decimal commas": (
        WINE.assign(acidity=[f"{i},5" for i in range(N)]),
        {},
        "column acidity has '[0-9]+,5' in row .*, a number with a decimal comma: write a point",
    ),
    "a target with commas": (WINE.assign(grade=[f"{i},5" for i in range(N)]), {}, "grade has '0,5' .*decimal comma"),
    "an odd name": (
        WINE.assign(**{"größe (cm)": [f"n{i}" for i in range(N)]}),
        {},
        r"leave it out with .dataset.drop=\['größe \(cm\)'\]",
    ),
    "a space": (
        WINE.rename(columns={"grade": " Grade"}),
        {},
        "no column 'grade' .did you mean ' Grade'.+; there are acidity,.* ' Grade'",
    ),
    "nearly": (WINE, {"target": "grades"}, "no column 'grades' .did you mean 'grade'"),
    "a number": (WINE, {"target": 3}, "no column '3' .a name that looks like a number is quoted, .dataset.target='3'"),
    "true": (WINE, {"target": True}, "dataset.target=true: a name is needed; .* is quoted, .dataset.target='true'"),
    "null": (WINE, {"target": None}, "dataset.target=null: a name is needed"),
    "beyond float32": (table(acidity=(9, 1e300)), {}, "column acidity is infinite in float32 .* in row 9"),
    "no test": (
        WINE,
        {"test": 0.001},
        "dataset.test=0.001 of classes of at most .* leaves none for testing: choose at",
    ),
    "twice": (pd.concat([WINE, WINE[["year"]]], axis=1), {}, "two columns are called year"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_table_is_refused_by_column_and_row(fault: str) -> None:
    given_frame, options, message = FAULTS[fault]
    with pytest.raises(ValueError, match=f"^frame: .*{message}") as caught:
        frame(given_frame, **{"target": "grade", **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (WINE.drop(columns="year"), "the test split has no column year"),
        (WINE.assign(year="old"), "column year holds numbers in the training split and texts in the test split"),
        (WINE.assign(grade="fair"), "column grade is 'fair' in test row 0, which it is in no row for training"),
    ],
)
def test_a_test_frame_of_another_kind_is_refused(test: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=f"^frame: {message}"):
        frame((WINE, test), "grade")


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dataset\.frame gave list where a pandas DataFrame is needed, or two"):
        frame(lambda: [1, 2], "grade")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not CSV text"),
        ("a,b\n1,2,3\n1,2,3\n", "its lines have more values than its first line has names"),
        ("a,b\n1,2\n1,2,3\n", "not CSV text.*line 3"),
        ("a,a,b\n1,2,3\n", "two columns are called a"),
        ("a,b\n", "no rows"),
        ("a,b\nx,1\ny,\nx,1\n", "column b has no value in line 3"),
        ("a,b\nx,1\ny,2\n?,1\n", None),
    ],
    ids=repr,
)
def test_a_damaged_csv_file(text: str, message: str | None, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)

    def read() -> Dataset:
        return csv("t.csv", "b", root=tmp_path, task="regression", test=0)

    if message is None:
        assert read().n == 3
        return
    with pytest.raises(ValueError, match=message) as caught:
        read()
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,\xff\xfe\n")
    with pytest.raises(ValueError, match="not CSV text in UTF-8, or damaged"):
        csv("t.csv", "b", root=tmp_path)


def test_other_texts_may_mean_missing(tmp_path: Path) -> None:
    table(acidity=(9, "?")).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"in line 11, where .*dataset\.na=\['\?'\]. reads it as missing"):
        csv("t.csv", "grade", root=tmp_path)
    assert csv("t.csv", "grade", root=tmp_path, na=["?"], missing="drop", test=0).n == N - 1


def test_a_file_is_looked_for_here_then_in_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here", "data", "there"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    places = {"data": None, "here": None, "there": tmp_path / "there"}
    for i, (folder, root) in enumerate(places.items()):
        (tmp_path / folder / "t.csv").write_text("a,b\n" + "1,x\n2,y\n" * 5 * (i + 1))
        assert csv("t.csv", "b", root=root, test=0).n == 10 * (i + 1)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHLAB_DATA", "data")
    said = rf"^no file {tmp_path}/t\.csv and no {tmp_path}/data/t\.csv; put it there, or set dataset\.path"
    with pytest.raises(ValueError, match=said):
        csv("t.csv", "b")
    with pytest.raises(ValueError, match=rf"^no file {tmp_path}/there/t\.csv; put it there, or set dataset\.path"):
        csv("t.csv", "b", root="there")
    with pytest.raises(ValueError, match=rf"dataset.path: {tmp_path} is no file"):
        csv(str(tmp_path), "b")


def test_rows_that_both_splits_have_are_counted() -> None:
    assert frame((WINE.tail(50), WINE.head(15)), "grade").notes[0] == (
        "frame: 5 of the 15 rows for testing are, value for value, in the training split too"
    )
    assert len(frame(WINE, "grade").notes) == 1


def test_names_that_are_numbers_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    numbered: Any = WINE.rename(columns={"grade": 3, "price": float("nan")})
    names: list[Any] = [3, "3", float("nan"), "nan", 2024, None]
    for target, drop in ((names[0], names[2]), (names[1], names[3])):
        dataset = frame(numbered, target, drop=[drop])
        assert (dataset.classes, dataset.shape) == (2, (7,))
    WINE.rename(columns={"grade": 3}).to_csv("2024", index=False)
    assert csv(names[4], names[0]).classes == 2
    with pytest.raises(ValueError, match=r"dataset\.path=null: a name is needed; .*dataset\.path='null'"):
        csv(names[5], "grade")


def test_levels_of_names_are_refused() -> None:
    levels = WINE.set_axis(pd.MultiIndex.from_tuples([(name, "1") for name in WINE]), axis=1)
    for given_frames in (levels, (WINE, levels)):
        with pytest.raises(ValueError, match="frame: columns have names of 2 levels: give each one name"):
            frame(given_frames, "grade")


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1).filter(lambda name: "${" not in name))
@settings(max_examples=200, deadline=None)
@example("größe (cm)")
@example("it's \\'$HOME' \\")
@example("null")
@example("3")
def test_a_suggestion_is_what_the_shell_and_hydra_take(name: str) -> None:
    (word,) = shlex.split(in_list("drop", name))
    assert OverridesParser.create().parse_override(word).value() == [name]
