"""Who watches a run: a class and a YAML file in `conf/callback/` each, chosen by `+callback=tensorboard`.

A callback of one's own has some of `Callback`'s methods; `Watched` is what it is given of the run.
"""

from batchlab.runner.callbacks.callback import Callback, Watched, check_methods
from batchlab.runner.callbacks.mlflow import MLflow
from batchlab.runner.callbacks.tensorboard import TensorBoard
from batchlab.runner.callbacks.wandb import WandB

__all__ = ["Callback", "MLflow", "TensorBoard", "WandB", "Watched", "check_methods"]
