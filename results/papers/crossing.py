"""Our own comparison across the papers: six optimizers x three batch schedules on three problems, tuned alike.

No paper has it. Labels of the runs: `problem`, `target` (a test accuracy whose cost is counted), `batches` and, of
those that choose learning rates and are judged in nothing, `tuning`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from batchlab.results.compare.choice import Tuning
from batchlab.results.compare.contest import TIES
from batchlab.results.compare.derived import known_by
from batchlab.results.compare.frame import Frame, RunRow
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.tuning import UNTUNED, tuned
from batchlab.results.papers.crossing_answer import QUESTION, answer, answer_sheet, brief_sheet
from batchlab.results.papers.crossing_costs import Costs
from batchlab.results.papers.crossing_readings import Standing, standings
from batchlab.results.papers.crossing_sheets import accuracy_sheet, cost_sheet, pair_sheets, ranking_sheet
from batchlab.results.papers.profile_plot import Profiles
from batchlab.results.papers.reproduction import Front, Reproduction
from batchlab.results.show.plot import Plot
from batchlab.results.show.sheet import Sheet

REFERENCE = "our own comparison across the papers (no paper has it)"
TITLE = "Optimizers × batch schedules, across the papers"
OPTIMIZERS = {
    "shb": "SHB", "nshb": "NSHB", "adamw": "AdamW", "adagrad_norm": "AdaGrad-Norm", "vr_momentum": "VR-Momentum",
    "lamb": "LAMB",
}  # fmt: skip
FIRST = (
    f"{QUESTION} Six optimizers, each with batches that are constant, that grow and that follow a test of the "
    "gradient's noise, tuned alike on three problems."
)
CAPTION = (
    "On which share of problems and seeds a contender came to the target accuracy at no more than so many times the "
    "least cost, for three ways to count it."
)
CELL = ("problem", "contender")
CHOOSER = Metric("validation_accuracy")
NOTES = [
    "each contender at the learning rate, of four, that was best by validation accuracy at the end of the tuning runs "
    "(of equals by validation loss); their seeds judge nothing. Batch schedules are each at one setting of ours",
    "learning rates do not decay, so that a run read at a part of its budget stands for a shorter one; but batches "
    "that grow do so by the share of their whole budget, and reach less at a tenth of it than a run of that "
    "length would",
    "NSHB has ten times SHB's learning rates: with constant momentum they are one method, and what the tables show "
    "between them is a check on the tables",
    "three small problems, one model each: an order here is no order elsewhere",
]


@dataclass(frozen=True)
class Crossing(Reproduction):
    """The comparison, whose rankings and answer follow from the verdicts.

    Attributes:
        choice: The learning rates, and the judged runs at them.
        asked: What is compared, without verdicts.
        costs: What it took to come to the targets.
    """

    choice: Tuning | None = None
    asked: tuple[Standing, ...] = ()
    costs: Costs | None = None

    def standings(self) -> list[Standing]:
        """What is compared, with the verdicts."""
        return [replace(standing, judged=tuple(self.claims)) for standing in self.asked]

    def sheets(self) -> list[Sheet]:
        """Accuracies, costs, rankings, pairs, and the answer last; that alone before the first judged run."""
        assert self.choice is not None
        assert self.costs is not None
        found = self.standings()
        rankings = [
            ranking_sheet([one for one in found if one.kind == kind]) for kind in ("contender", "optimizer", "batches")
        ]
        last = answer_sheet(found, self.costs)
        last = replace(last, notes=[*last.notes, *self.notes, *self.problems])
        if not any(one.values(name) for one in found for name in one.names):
            return [last]  # what says that there is nothing yet
        return [
            accuracy_sheet(self.choice, self.costs),
            cost_sheet(self.costs),
            *rankings,
            *pair_sheets(found),
            last,
        ]

    def first(self) -> Front:
        """The answer, the accuracies, the ranking of the contenders, and at what cost each came to the targets."""
        assert self.choice is not None
        assert self.costs is not None
        found = self.standings()
        profiles = self.plots[0]
        contenders = [one for one in found if one.kind == "contender"]
        return Front(
            FIRST,
            [accuracy_sheet(self.choice, self.costs), ranking_sheet(contenders)],
            profiles if profiles.drawable else None,
            CAPTION,
            answer(found, self.costs),
            brief_sheet(found, self.reference),
            verdicts=False,
        )


def build(frame: Frame) -> Crossing:
    """Accuracies, costs to the targets, rankings with groups, and an answer.

    Args:
        frame: Runs with the labels above, in any state.
    """
    runs = labelled(frame)
    choice = tuned(runs, CHOOSER, "lr", CELL, TIES)
    asked = tuple(standings(choice.frame))
    costs = Costs(choice.frame)
    claims = [item for standing in asked for item in standing.claims()]
    plots = [
        Profiles(costs),
        Plot(choice.frame, Metric("test_accuracy"), ("samples", "steps"), "optimizer,batches", "problem",
             "Test accuracy, each at its chosen learning rate"),
    ]  # fmt: skip
    notes = NOTES if choice.chosen else [UNTUNED, *NOTES]
    return Crossing("crossing", TITLE, REFERENCE, (), claims, plots, [], notes, [], choice, asked, costs)


def labelled(frame: Frame) -> Frame:
    """The runs, known by problem, target, optimizer, batches, contender, learning rate and `tuning`."""

    def labels(run: RunRow) -> dict[str, Any]:
        name = str(run.value("optimizer"))
        optimizer = OPTIMIZERS.get(name, name)
        found = {key: run.value(key) for key in ("problem", "target", "batches")}
        return found | {
            "optimizer": optimizer,
            "contender": f"{optimizer} · {found['batches']}",
            "lr": run.value("optimizer.lr"),
            "tuning": run.value("tuning") is True,
        }

    return known_by(frame, labels)
