"""Uncertainty over test examples: McNemar against binomial sums, the bootstrap against simulated truths, the note."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from batchlab.results.compare.examples import Correct, bootstrap, mcnemar, mcnemar_of_seeds, over_examples
from batchlab.results.compare.table import load_table
from batchlab.results.show.table_sheet import table_sheet
from batchlab.results.store.bits import packed
from batchlab.results.store.record import Recorder

N = 355


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (0, 5), (6, 2), (4, 4), (9, 23), (40, 12)])
def test_mcnemar_is_a_binomial_sum(only_a: int, only_b: int) -> None:
    a = np.array([1] * only_a + [0] * only_b + [1] * 7 + [0] * 5, bool)
    b = np.array([0] * only_a + [1] * only_b + [1] * 7 + [0] * 5, bool)
    n, k = only_a + only_b, min(only_a, only_b)
    expected = min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(expected, rel=1e-12)
    assert mcnemar_of_seeds((a.astype(float) - b)[None]) == pytest.approx(expected, rel=1e-12), "of one seed"


def test_mcnemar_of_seeds_counts_all_signs() -> None:
    """By enumeration: every example's sum over the seeds, with either sign."""
    generator = np.random.default_rng(0)
    for _ in range(20):
        differences = generator.integers(-1, 2, (3, 8)).astype(float)
        sums = differences.sum(0)
        flipped = [abs(np.dot(signs, sums)) for signs in product((-1, 1), repeat=8)]
        expected = np.mean(np.array(flipped) >= abs(sums.sum()))
        assert mcnemar_of_seeds(differences) == pytest.approx(expected, rel=1e-12)


def test_an_example_counts_once_however_many_seeds_agree_on_it() -> None:
    once = np.array([[1.0] * 5 + [-1.0] * 1 + [0.0] * 20])
    assert mcnemar_of_seeds(np.repeat(once, 6, 0)) == mcnemar_of_seeds(once)


def test_the_bootstrap_draws_single_examples_and_whole_seeds() -> None:
    """Its spread against the variance by hand, which no grouping of like examples enters."""
    d = np.random.default_rng(1).integers(-1, 2, (6, 80)).astype(float)
    images, both = bootstrap(d, repetitions=200_000)
    seeds, n = d.shape
    rows, columns = d.mean(1), d.mean(0)
    of_images = columns.var() / n
    # Of sum v_i w_j d_ij / (S n): E (v_i v_k) = S (S - 1) / S^2 + [i = k], and the same of w.
    of_both = (
        rows.var() / seeds * (1 - 1 / n) + columns.var() / n * (1 - 1 / seeds) + (d**2).mean() / (seeds * n)
    ) - d.mean() ** 2 / (seeds * n)
    normal = 2 * 1.959964
    assert images[1] - images[0] == pytest.approx(normal * math.sqrt(of_images), rel=0.03)
    assert both[1] - both[0] == pytest.approx(normal * math.sqrt(of_both), rel=0.03)


def side(bits: NDArray[np.bool_], targets: int = 1, first: int = 0) -> Correct:
    """Seeds from `first` on."""
    return Correct({first + i: own for i, own in enumerate(bits)}, (bits.shape[1], targets))


def test_sides_are_paired_by_the_seeds_they_share_and_by_the_same_test_set() -> None:
    bits = np.random.default_rng(2).random((2, 6, N)) < 0.9
    found = over_examples(side(bits[0]), side(bits[1], first=1))
    assert found is not None
    assert found.seeds == (1, 2, 3, 4, 5)
    assert found.difference == pytest.approx(bits[0, 1:].mean() - bits[1, :5].mean())
    assert found.p_by_seed[3] == mcnemar(bits[0, 3], bits[1, 2])
    assert found.both is not None
    assert over_examples(side(bits[0]), side(bits[1], targets=2)) is None
    assert over_examples(side(bits[0]), side(bits[1], first=9)) is None
    few = over_examples(side(bits[0, :4]), side(bits[1]))
    assert few is not None
    assert few.both is None, "four seeds say little of their spread"


