"""What differs between runs that are put together: whatever the order in which they were read."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.compare.frame import RunRow
from batchlab.results.compare.replicates import mixed_keys
from batchlab.results.store.run import State

SCHEDULES = (
    {"name": "constant", "size": 64},
    {"name": "constant", "size": 128},
    {"name": "norm_test", "eta": 0.5},
    {"name": "norm_test", "eta": 0.25},
)


def row(i, schedule, seed=0, lr=0.1):
    config = {"seed": seed, "optimizer": {"name": "shb", "lr": lr}, "batch_schedule": schedule}
    return RunRow(f"r{i}", State.DONE, None, {}, config, {}, {})


def differing(rows):
    """By brute force: a choice where its names differ; a key where two of one choice have other values."""
    found = set()
    for a, b in itertools.combinations(rows, 2):
        one, two = a.config["batch_schedule"], b.config["batch_schedule"]
        if one["name"] != two["name"]:
            found.add("batch_schedule")
        else:
            found |= {f"batch_schedule.{key}" for key in one if one[key] != two[key]}
        if a.config["optimizer"]["lr"] != b.config["optimizer"]["lr"]:
            found.add("optimizer.lr")
    return found


@given(
    st.lists(
        st.tuples(st.sampled_from(SCHEDULES), st.integers(0, 2), st.sampled_from([0.1, 0.3])), min_size=1, max_size=7
    )
)
def test_mixed_keys_are_those_of_all_pairs(chosen):
    rows = [row(i, *own) for i, own in enumerate(chosen)]
    assert {*mixed_keys([rows])} == differing(rows)


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_two_thresholds_are_no_repeats_whoever_is_read_first(order):
    """With a constant batch before them they were taken for one method, and their runs averaged as repeats."""
    rows = [row(i, SCHEDULES[i]) for i in order]
    assert {*mixed_keys([rows])} == {"batch_schedule", "batch_schedule.size", "batch_schedule.eta"}
