"""Optimizers with PyTorch's names, arguments and defaults, each written once, as the formula of its paper.

torch.optim's    SGD, Adam, AdamW, Adamax, NAdam, RAdam, Adagrad, Adadelta, RMSprop, Rprop, ASGD, SparseAdam, Adafactor,
                 Muon, LBFGS
by their papers  Lion, AdaBelief, Yogi, Adan, LAMB, LARS, Prodigy, ScheduleFreeSGD, ScheduleFreeAdamW, AdamEpsilonHat,
                 Nesterov, AdaHessian, ConjugateGradient, NewtonCG, GaussNewton, LevenbergMarquardt, ScipyMinimize
step(closure)    where it calls backward: LBFGS, ConjugateGradient, ScipyMinimize, Nesterov; where it only computes the
                 loss: NewtonCG, AdaHessian; the residuals: GaussNewton, LevenbergMarquardt
Optimizer        what all have: `params` and its groups, hooks, saving, `skip_nonfinite`
execution        how formulas run: eager, in blocks, by Numba, on a GPU
to_torch_state   a state as PyTorch loads it
modules          lr_scheduler (schedules of any setting), swa_utils (averages of weights), functional (the same formulas
                 as pure functions, differentiable), formula (LaTeX and source of any, optimizers of one's own),
                 study.problems (functions to try them on)

`help(optim.Adam)` has its formula, settings, state and source.

>>> import minigrad as mg, optim
>>> w = mg.tensor([0.0], requires_grad=True)
>>> optimizer = optim.SGD([w], lr=0.25)
>>> for _ in range(3):
...     optimizer.zero_grad()
...     ((w - 8) ** 2).sum().backward()
...     optimizer.step()
>>> w
tensor([7.], requires_grad=True)
"""

from optim import functional, lr_scheduler, swa_utils
from optim.adabelief import AdaBelief
from optim.adadelta import Adadelta
from optim.adafactor import Adafactor
from optim.adagrad import Adagrad
from optim.adahessian import AdaHessian
from optim.adam import Adam
from optim.adam_epsilon_hat import AdamEpsilonHat
from optim.adamax import Adamax
from optim.adamw import AdamW
from optim.adan import Adan
from optim.asgd import ASGD
from optim.conjugate_gradient import ConjugateGradient
from optim.convert import to_torch_state
from optim.formula import execution
from optim.gauss_newton import GaussNewton
from optim.lamb import LAMB
from optim.lars import LARS
from optim.lbfgs import LBFGS
from optim.levenberg_marquardt import LevenbergMarquardt
from optim.lion import Lion
from optim.muon import Muon
from optim.nadam import NAdam
from optim.nesterov import Nesterov
from optim.newton_cg import NewtonCG
from optim.optimizer import Optimizer
from optim.prodigy import Prodigy
from optim.radam import RAdam
from optim.rmsprop import RMSprop
from optim.rprop import Rprop
from optim.schedule_free_adamw import ScheduleFreeAdamW
from optim.schedule_free_sgd import ScheduleFreeSGD
from optim.scipy_minimize import ScipyMinimize
from optim.sgd import SGD
from optim.sparse_adam import SparseAdam
from optim.yogi import Yogi

__all__ = [
    "ASGD",
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "AdaBelief",
    "AdaHessian",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamEpsilonHat",
    "AdamW",
    "Adamax",
    "Adan",
    "ConjugateGradient",
    "GaussNewton",
    "LevenbergMarquardt",
    "Lion",
    "Muon",
    "NAdam",
    "Nesterov",
    "NewtonCG",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "ScipyMinimize",
    "SparseAdam",
    "Yogi",
    "execution",
    "functional",
    "lr_scheduler",
    "swa_utils",
    "to_torch_state",
]
