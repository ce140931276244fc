"""Of (f): Momentum, VR-Momentum and its control, as `reproduce vrgd --scale gpu` has them, in a few epochs.

The learning rate is the middle one of the recipe's three and is not tuned: there is no time to. Batch 2,048 in 8
groups, where the paper's lead begins. Seed by seed, so that what is cut off is the last seed.
"""

from __future__ import annotations

from typing import Any

import yaml

from batchlab.runner.plan.conf.files import PACKAGED
from batchlab.runner.plan.config import Planned
from batchlab.runner.plan.reproduce import merge, plans_of, whole
from card.part import Part

PAPER, SWEEP = "vrgd", "vrgd-gpu"
EPOCHS, WARM_UP = 3.0, 0.5
RATE = 0.14


def choose(part: Part) -> tuple[list[Planned], str]:
    """The runs, and what they are in words."""
    recipe: dict[str, Any] = yaml.safe_load((PACKAGED / "reproduce" / f"{PAPER}.yaml").read_text())
    chosen = whole(recipe, "gpu") | {"only": {"pair": ["momentum"], "tuning": [False]}}
    size, seeds, epochs = (64, "range(0,2)", 1.0) if part.smoke else (2048, "range(0,3)", EPOCHS)
    chosen["grids"] = [{"overrides": [f"batch_schedule.size={size}", "lr_schedule.peak=2.8284"]}]
    own = [
        # each image standardised by itself, as the experiment says
        *part.overrides(model="resnet20", dataset__mean="null", dataset__std="null", log__evaluate_every=epochs),
        f"train.epochs={epochs:g}",
        f"lr_schedule.warmup={WARM_UP:g}",
        f"seed={seeds}",
        *(["model.width=8"] if part.smoke else []),
    ]
    own = [text for text in own if not text.startswith("batch_schedule")]
    plans = plans_of(chosen | {"common": merge(chosen["common"], own)}, PAPER)
    plans = [planned for planned in plans if planned.tree["optimizer"]["lr"] == RATE]
    return plans, f"{len(plans)} runs of {epochs:g} epochs, momentum, batch {size:,}"


def method(planned: Planned) -> str:
    """An optimizer's name, and whether it is the control."""
    optimizer = planned.tree["optimizer"]
    return str(optimizer["name"]) + (", control" if optimizer.get("control") else "")
