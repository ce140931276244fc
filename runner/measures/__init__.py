"""What is measured of a run: a class and a YAML file in `conf/measure/` each, chosen by `measure=[scores,...]`.

A measure of one's own is a subclass of `Measure`; `Probe` is what it is given, `Quantity` what it says of its columns.
"""

from batchlab.results.compare.quantities import Quantity
from batchlab.runner.measures.auc import AUC
from batchlab.runner.measures.batchnorm import ReestimatedBatchNorm
from batchlab.runner.measures.correct import CorrectExamples
from batchlab.runner.measures.gradient_norm import FullGradientNorm, PaperGradientNorm
from batchlab.runner.measures.gsnr import LayerGSNR
from batchlab.runner.measures.measure import Measure, Subject, check_declarations
from batchlab.runner.measures.parameters import Parameters
from batchlab.runner.measures.perplexity import Perplexity
from batchlab.runner.measures.probe import Probe
from batchlab.runner.measures.scores import Scores, TrainScores
from batchlab.runner.measures.untouched import untouched

__all__ = [
    "AUC",
    "CorrectExamples",
    "FullGradientNorm",
    "LayerGSNR",
    "Measure",
    "PaperGradientNorm",
    "Parameters",
    "Perplexity",
    "Probe",
    "Quantity",
    "ReestimatedBatchNorm",
    "Scores",
    "Subject",
    "TrainScores",
    "check_declarations",
    "untouched",
]
