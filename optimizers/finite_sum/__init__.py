"""Variance-reduced solvers for regularised empirical risk, P(x) = (1/n) sum_i f_i(x) + R(x).

>>> from batchlab.optimizers.finite_sum import DASVRDA, ElasticNet, LinearProblem
>>> A, y = [[1.0, 0.5], [0.2, -1.0], [-1.0, 0.1], [0.3, 1.0]], [1, 0, 0, 1]
>>> problem = LinearProblem(A, y, loss="logistic", regularizer=ElasticNet(l1=0.01, l2=0.1))
>>> DASVRDA(problem, batch_size=2).solve(passes=1000, gap=1e-10).reason
'gap'
"""

from batchlab.optimizers.finite_sum.dasvrda import DASVRDA
from batchlab.optimizers.finite_sum.data import unit_rows
from batchlab.optimizers.finite_sum.fista import FISTA
from batchlab.optimizers.finite_sum.katyusha import Katyusha
from batchlab.optimizers.finite_sum.minimum import ROUNDING, minimum
from batchlab.optimizers.finite_sum.module import ModuleProblem
from batchlab.optimizers.finite_sum.problem import LinearProblem, Problem
from batchlab.optimizers.finite_sum.regularizer import L1, L2, ElasticNet
from batchlab.optimizers.finite_sum.result import Progress, Record, Result
from batchlab.optimizers.finite_sum.saga import SAGA
from batchlab.optimizers.finite_sum.solver import Solver, SolverOptions
from batchlab.optimizers.finite_sum.svrg import SVRG, AccProxSVRG
from batchlab.optimizers.finite_sum.tuning import GRID, Trial, TunedStep, Tuning, tune, tuned_step

__all__ = [
    "DASVRDA",
    "FISTA",
    "GRID",
    "L1",
    "L2",
    "ROUNDING",
    "SAGA",
    "SVRG",
    "AccProxSVRG",
    "ElasticNet",
    "Katyusha",
    "LinearProblem",
    "ModuleProblem",
    "Problem",
    "Progress",
    "Record",
    "Result",
    "Solver",
    "SolverOptions",
    "Trial",
    "TunedStep",
    "Tuning",
    "minimum",
    "tune",
    "tuned_step",
    "unit_rows",
]
