"""Layers, losses and mini-batches on minigrad's tensors, with PyTorch's names, arguments and defaults.

models       Module, the base of all; Sequential, ModuleList, ModuleDict; Parameter, Buffer; functional_call
layers       Linear, Embedding, LayerNorm, BatchNorm1d, Dropout, Flatten, Identity
activations  ReLU, LeakyReLU, ELU, GELU, SiLU, Sigmoid, Tanh, Softplus, Softmax, LogSoftmax
losses       CrossEntropyLoss, NLLLoss, KLDivLoss; MSELoss, L1Loss, HuberLoss, SmoothL1Loss; BCELoss, BCEWithLogitsLoss;
             CosineEmbeddingLoss, HingeEmbeddingLoss
modules      data (DataLoader), functional (all of these as functions), init (starts of weights), utils (clipping,
             accumulation)

>>> import minigrad as mg, nn
>>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
>>> model(mg.tensor([[1.0, 2.0, 3.0, 4.0]])).shape
(1, 3)
"""

from nn import data, functional, init, utils
from nn.activation import ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from nn.container import ModuleDict, ModuleList, Sequential
from nn.dropout import Dropout
from nn.embedding import Embedding
from nn.flatten import Flatten, Identity
from nn.linear import Linear
from nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CosineEmbeddingLoss,
    CrossEntropyLoss,
    HingeEmbeddingLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from nn.module import Module
from nn.norm import BatchNorm1d, LayerNorm
from nn.parameter import Buffer, Parameter
from nn.stateless import functional_call

__all__ = [
    "ELU",
    "GELU",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "Buffer",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "data",
    "functional",
    "functional_call",
    "init",
    "utils",
]  # fmt: skip
