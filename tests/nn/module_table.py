"""One table of all layers and losses: for each, settings to build it with, and inputs to call it on.

What is here is checked by properties (test_properties.py), on strict arrays (test_strict.py) and against PyTorch
(tests/parity/test_nn.py). Settings and inputs are functions of a random generator and of sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

import minigrad as mg
import nn


@dataclass
class Sizes:
    """Examples, channels or classes, and length."""

    n: int = 4
    c: int = 3
    length: int = 2


@dataclass
class Case:
    """A layer or loss with certain settings on certain inputs.

    inputs: (rng, sizes) -> arrays; those of floating point are differentiated, as are the parameters.
    settings: of the constructor; values that are functions are called with (rng, sizes).
    positional: arguments that come before them, in the same way.
    exact: its gradient is the derivative of its value; not so for a row that is to get none.
    """

    inputs: Callable[[np.random.Generator, Sizes], list[np.ndarray]]
    settings: dict[str, Any] = field(default_factory=dict)
    positional: tuple[Any, ...] = ()
    training: bool = True
    exact: bool = True

    def arguments(self, rng, sizes):
        made = lambda value: value(rng, sizes) if callable(value) else value
        return tuple(map(made, self.positional)), {name: made(value) for name, value in self.settings.items()}

    def __str__(self):
        shown = ", ".join(f"{k}={'...' if callable(v) else v}" for k, v in self.settings.items())
        return f"{shown}{'' if self.training else ' eval'}"


def built(name, arguments, dtype=np.float64):
    """The module, with parameters that are all different."""
    positional, settings = arguments
    module = getattr(nn, name)(*positional, **settings).to(dtype=dtype)
    rng = np.random.default_rng(1)
    for parameter in module.parameters():
        mg.Tensor(parameter.data)[...] = rng.uniform(0.5, 1.5, parameter.shape) * rng.choice([-1, 1], parameter.shape)
    for buffer_name in ("running_mean", "running_var"):
        buffer = getattr(module, buffer_name, None)
        if buffer is not None:
            buffer[...] = rng.uniform(0.5, 1.5, buffer.shape)
    return module


def away(rng, shape, *kinks, low=-2.0, high=2.0):
    """Numbers none of which lies near a kink."""
    x = rng.uniform(low, high, shape)
    for kink in kinks:
        x = np.where(abs(x - kink) < 0.03, x + 0.07, x)
    return x


# --- layers


def vector(*kinks):
    return lambda rng, s: [away(rng, (s.c,), *kinks)]


def matrix(*kinks):
    return lambda rng, s: [away(rng, (s.n, s.c), *kinks)]


def cube(*kinks):
    return lambda rng, s: [away(rng, (s.n, s.c, s.length), *kinks)]


def scalar(*kinks):
    return lambda rng, s: [away(rng, (), *kinks)]


def activation(*kinks, settings=({},)):
    return [Case(form(*kinks), given) for given in settings for form in (matrix, cube, scalar)]


def indices(*shape):
    return lambda rng, s: [rng.integers(0, s.c, tuple(getattr(s, n) for n in shape))]


def along_axes():
    return [
        Case(form(), {"dim": dim})
        for form, ndim in ((vector, 1), (matrix, 2), (cube, 3))
        for dim in (None, *range(-ndim, ndim))
    ]


channels = lambda rng, s: s.c

LAYERS = {
    "BatchNorm1d": [
        Case(form(), settings, (channels,), training)
        for form in (matrix, cube)
        for training in (True, False)
        for settings in (
            {}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}, {"momentum": 0.3, "eps": 0.1},
            {"bias": False},
        )
    ],
    "Dropout": [
        Case(matrix(), {"p": 0.0}),
        Case(matrix(), {"p": 1.0}),
        Case(matrix(), {"p": 0.3}, training=False),
        Case(cube(), {}, training=False),
    ],
    "ELU": activation(0.0, settings=({}, {"alpha": 0.5})),
    "Embedding": [
        Case(indices("n", "length"), {}, (channels, 2)),
        Case(indices("n"), {"padding_idx": 1}, (channels, 2), exact=False),
        Case(indices("n"), {"padding_idx": -1}, (channels, 2), exact=False),
        Case(indices(), {}, (channels, 3)),
        Case(indices("n"), {"max_norm": 1.1, "padding_idx": 0}, (channels, 2), exact=False),
        Case(indices("n", "length"), {"max_norm": 0.9, "norm_type": 1.0}, (channels, 3), exact=False),
        Case(indices("n", "length"), {"scale_grad_by_freq": True}, (channels, 2), exact=False),
        Case(indices("n"), {"scale_grad_by_freq": True, "padding_idx": 1}, (channels, 2), exact=False),
    ],
    "Flatten": [
        Case(matrix()), Case(cube()), Case(cube(), {"start_dim": 0}), Case(cube(), {"end_dim": 1}),
        Case(scalar(), {"start_dim": 0}),
    ],
    "GELU": activation(settings=({}, {"approximate": "tanh"})),
    "Identity": activation(),
    "LayerNorm": [
        Case(cube(), settings, (shape,))
        for shape in (lambda rng, s: s.length, lambda rng, s: (s.c, s.length), lambda rng, s: [s.n, s.c, s.length])
        for settings in ({}, {"eps": 0.1}, {"bias": False}, {"elementwise_affine": False})
    ],
    "LeakyReLU": activation(0.0, settings=({}, {"negative_slope": 0.2})),
    "Linear": [
        Case(form, given, (channels, 2))
        for form in (matrix(), vector(), lambda rng, s: [rng.normal(size=(2, s.n, s.c))])
        for given in ({}, {"bias": False})
    ],
    "LogSoftmax": along_axes(),
    "ReLU": activation(0.0),
    "SiLU": activation(),
    "Sigmoid": activation(),
    "Softmax": along_axes(),
    "Softplus": activation(0.5, settings=({}, {"beta": 2.0}, {"beta": 2.0, "threshold": 1.0})),
    "Tanh": activation(),
}  # fmt: skip


# --- losses

REDUCTIONS = ("mean", "sum", "none")
FORMS = {"vector": vector, "matrix": matrix, "cube": cube}


def options(**choices):
    """Settings for every combination of the choices, and of the reductions."""
    choices = {"reduction": REDUCTIONS, **choices}
    for values in product(*choices.values()):
        given = dict(zip(choices, values, strict=True))
        yield {name: value for name, value in given.items() if value is not None}


def regression(*kinks):
    """Input and target of one shape, whose difference keeps away from the kinks."""

    def inputs(rng, s):
        target = rng.normal(size=(s.n, s.c))
        return [target + away(rng, target.shape, *kinks), target]

    return inputs


def probabilities(rng, shape):
    return rng.uniform(0.05, 0.95, shape)


def simplex(rng, shape, axis):
    p = rng.uniform(0.1, 1, shape)
    return p / p.sum(axis=axis, keepdims=True)


def of_classes(form, soft):
    """Scores, and labels or probabilities, for vectors, matrices or more axes."""

    def inputs(rng, s):
        (x,) = form()(rng, s)
        axis = min(1, x.ndim - 1)
        shape = x.shape[:axis] + x.shape[axis + 1 :]
        return [x, simplex(rng, x.shape, axis) if soft else labels(rng, shape, s.c)]

    return inputs


def labels(rng, shape, classes):
    """Labels, 0 among them and where there are more, 1."""
    drawn = np.asarray(rng.integers(0, classes, shape))
    drawn.reshape(-1)[:2] = [0, 1][: drawn.size]
    return drawn


def per_class(rng, s):
    return rng.uniform(0.5, 2, s.c)


def per_element(rng, s):
    return rng.uniform(0.5, 2, (s.n, s.c))


def binary(from_logits):
    def inputs(rng, s):
        x = rng.normal(size=(s.n, s.c)) if from_logits else probabilities(rng, (s.n, s.c))
        return [x, probabilities(rng, (s.n, s.c))]

    return inputs


def divergence(log_target):
    def inputs(rng, s):
        target = simplex(rng, (s.n, s.c), 1)
        return [np.log(simplex(rng, (s.n, s.c), 1)), np.log(target) if log_target else target]

    return inputs


def pairs(margin, single=False):
    """Two vectors of each row and a sign: the cosine keeps away from the margin."""

    def inputs(rng, s):
        while True:
            a, b = rng.normal(size=(2, s.n, s.c + 1))
            cosine = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
            if (abs(cosine - margin) > 0.03).all() and (abs(cosine) < 0.98).all():
                sign = np.where(np.arange(s.n) % 2, 1, -1)
                return [a[0], b[0], sign[0]] if single else [a, b, sign]

    return inputs


def hinged(margin):
    def inputs(rng, s):
        return [away(rng, (s.n, s.c), margin), rng.choice([-1, 1], (s.n, s.c))]

    return inputs


LOSSES = {
    "BCELoss": [Case(binary(False), given) for given in options(weight=(None, per_class, per_element))],
    "BCEWithLogitsLoss": [
        Case(binary(True), given)
        for given in options(weight=(None, per_class, per_element), pos_weight=(None, per_class, per_element))
    ],
    "CosineEmbeddingLoss": [
        Case(pairs(margin, single), {"margin": margin, **given})
        for given in options()
        for margin in (0.0, 0.3, -0.2)
        for single in (False, True)
    ],
    "CrossEntropyLoss": [
        *(
            Case(of_classes(form, False), given)
            for form in FORMS.values()
            for given in options(weight=(None, per_class), ignore_index=(None, 1), label_smoothing=(None, 0.2))
        ),
        *(
            Case(of_classes(form, True), given)
            for form in FORMS.values()
            for given in options(weight=(None, per_class), label_smoothing=(None, 0.2))
        ),
    ],
    "HingeEmbeddingLoss": [Case(hinged(m), {"margin": m, **given}) for given in options() for m in (1.0, 0.4)],
    "HuberLoss": [Case(regression(d, -d), {**given, "delta": d}) for given in options() for d in (1.0, 0.4)],
    "KLDivLoss": [
        Case(divergence(log), {"reduction": reduction, "log_target": log})
        for reduction in (*REDUCTIONS, "batchmean")
        for log in (False, True)
    ],
    "L1Loss": [Case(regression(0.0), given) for given in options()],
    "MSELoss": [Case(regression(), given) for given in options()],
    "NLLLoss": [
        Case(of_classes(form, False), given)
        for form in FORMS.values()
        for given in options(weight=(None, per_class), ignore_index=(None, 1))
    ],
    "SmoothL1Loss": [
        *(Case(regression(b, -b), {**given, "beta": b}) for given in options() for b in (1.0, 0.4)),
        *(Case(regression(0.0), {**given, "beta": 0.0}) for given in options()),
    ],
}

TABLE = LAYERS | LOSSES

CONTAINERS = {"ModuleDict", "ModuleList", "Sequential"}
"""Modules that compute nothing themselves: test_container.py."""

FUNCTIONS = {
    "batch_norm": "BatchNorm1d", "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss", "cosine_embedding_loss": "CosineEmbeddingLoss",
    "cross_entropy": "CrossEntropyLoss", "dropout": "Dropout", "elu": "ELU", "embedding": "Embedding", "gelu": "GELU",
    "hinge_embedding_loss": "HingeEmbeddingLoss", "huber_loss": "HuberLoss", "kl_div": "KLDivLoss", "l1_loss": "L1Loss",
    "layer_norm": "LayerNorm", "leaky_relu": "LeakyReLU", "linear": "Linear", "log_softmax": "LogSoftmax",
    "mse_loss": "MSELoss", "nll_loss": "NLLLoss", "relu": "ReLU", "sigmoid": "Sigmoid", "silu": "SiLU",
    "smooth_l1_loss": "SmoothL1Loss", "softmax": "Softmax", "softplus": "Softplus", "tanh": "Tanh",
}  # fmt: skip
"""The functions, and the modules through which they are tested."""
