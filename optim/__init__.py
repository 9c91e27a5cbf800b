"""Optimizers: torch.optim's, and others by their papers, each written once as a formula."""

from optim.adabelief import AdaBelief
from optim.adadelta import Adadelta
from optim.adagrad import Adagrad
from optim.adam import Adam
from optim.adam_epsilon_hat import AdamEpsilonHat
from optim.adamax import Adamax
from optim.adamw import AdamW
from optim.adan import Adan
from optim.asgd import ASGD
from optim.formula import execution
from optim.lion import Lion
from optim.nadam import NAdam
from optim.optimizer import Optimizer
from optim.radam import RAdam
from optim.rmsprop import RMSprop
from optim.rprop import Rprop
from optim.schedule_free_adamw import ScheduleFreeAdamW
from optim.schedule_free_sgd import ScheduleFreeSGD
from optim.sgd import SGD
from optim.yogi import Yogi

__all__ = [
    "ASGD",
    "SGD",
    "AdaBelief",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamEpsilonHat",
    "AdamW",
    "Adamax",
    "Adan",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Yogi",
    "execution",
]
