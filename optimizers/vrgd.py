"""The variance-reduced optimizers of arXiv 2309.13681 by their names: `GSNR` around a base optimizer each.

All take `params` (parameters or groups, real and dense), `lr` (at least 0) and, by keyword, `Options`; what each says
of its arguments is what it adds to these.
"""

from __future__ import annotations

from typing import ClassVar, TypedDict

from torch.optim import SGD, Adam, AdamW
from torch.optim.optimizer import ParamsT
from typing_extensions import Unpack

from batchlab.optimizers.dense import FRACTION, NON_NEGATIVE, Limits
from batchlab.optimizers.gsnr import GSNR, Normalize, Upper
from batchlab.optimizers.lamb import LAMB
from batchlab.optimizers.lars import LARS


class Options(TypedDict, total=False):
    """What all of them take for `GSNR`, by keyword; its docstring says what each does. The base has `foreach` too."""

    gamma: float
    upper: Upper
    normalize: Normalize
    eps: float
    minimum_groups: int
    control: bool
    foreach: bool | None


class AdamOptions(Options, total=False):
    """`Options`, and what `VRAdam` takes beside."""

    beta1: float
    beta2: float
    beta3: float | None
    epsilon: float


class VRSGD(GSNR):
    """SGD with the gradient scaled by its signal-to-noise ratio, x <- x - lr (r gbar + weight_decay x).

    Source: arXiv 2309.13681, Algorithm 1; `GSNR` defines r and lists the deviations.

    Args:
        weight_decay: coupled, not scaled by r.
        beta3: of a running mean of r, None for none (the algorithm has none).
        params, lr, options: see `Options` and `GSNR`.

    >>> import torch
    >>> from batchlab.optimizers.moments import GradientMoments
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> moments = GradientMoments([w], elementwise=True)
    >>> optimizer = VRSGD([w], lr=1.0, gamma=0.1)
    >>> for group in range(8):
    ...     w.grad = torch.tensor([1.0 + 0.1 * (-1) ** group, 1.0 + (-1) ** group])
    ...     moments.observe(4)
    >>> moments.reduce()
    >>> optimizer.step(moments)
    >>> [round(value, 4) for value in w.tolist()]
    [-1.0, -0.1]
    """

    limits: ClassVar[Limits] = dict.fromkeys(("lr", "momentum", "weight_decay"), NON_NEGATIVE)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.1,
        weight_decay: float = 0.0,
        beta3: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        base = SGD(params, lr=lr, weight_decay=weight_decay, foreach=options.get("foreach"))
        super().__init__(base, beta3=beta3, **options)


class VRMomentum(GSNR):
    """Momentum SGD with the gradient scaled by its signal-to-noise ratio.

    m <- momentum m + r gbar + weight_decay x,  x <- x - lr m.

    Source: arXiv 2309.13681, which feeds r gbar to the base optimizer; the momentum is that of `torch.optim.SGD`,
    without dampening. `GSNR` defines r and lists the deviations.

    Args:
        momentum: at least 0.
        weight_decay: coupled, not scaled by r.
        beta3: of a running mean of r, None for none.
        params, lr, options: see `Options` and `GSNR`.
    """

    limits: ClassVar[Limits] = dict.fromkeys(("lr", "momentum", "weight_decay"), NON_NEGATIVE)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        beta3: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        base = SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, foreach=options.get("foreach"))
        super().__init__(base, beta3=beta3, **options)


class VRAdam(GSNR):
    """Adam on the gradient p^ gbar, p^ the running mean of the signal-to-noise ratio: a reconstruction.

    The paper's box is in an appendix that was not available. Ours: p and p^ as in `GSNR`, then m, v and the step of
    `torch.optim.Adam` from p^ gbar in place of the gradient; beta1 = beta3 = 0.9, beta2 = 0.999.

    Args:
        beta1, beta2: of Adam's moments, each in [0, 1).
        beta3: of the running mean of r, in [0, 1); None scales by r itself.
        epsilon: Adam's, added to the root of the second moment. (`eps` is that of the ratio.)
        weight_decay: coupled as in Adam, added to p^ gbar.
        params, lr, options: see `Options` and `GSNR`.
    """

    adam: ClassVar[type[Adam]] = Adam
    """The base optimizer's class."""
    limits: ClassVar[Limits] = dict.fromkeys(("lr", "eps", "weight_decay"), NON_NEGATIVE) | {"betas": FRACTION}

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        beta3: float | None = 0.9,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        betas, foreach = (beta1, beta2), options.get("foreach")
        base = self.adam(params, lr=lr, betas=betas, eps=epsilon, weight_decay=weight_decay, foreach=foreach)
        super().__init__(base, beta3=beta3, **options)


class VRAdamW(VRAdam):
    """As `VRAdam`, a reconstruction, with the decoupled weight decay of `torch.optim.AdamW`, which r does not touch.

    Args:
        weight_decay: decoupled: x <- x - lr weight_decay x.
        params, lr, options: see `VRAdam`.
    """

    adam = AdamW

    def __init__(
        self, params: ParamsT, lr: float = 1e-3, weight_decay: float = 0.01, **options: Unpack[AdamOptions]
    ) -> None:
        super().__init__(params, lr, weight_decay=weight_decay, **options)


class VRLARS(GSNR):
    """`LARS` on the gradient r gbar; the norm of that scaled gradient enters the trust ratio.

    Source: arXiv 2309.13681, which feeds r gbar to the base optimizer; `LARS` and `GSNR` list the deviations.

    Args:
        momentum, trust_coefficient: as in `LARS`.
        weight_decay: as in `LARS`, not scaled by r.
        exclude: as in `LARS`; r scales the excluded parameters too.
        beta3: of a running mean of r, None for none.
        params, lr, options: see `Options` and `GSNR`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        exclude: bool | None = None,
        beta3: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        base = LARS(params, lr, momentum, weight_decay, trust_coefficient, exclude, options.get("foreach"))
        super().__init__(base, beta3=beta3, **options)


class VRLAMB(GSNR):
    """`LAMB` on the gradient p^ gbar, p^ the running mean of the signal-to-noise ratio: a reconstruction.

    As with `VRAdam` the paper's box was not available. Ours: p and p^ as in `GSNR`, then LAMB's moments and trust ratio
    from p^ gbar in place of the gradient; beta1 = beta3 = 0.9, beta2 = 0.999.

    Args:
        beta1, beta2, epsilon: LAMB's, its epsilon being called `eps` there. (Here `eps` is that of the ratio.)
        beta3: of the running mean of r, in [0, 1); None scales by r itself.
        weight_decay: as in `LAMB`, not scaled by p^.
        exclude: as in `LAMB`; p^ scales the excluded parameters too.
        params, lr, options: see `Options` and `GSNR`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        beta1: float = 0.9,
        beta2: float = 0.999,
        beta3: float | None = 0.9,
        epsilon: float = 1e-6,
        weight_decay: float = 0.01,
        exclude: bool | None = None,
        **options: Unpack[Options],
    ) -> None:
        base = LAMB(params, lr, beta1, beta2, epsilon, weight_decay, exclude, options.get("foreach"))
        super().__init__(base, beta3=beta3, **options)
