"""Initial values, written into a tensor in place; each function returns the tensor.

Numbers are drawn in float64 on the host, from `generator` or else from the stream that `minigrad.manual_seed` seeds:
every device and type starts from the same ones. All functions raise TypeError for what is no Tensor, no number and no
generator, ValueError for numbers that are not finite.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import Tensor, backend
from minigrad.checks import FINITE, NONNEGATIVE, number, one_of

__all__ = [
    "calculate_gain", "constant_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "orthogonal_",
    "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Uniform in [a, b). Raises ValueError for a > b."""
    shape, stream = _shape("uniform_", tensor), backend.given_generator("uniform_", generator)
    if FINITE("uniform_: a", a) > FINITE("uniform_: b", b):
        raise ValueError(f"uniform_: expected a <= b, got a={a} and b={b}")
    return _fill(tensor, stream.uniform(a, b, shape))


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None
) -> Tensor:
    """Normal. Raises ValueError for a negative `std`."""
    shape, stream = _shape("normal_", tensor), backend.given_generator("normal_", generator)
    return _fill(tensor, stream.normal(FINITE("normal_: mean", mean), NONNEGATIVE("normal_: std", std), shape))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Normal, under the condition that the value lies in [a, b]. Raises ValueError unless a < b and std > 0."""
    name = "trunc_normal_"
    shape, stream = _shape(name, tensor), backend.given_generator(name, generator)
    a, b, mean = FINITE(f"{name}: a", a), FINITE(f"{name}: b", b), FINITE(f"{name}: mean", mean)
    if not (a < b and FINITE(f"{name}: std", std) > 0):
        raise ValueError(f"{name}: expected a < b and a positive std, got a={a}, b={b}, std={std}")
    low, high = (a - mean) / std, (b - mean) / std
    values = _between(low, high, math.prod(shape), stream)
    return _fill(tensor, np.clip(mean + std * values, a, b).reshape(shape))


def _between(low: float, high: float, n: int, stream: np.random.Generator) -> np.ndarray[Any, Any]:
    """n standard normal numbers that lie in [low, high], by rejection."""
    nearest = min(max(low, 0.0), high)  # where the density is largest
    likely = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2 > 0.25
    reach = 40 / (1 + abs(nearest))  # the density has vanished beyond
    left, right = max(low, nearest - reach), min(high, nearest + reach)
    values = np.empty(0)
    while len(values) < n:
        if likely:
            drawn = stream.standard_normal(2 * n)
            accepted = (drawn >= low) & (drawn <= high)
        else:
            drawn = stream.uniform(left, right, 2 * n)
            accepted = stream.random(2 * n) < np.exp((nearest - drawn) * (nearest + drawn) / 2)
        values = np.concatenate([values, drawn[accepted]])
    return values[:n]


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    return _fill(tensor, np.full(_shape("constant_", tensor), number("constant_: val", val)))


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere. Raises ValueError unless there are two axes."""
    shape = _shape("eye_", tensor)
    if len(shape) != 2:
        raise ValueError(f"eye_: expected a matrix, got shape {shape}")
    return _fill(tensor, np.eye(*shape))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Uniform in ±gain · √(6 / (fan_in + fan_out)).

    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Raises ValueError for fewer than two axes.
    """
    bound = NONNEGATIVE("xavier_uniform_: gain", gain) * math.sqrt(6 / sum(_fans("xavier_uniform_", tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Normal with mean 0 and standard deviation gain · √(2 / (fan_in + fan_out)); otherwise as `xavier_uniform_`."""
    gain = NONNEGATIVE("xavier_normal_: gain", gain)
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans("xavier_normal_", tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Uniform in ±gain · √(3 / fan), the gain that of `nonlinearity`.

    K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015.

    a: the negative slope of a leaky ReLU.
    mode: "fan_in" keeps the variance in the forward pass, "fan_out" in the backward pass.

    Raises ValueError for fewer than two axes and for another mode or nonlinearity.
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Normal with mean 0 and standard deviation gain / √fan; otherwise as `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: np.random.Generator | None = None) -> Tensor:
    """gain times a random matrix with orthonormal rows or columns, whichever are fewer; later axes count as columns.

    A. M. Saxe, J. L. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", 2013.

    Raises ValueError for fewer than two axes.
    """
    shape = _shape("orthogonal_", tensor)
    if len(shape) < 2:
        raise ValueError(f"orthogonal_: expected at least two axes, got shape {shape}")
    gain, stream = FINITE("orthogonal_: gain", gain), backend.given_generator("orthogonal_", generator)
    if not math.prod(shape):
        return tensor
    flat = stream.standard_normal((shape[0], math.prod(shape[1:])))
    wide = flat.shape[0] < flat.shape[1]
    q, r = np.linalg.qr(flat.T if wide else flat)
    q = q * np.sign(np.diag(r))  # without this the distribution would not be uniform
    return _fill(tensor, gain * (q.T if wide else q).reshape(shape))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity.

    1 for "linear", "sigmoid" and convolutions, 5/3 for "tanh", √2 for "relu", √(2 / (1 + slope²)) for "leaky_relu" with
    the slope `param` (0.01), 3/4 for "selu". Raises ValueError for any other.
    """
    one_of("leaky_relu", *_GAINS)("calculate_gain: nonlinearity", nonlinearity)
    if nonlinearity != "leaky_relu":
        return _GAINS[nonlinearity]
    return math.sqrt(2 / (1 + FINITE("calculate_gain: param", 0.01 if param is None else param) ** 2))


_GAINS = dict.fromkeys(("linear", "sigmoid", *(f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3))), 1.0)
_GAINS |= {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """Inputs and outputs of each unit: (fan_in, fan_out)."""
    shape = _shape(name, tensor)
    if len(shape) < 2:
        raise ValueError(f"{name}: fan in and fan out need at least two axes, got shape {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    one_of("fan_in", "fan_out")(f"{name}: mode", mode)
    fan = _fans(name, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan or 1)  # nothing is drawn where fan is 0


def _shape(name: str, tensor: Tensor) -> tuple[int, ...]:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got a {type(tensor).__name__}")
    return tensor.shape


def _fill(tensor: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    backend.copy_into(tensor.data, values.astype(tensor.dtype))
    tensor.mark_written()
    return tensor
