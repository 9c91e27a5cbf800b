"""Optimizers."""
from optim.adam import Adam
from optim.formula import execution, formula
from optim.optimizer import Optimizer
from optim.sgd import SGD
