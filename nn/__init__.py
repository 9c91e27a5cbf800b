"""Layers, losses and mini-batches on minigrad tensors."""

from nn import data, functional, init
from nn.activation import ReLU, Sigmoid, Tanh
from nn.container import Sequential
from nn.linear import Linear
from nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from nn.module import Module
from nn.parameter import Buffer, Parameter

__all__ = [
    "BCEWithLogitsLoss",
    "Buffer",
    "CrossEntropyLoss",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "data",
    "functional",
    "init",
]
