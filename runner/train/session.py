"""Everything that one rank trains with, built from the frozen configuration."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from batchlab.datasets import Batch, Batches, Dataset
from batchlab.optimizers.batch import BatchSchedule, total_steps
from batchlab.optimizers.clock import Clock
from batchlab.optimizers.lr import Rates, factor_of
from batchlab.optimizers.moments import GradientMoments
from batchlab.optimizers.needs import Moments, Needs, needs_of, union
from batchlab.runner.measures import Measure, Probe
from batchlab.runner.plan.batchnorm import has_batchnorm
from batchlab.runner.plan.build import blaming, build, load_dataset
from batchlab.runner.plan.loss import make_loss, own_loss
from batchlab.runner.plan.model import make_model
from batchlab.runner.plan.optimizer import make_optimizer
from batchlab.runner.plan.schedules import make_rates, make_sizes
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.compiled import Compiled
from batchlab.runner.train.gradient import Gradient, ObservedGradient, SummedGradient, autocast, criterion_for

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}


@dataclasses.dataclass
class Session:
    """The objects of a training run, before or after a checkpoint was put into them."""

    config: RunConfig
    dataset: Dataset
    model: nn.Module
    forward: nn.Module
    """The model as it is called: compiled where that is asked for. Its parameters are those of `model`."""
    optimizer: Optimizer
    lr_schedule: Rates
    batch_schedule: BatchSchedule
    needs: Needs
    """How the optimizer is driven."""
    batches: Batches
    gradient: Gradient
    moments: GradientMoments | None
    batchnorm: bool
    """Whether the model ties the samples of a forward pass together."""
    probe: Probe
    measures: dict[str, Measure]
    clock: Clock
    base_lrs: list[float]

    @classmethod
    def build(
        cls, config: RunConfig, device: torch.device, rank: int, world_size: int, dataset: Dataset | None = None
    ) -> Session:
        """From scratch, at sample 0; the model's weights are a function of the seed alone.

        Args:
            config: what is to be trained.
            device: of this rank.
            rank: its number.
            world_size: how many ranks there are.
            dataset: the configuration's; None reads it.

        Raises:
            ConfigError: a choice refuses its arguments, or the data.
        """
        options = config.train
        dtype = DTYPES[options.precision]
        dataset = dataset or load_dataset(config.dataset)
        torch.manual_seed(config.seed)
        model = make_model(config.model, dataset.shape, dataset.outputs, dataset.vocabulary)
        model = model.to(device, dtype)
        if options.channels_last:
            model = model.to(memory_format=torch.channels_last)
        forward: nn.Module = model
        if options.compile:  # evaluations stay eager: each would be compiled anew for its modes and batch sizes
            forward = Compiled(model)
        optimizer: Optimizer = make_optimizer(config.optimizer, model, options.decay)
        batch_schedule = make_sizes(config.batch_schedule)
        own = own_loss(options.loss)
        criterion = make_loss(own, device, dtype) if own else criterion_for(options.loss, options.label_smoothing)
        needs = needs_of(optimizer)
        wanted = union(needs, needs_of(batch_schedule))
        moments = wanted.gather([p for p in model.parameters() if p.requires_grad]) if wanted else None
        gradient: Gradient
        if moments is None:
            gradient = SummedGradient(forward, criterion, options.precision)
        else:  # per-sample statistics look into the layers, which a compiled model hides
            seen = model if moments.estimator == "per_sample" else forward
            gradient = ObservedGradient(seen, criterion, options.precision, moments)

        def batches(stream: int) -> Batches:
            return Batches(
                dataset,
                seed=config.seed,
                stream=stream,
                device=device,
                rank=rank,
                world_size=world_size,
                micro_batch=options.micro_batch,
                dtype=dtype,
                channels_last=options.channels_last,
            )

        def forward_eval(model: nn.Module, x: Tensor) -> Tensor:
            with autocast(device, options.precision):
                output: Tensor = model(x)
            return output.to(dtype)

        budget = options.total_samples(dataset.n)
        clock = Clock(0, 0, dataset.n, budget, total_steps(batch_schedule, dataset.n, budget))
        return cls(
            config=config,
            dataset=dataset,
            model=model,
            forward=forward,
            optimizer=optimizer,
            lr_schedule=make_rates(config.lr_schedule),
            batch_schedule=batch_schedule,
            needs=needs,
            batches=batches(0),
            gradient=gradient,
            moments=moments,
            batchnorm=has_batchnorm(model),
            probe=Probe(
                model=model,
                dataset=dataset,
                criterion=criterion,
                evaluation=criterion if own else criterion_for(options.loss, label_smoothing=0.0),
                forward=forward_eval,
                stream=batches,
                optimizer=optimizer,
                moments=moments,
                clock=clock,
                dtype=dtype,
                rank=rank,
                world_size=world_size,
                plain=options.precision != "bfloat16",
            ),
            measures={name: build(node, "measure") for name, node in config.measure.items()},
            clock=clock,
            base_lrs=[group["lr"] for group in optimizer.param_groups],
        )

    @property
    def groups(self) -> int:
        """Fewest micro-batches that a step is cut into on every rank; the gradient's noise is measured between them."""
        world = max(1, self.config.nproc)
        return -(-self.config.train.groups // world)

    def take(self, size: int) -> Batch:
        """The next batch of `size` samples, or what is left of the epoch or of the budget.

        Where an optimizer needs several groups, a remainder too small for them is added to the batch before it.

        Args:
            size: samples of the global batch, over all ranks.

        Returns:
            This rank's share, in micro-batches.
        """
        left = self.clock.total_samples - self.clock.samples
        rest = min(self.batches.n - self.batches.position, left)
        if isinstance(self.needs, Moments) and 0 < rest - size < self.needs.groups:
            size = rest
        return self.batches.take(min(size, left), self.groups)

    def batch_size(self) -> int:
        """Samples that the schedule wants in the coming global batch.

        Raises:
            ConfigError: it gives no such number.
        """
        with blaming(self.config.batch_schedule, "batch_schedule"):
            return self.batch_schedule.size(self.clock)

    def set_learning_rate(self) -> float:
        """Put the schedule's rate into the optimizer; returns the first group's.

        Raises:
            ConfigError: it gives none.
        """
        with blaming(self.config.lr_schedule, "lr_schedule"):
            factor = factor_of(self.lr_schedule, self.clock)
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * factor
        return self.base_lrs[0] * factor

    def set_measuring(self) -> None:
        """Tell the moments whether the coming step's noise is wanted, by the optimizer or by the batch schedule."""
        assert self.moments is not None
        self.moments.measuring = isinstance(self.needs, Moments) or self.batch_schedule.listening

    def advance(self, samples: int) -> None:
        """Move the clock past a step over `samples` samples."""
        self.clock = dataclasses.replace(self.clock, samples=self.clock.samples + samples, steps=self.clock.steps + 1)