def kept(lab: Any, curve: Any, bits: dict[str, NDArray[np.bool_]], targets: int = 1, **more: Any) -> None:
    """Runs as the measure leaves them."""
    for optimizer, own in bits.items():
        for seed, correct in enumerate(own):
            run = lab.run(f"{optimizer}{seed}", curve([0.1, correct.mean()]), optimizer=optimizer, seed=seed, **more)
            config = run.config.read_text() + "measure: {scores: {}, correct: {}}\n"
            run.write_config(config)
            with Recorder(run) as recorder:
                recorder.write("examples", {"n": len(correct), "targets": targets, "correct": packed(correct)})
                recorder.seal({"run_id": run.run_id, "optimizer": optimizer, "seed": seed}, load(config))


def load(text: str) -> dict[str, Any]:
    """Of YAML."""
    import yaml

    content: dict[str, Any] = yaml.safe_load(text)
    return content


def notes(lab: Any, **options: Any) -> list[str]:
    """Those over test examples."""
    made = load_table(lab.store, baseline="optimizer=shb", **options)
    return [note for note in table_sheet(made).notes if "test examples" in note]


def test_a_table_says_it_in_one_line_per_comparison(lab: Any, curve: Any) -> None:
    generator = np.random.default_rng(3)
    bits = {name: generator.random((5, N)) < level for name, level in (("shb", 0.9), ("adam", 0.96), ("sgd", 0.9))}
    kept(lab, curve, bits)
    first, second = notes(lab)
    found = over_examples(side(bits["adam"]), side(bits["shb"]))
    assert found is not None
    assert found.both is not None
    low, high = (100 * end for end in found.examples_interval)
    assert first.startswith(f"over test examples (355): adam - shb {100 * found.difference:+.1f} points ")
    assert f"[{low:+.1f}, {high:+.1f}] over examples, [" in first
    assert "] over examples and seeds; McNemar p <0.001 of these 5 seeds" in first
    assert ": sgd - shb " in second
    assert not notes(lab, metrics=["max:test_accuracy"]), "the bits are of the last evaluation"


def test_a_side_without_its_bits_is_not_compared(lab: Any, curve: Any) -> None:
    bits = np.random.default_rng(4).random((5, N)) < 0.9
    kept(lab, curve, {"shb": bits, "adam": bits})
    lab.run("adam9", curve([0.1, 0.9]), optimizer="adam", seed=9)
    kept(lab, curve, {"sgd": bits}, targets=2)
    assert notes(lab) == []


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "luck"), [(1, 0.3), (3, 0.3), (10, 0.3), (20, 0.6)])
def test_coverage(seeds: int, luck: float) -> None:
    """Examples of differing difficulty, seeds of differing luck, a side of its own effect on each example."""
    generator, repetitions = np.random.default_rng(5), 400
    grid = np.linspace(-5 * luck, 5 * luck, 41)
    crowd = 3.5 + 2 * generator.standard_normal(100_000) + 0.3 * generator.standard_normal(100_000)
    accuracy = np.array([chance(crowd + x).mean() for x in grid])  # of a model with so much luck, on all examples
    of_images = of_both = 0
    for i in range(repetitions):
        hard = 3.5 + 2 * generator.standard_normal(N)
        own = luck * generator.standard_normal((2, seeds, 1))
        effect = 0.3 * generator.standard_normal((2, 1, N))
        right = generator.random((2, seeds, N)) < chance(hard + effect + own)
        images, both = bootstrap(right[0].astype(float) - right[1], repetitions=1000, seed=i)
        truth = float(np.subtract(*np.interp(own[..., 0], grid, accuracy).mean(1)))
        of_images += images[0] <= truth <= images[1]
        of_both += both[0] <= 0 <= both[1]
    error = 3 * math.sqrt(0.05 * 0.95 / repetitions)
    assert abs(of_images / repetitions - 0.95) <= error + 0.01
    assert seeds < 10 or of_both / repetitions >= 0.95 - error - 0.01


def chance(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logistic function."""
    return np.asarray(1 / (1 + np.exp(-logit)))
