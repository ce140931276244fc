"""What optimizers are compared on: readers, checks and device-resident batches.

The names below are loaded when first used, so that `import batchlab.datasets` and its catalogue (`available`,
`prepare`) import neither torch nor scikit-learn. The readers stand in `batchlab.datasets.sets`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchlab.datasets.batches import Batch as Batch
    from batchlab.datasets.batches import Batches as Batches
    from batchlab.datasets.batches import evaluation_batches as evaluation_batches
    from batchlab.datasets.batches import largest_part as largest_part
    from batchlab.datasets.catalogue import available as available
    from batchlab.datasets.catalogue import prepare as prepare
    from batchlab.datasets.dataset import Dataset as Dataset
    from batchlab.datasets.dataset import Preprocessing as Preprocessing
    from batchlab.datasets.entry import Entry as Entry
    from batchlab.datasets.files import data_root as data_root
    from batchlab.datasets.lockstep import Lockstep as Lockstep
    from batchlab.datasets.standardize import standardized as standardized
    from batchlab.datasets.subset import with_subset as with_subset
    from batchlab.datasets.validation import with_validation as with_validation

_MODULE_OF = {
    "Batch": "batches",
    "Batches": "batches",
    "evaluation_batches": "batches",
    "largest_part": "batches",
    "available": "catalogue",
    "prepare": "catalogue",
    "Dataset": "dataset",
    "Preprocessing": "dataset",
    "Entry": "entry",
    "data_root": "files",
    "Lockstep": "lockstep",
    "standardized": "standardize",
    "with_subset": "subset",
    "with_validation": "validation",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
