"""Optimizers: torch.optim's, and others by their papers, each written once as a formula."""

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
