"""Every operation: its value on raw arrays, and its derivative beside it. Names and arguments are NumPy's.

element by element  add, subtract, multiply, divide, floor_divide, remainder, power, negative, positive, reciprocal,
                    square, sqrt, absolute, sign, exp, expm1, log, log1p, log2, sin, cos, tan, arcsin, arccos, arctan,
                    sinh, cosh, tanh, erf, maximum, minimum, clip, where, astype, to_device, ones_like, zeros_like
true or false       equal, not_equal, less, less_equal, greater, greater_equal, isfinite, isinf, isnan, logical_and,
                    logical_or, logical_not, bitwise_and, bitwise_or, bitwise_xor, invert, all, any
along axes          sum, mean, var, std, prod, max, min, argmax, argmin, cumsum, norm, logsumexp
shapes              reshape, ravel, squeeze, expand_dims, transpose, swapaxes, broadcast_to, concatenate, stack, split,
                    repeat, flip, roll, pad
parts               getitem (t[...]), take, take_along_axis, diagonal, trace, one_hot
products            matmul, dot, outer, einsum, linear
of networks         relu, leaky_relu, elu, gelu, silu, softplus, sigmoid, softmax, log_softmax, softmax_cross_entropy,
                    mean_squared_error, logistic_loss
"""

from minigrad.ops import elementwise, index, linalg, neural, reduce, shape
from minigrad.ops.elementwise import *
from minigrad.ops.index import *
from minigrad.ops.linalg import *
from minigrad.ops.neural import *
from minigrad.ops.reduce import *
from minigrad.ops.shape import *

from minigrad.ops.index import raw_key as raw_key  # isort: skip  (for the packages' own use)
from minigrad.ops.neural import check_labels as check_labels  # isort: skip

__all__ = [
    *elementwise.__all__, *index.__all__, *linalg.__all__, *neural.__all__, *reduce.__all__, *shape.__all__
]  # fmt: skip
