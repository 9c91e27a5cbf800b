"""Each algorithm as a scalar loop over Python floats, from its paper or from torch's documented pseudocode.

Independent of the package and of NumPy: what the optimizers are checked against, by `REFERENCES[name]`.
"""

from .adabelief import AdaBelief
from .adadelta import Adadelta
from .adafactor import Adafactor
from .adagrad import Adagrad
from .adahessian import AdaHessian
from .adam import Adam
from .adam_epsilon_hat import AdamEpsilonHat
from .adamax import Adamax
from .adamw import AdamW
from .adan import Adan
from .asgd import ASGD
from .base import Reference
from .lamb import LAMB
from .lars import LARS
from .lion import Lion
from .muon import Muon
from .nadam import NAdam
from .nesterov import Nesterov
from .prodigy import Prodigy
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .schedule_free_adamw import ScheduleFreeAdamW
from .schedule_free_sgd import ScheduleFreeSGD
from .sgd import SGD
from .sparse_adam import SparseAdam
from .yogi import Yogi

__all__ = ["REFERENCES", "Reference"]

REFERENCES: dict[str, type[Reference]] = {
    "SGD": SGD,
    "Nesterov": Nesterov,
    "Adam": Adam,
    "AdamW": AdamW,
    "AdamEpsilonHat": AdamEpsilonHat,
    "Adamax": Adamax,
    "NAdam": NAdam,
    "RAdam": RAdam,
    "Adagrad": Adagrad,
    "Adadelta": Adadelta,
    "RMSprop": RMSprop,
    "Rprop": Rprop,
    "ASGD": ASGD,
    "SparseAdam": SparseAdam,
    "Adafactor": Adafactor,
    "Muon": Muon,
    "Lion": Lion,
    "AdaBelief": AdaBelief,
    "Yogi": Yogi,
    "LAMB": LAMB,
    "LARS": LARS,
    "Adan": Adan,
    "ScheduleFreeSGD": ScheduleFreeSGD,
    "ScheduleFreeAdamW": ScheduleFreeAdamW,
    "Prodigy": Prodigy,
    "AdaHessian": AdaHessian,
}
