"""The published numbers: complete, honest about how sure they are, and never shown as what they are not."""

import math
import re

import pytest

from batchlab.results.papers.literature import CERTAINTIES, published, published_papers, published_sheet
from batchlab.results.show.render import render


def test_all_five_papers_are_there():
    assert published_papers() == ["adadagrad", "dasvrda", "numerical_sgd", "sgdm_schedules", "vrgd"]


@pytest.mark.parametrize("paper", published_papers())
def test_every_number_has_its_place_and_certainty(paper):
    rows = published(paper)
    assert rows
    for row in rows:
        assert math.isfinite(row.value)
        assert row.paper
        assert row.table_or_figure
        assert row.metric
        assert row.certainty in CERTAINTIES  # never memory, never unknown
    keys = [(r.paper, r.dataset, r.model, r.method, r.setting, r.metric) for r in rows]
    assert len(set(keys)) == len(keys)


def value(paper, method, setting, metric):
    (found,) = (r.value for r in published(paper) if (r.method, r.setting, r.metric) == (method, setting, metric))
    return found


@pytest.mark.parametrize(
    ("paper", "method", "setting", "metric", "expected"),
    [
        ("vrgd", "VR-LARS", "batch 8k", "test_accuracy", 91.86),
        ("vrgd", "Momentum", "batch 4k", "test_accuracy", 17.40),
        ("vrgd", "LARS", "batch 96k", "top1_accuracy", 74.30),
        ("sgdm_schedules", "(iii)", "growth to 1.0", "min:full_gradient_norm", 0.0046),
        ("sgdm_schedules", "NSHB", "x4 every 40 epochs from 8", "test_accuracy", 72.72),
        (
            "dasvrda",
            "DASVRDA adaptive restart",
            "(l1, l2) = (1e-4, 1e-6), batch 180",
            "passes_to:objective_gap<=1e-8",
            12,
        ),
        ("numerical_sgd", "RK4", "largest stable lr x curvature", "stability_limit", 2.785),
        ("sgdm_schedules", "RMSprop", "constant", "lr", 0.01),
        ("adadagrad", "DDP-Norm", "eta 0.15", "steps", 531),
    ],
)
def test_spot_checks(paper, method, setting, metric, expected):
    assert value(paper, method, setting, metric) == expected


def test_numbers_that_follow_from_others():
    """Steps of the schedules as published: the last partial batch of an epoch is kept."""
    n = 50_000
    steps = [row for row in published("sgdm_schedules") if row.metric == "steps"]
    assert steps[0].value == 300 * math.ceil(n / 128)
    assert steps[1].value == sum(math.ceil(n / (8 * 2 ** (epoch // 30))) for epoch in range(300))
    for row in published("sgdm_schedules"):
        if row.metric == "lr_growth_factor":
            top = float(row.setting.split()[3])
            assert row.value == pytest.approx((top / 0.1) ** (1 / 9), abs=1e-4)


def test_a_learning_rate_is_said_only_where_it_is_certain():
    """0.1 is of SGD, NSHB and SHB; the adaptive optimizers' rates are unknown, and Adam at 0.1 would not train."""
    rows = [row for row in published("sgdm_schedules") if row.paper.startswith("Kamo") and row.dataset == "CIFAR-100"]
    said = {row.method: row.note for row in rows if row.metric == "test_accuracy"}
    assert "lr 0.1" in said["NSHB"]
    for name in ("Adam", "AdamW", "RMSprop"):
        assert "lr 0.1" not in said[name]
        assert "lr unknown" in said[name]


def test_gradients_to_a_target_are_whole_epochs_of_their_schedules():
    """Kamo and Iiduka measured after each epoch, and kept its last partial batch: 50,016 of batch 32."""

    def spent(first, every, epochs):
        sizes = [min(first * 2 ** (epoch // every), 1024) if every else first for epoch in range(epochs)]
        return sum(size * math.ceil(50_000 / size) for size in sizes)

    rows = [row for row in published("sgdm_schedules") if row.metric.startswith("gradients_to")]
    assert len(rows) == 12
    for row in rows:
        numbers = [int(number) for number in re.findall(r"\d+", row.setting)]
        first, every = (numbers[0], numbers[2] if "every" in row.setting else 0)
        assert row.value in {spent(first, every, epochs) for epochs in range(1, 201)}, row


def test_errors_of_the_gsam_paper_by_data_set_and_model():
    rows = [row for row in published("sgdm_schedules") if row.metric == "test_error"]
    assert {row.certainty for row in rows} == {"read"}
    found = {}
    for row in rows:
        found.setdefault((row.dataset, row.model), []).append(row.value)
    assert found == {
        ("CIFAR-10", "ResNet-18"): [7.17, 6.39, 6.63],
        ("CIFAR-10", "WRN-28-10"): [7.04, 5.53, 6.67],
        ("CIFAR-100", "ResNet-18"): [26.61, 25.58, 26.63],
        ("CIFAR-100", "WRN-28-10"): [25.62, 22.65, 25.57],
        ("Tiny ImageNet", "ResNet-18"): [39.62, 39.36, 39.84],
        ("Tiny ImageNet", "WRN-28-10"): [38.75, 36.55, 39.30],
        ("ImageNet", "ResNet-50"): [32.23, 29.19, 30.58],
    }
    sheet = published_sheet("GSAM", rows)
    assert [cell.text for cell in sheet.rows[10]] == [
        "CIFAR-100", "WRN-28-10", "SGD", "growing batch, constant lr", "22.65 %",
        "GSAM with growing batches (2025), authors' repository", "read",
    ]  # fmt: skip


def test_adadagrads_readme_and_script_are_both_there():
    cnn = {"authors' scripts": (8, 0.008), "authors' README": (16, 0.5)}
    for place, expected in cnn.items():
        rows = [row for row in published("adadagrad") if (row.table_or_figure, row.model) == (place, "CNN")]
        found = {row.metric: row for row in rows if row.dataset == "MNIST"}
        assert (found["initial_batch_size"].value, found["lr"].value) == expected
        assert "disagree" in found["lr"].note


def test_adadagrads_settings_of_imagenet():
    found = {row.metric: row.value for row in published("adadagrad") if row.dataset == "ImageNet"}
    assert found == {
        "initial_batch_size": 256, "maximum_batch_size": 111_360, "lr": 2.5, "minimum_lr": 0.25, "samples": 256_233_400,
        "warmup_samples": 6_405_835, "decay_samples": 249_827_565, "weight_decay": 1e-4, "eta": 0.1,
    }  # fmt: skip
    # 200 epochs of the training set, of which the first 5 warm up; the lr is at its least 5 before the end
    assert found["samples"] == 200 * 1_281_167
    assert found["warmup_samples"] == found["samples"] - found["decay_samples"] == 5 * 1_281_167


def test_an_unknown_paper_lists_the_known():
    with pytest.raises(ValueError, match="adadagrad, dasvrda"):
        published("attention")


def test_a_sheet_shows_what_and_how_sure():
    rows = [row for row in published("vrgd") if row.table_or_figure == "Table 5"]
    text = render(published_sheet("Table 5", rows), "markdown")
    assert "93.79 %" in text
    assert "read" in text
    assert "mean of 5" in text
