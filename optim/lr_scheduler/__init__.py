"""Schedules, and the schedulers that put them on an optimizer's groups: torch.optim.lr_scheduler's, and others.

A schedule is a function of the step, made without an optimizer: `Step(step_size=30).at(range(100))`. A scheduler sets
an optimizer's lr by it at every `step`: `StepLR(optimizer, step_size=30)`. SettingScheduler does that with any schedule
and any setting. A scheduler's name is its schedule's with LR at the end; what both share is documented at the schedule.
"""

from optim.lr_scheduler.base import LRScheduler
from optim.lr_scheduler.compose import ChainedScheduler, SequentialLR
from optim.lr_scheduler.cyclic import CosineAnnealingWarmRestarts, Cyclic, CyclicLR, OneCycle, OneCycleLR, WarmRestarts
from optim.lr_scheduler.decay import (
    Constant,
    ConstantLR,
    CosineAnnealing,
    CosineAnnealingLR,
    Exponential,
    ExponentialLR,
    Linear,
    LinearLR,
    MultiStep,
    MultiStepLR,
    Polynomial,
    PolynomialLR,
    Step,
    StepLR,
)
from optim.lr_scheduler.function import Lambda, LambdaLR, Multiplicative, MultiplicativeLR
from optim.lr_scheduler.plateau import ReduceLROnPlateau
from optim.lr_scheduler.schedule import Factor, Schedule
from optim.lr_scheduler.setting import SettingScheduler
from optim.lr_scheduler.warmup import (
    InverseSquareRoot,
    InverseSquareRootLR,
    WarmupCosine,
    WarmupCosineLR,
    WarmupStableDecay,
    WarmupStableDecayLR,
)

__all__ = [
    "ChainedScheduler",
    "Constant",
    "ConstantLR",
    "CosineAnnealing",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "Cyclic",
    "CyclicLR",
    "Exponential",
    "ExponentialLR",
    "Factor",
    "InverseSquareRoot",
    "InverseSquareRootLR",
    "LRScheduler",
    "Lambda",
    "LambdaLR",
    "Linear",
    "LinearLR",
    "MultiStep",
    "MultiStepLR",
    "Multiplicative",
    "MultiplicativeLR",
    "OneCycle",
    "OneCycleLR",
    "Polynomial",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "SettingScheduler",
    "Step",
    "StepLR",
    "WarmRestarts",
    "WarmupCosine",
    "WarmupCosineLR",
    "WarmupStableDecay",
    "WarmupStableDecayLR",
]
