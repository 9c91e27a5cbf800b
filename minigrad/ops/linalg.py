"""Products of matrices and vectors."""

from __future__ import annotations

import math
import string
from functools import lru_cache
from typing import Any

import numpy as np

from minigrad import backend, cublas
from minigrad.ops import loops
from minigrad.ops.index import diagonal
from minigrad.ops.sequence import on_sequence, with_parameters
from minigrad.ops.shape import broadcast_to, expand_dims, reshape, swapaxes, transpose
from minigrad.tape import Variable, differentiable, explaining, fitted, raw

__all__ = ["dot", "einsum", "linear", "matmul", "outer"]


def matrix_product(a, b):
    """a · b of matrices, or of one and a vector. `dot` costs less than matmul to call, and gives the same bits."""
    if a.__class__ is b.__class__ is np.ndarray:
        return a.dot(b)
    if isinstance(a, Variable) or isinstance(b, Variable):
        return matmul(a, b)  # the method of a raw array would take a Tensor for one
    if backend.thread.recording is None and a.__class__ is b.__class__:
        return a.dot(b)
    return cublas.matmul(a, b)


def _by_first(g, x1_shape, x2):
    if x2.ndim == len(x1_shape) == 2:
        return matrix_product(g, x2.T)
    if x2.ndim == 1:  # (..., n) · (n,): an outer product
        return fitted(expand_dims(g, -1) * x2, x1_shape, g.dtype)
    if len(x1_shape) == 1:
        g = expand_dims(g, -2)
    product = matmul(g, swapaxes(x2, -1, -2))
    return fitted(product if len(x1_shape) > 1 else product[..., 0, :], x1_shape, g.dtype)


def _by_second(g, x1, x2_shape):
    if x1.ndim == len(x2_shape) == 2:
        return matrix_product(x1.T, g)
    if x1.ndim == 1 and len(x2_shape) == 1:
        return g * x1
    if x1.ndim == 1:  # (m,) · (..., m, n)
        return fitted(expand_dims(x1, -1) * expand_dims(g, -2), x2_shape, g.dtype)
    if len(x2_shape) == 1:
        product = matmul(swapaxes(x1, -1, -2), expand_dims(g, -1))
        return fitted(product[..., 0], x2_shape, g.dtype)
    return fitted(matmul(swapaxes(x1, -1, -2), g), x2_shape, g.dtype)


@differentiable(_by_first, _by_second)
def matmul(x1, x2):
    """Matrix product over the last two axes, in all of NumPy's combinations of ranks."""
    return cublas.matmul(x1, x2)


def _columns(b):
    """`b` as a matrix whose rows are the axis that `dot` sums over."""
    if b.ndim <= 2:
        return b if b.ndim == 2 else reshape(b, (len(b), 1))
    front = transpose(b, (b.ndim - 2, *range(b.ndim - 2), b.ndim - 1))
    return reshape(front, (b.shape[-2], math.prod(b.shape[:-2]) * b.shape[-1]))


def _dot_by_first(g, a_shape, b):
    if b.ndim == len(a_shape) == 2:
        return matrix_product(g, b.T)
    if not a_shape or not b.ndim:
        return fitted(g * b, a_shape, g.dtype)
    columns = _columns(b)
    g = reshape(g, (math.prod(a_shape[:-1]), columns.shape[1]))
    return reshape(matmul(g, columns.T), a_shape)


def _dot_by_second(g, a, b_shape):
    if a.ndim == len(b_shape) == 2:
        return matrix_product(a.T, g)
    if not a.ndim or not b_shape:
        return fitted(g * a, b_shape, g.dtype)
    n, others, last = a.shape[-1], b_shape[:-2], b_shape[-1:] if len(b_shape) > 1 else ()
    m = math.prod(a.shape[:-1])
    by_column = matmul(reshape(a, (m, n)).T, reshape(g, (m, math.prod(others + last))))
    order = (*range(1, len(others) + 1), 0, *range(len(others) + 1, len(b_shape)))
    return transpose(reshape(by_column, (n, *others, *last)), order)


@differentiable(_dot_by_first, _dot_by_second)
def dot(a, b):
    """Sum of products over the last axis of `a` and the last but one of `b` (its only one, for a vector)."""
    return matrix_product(a, b) if a.ndim == b.ndim == 2 else np.dot(a, b)


def _vector(x):
    return x if x.ndim == 1 else x.reshape(-1)


def _shaped(vector, shape):
    return vector if len(shape) == 1 else vector.reshape(shape)


@differentiable(
    lambda g, a_shape, b: _shaped(matrix_product(g, _vector(b)), a_shape),
    lambda g, a, b_shape: _shaped(matrix_product(g.T, _vector(a)), b_shape),
)
def outer(a, b):
    """All products of an element of `a` with one of `b`, each taken as one long vector."""
    return a.reshape(-1, 1) * b.reshape(1, -1)


def rows(x):
    """`x` of any rank as a matrix whose columns are its last axis."""
    return x if x.ndim == 2 else reshape(x, (-1, x.shape[-1]))


def ones_beside(g):
    """As many ones as `g` has rows: `g.T.dot(ones)` sums its columns at a quarter of the cost of `g.sum(0)`."""
    return backend.ones(len(g), raw(g))


def by_rows(x, weight):
    """x · weightᵀ of arrays."""
    return matrix_product(x, weight.T) if x.ndim == 2 else cublas.matmul(x, weight.T)


BY_LINEAR = (
    lambda g, weight: matrix_product(g, weight) if g.ndim == 2 else matmul(g, weight),
    lambda g, x: matrix_product(g.T, x) if g.ndim == 2 else matrix_product(rows(g).T, rows(x)),
    lambda g: matrix_product(g.T, ones_beside(g)) if g.ndim == 2 else rows(g).sum(axis=0),
)
"""The rules of `linear`: of x, weight and bias."""


@differentiable(*BY_LINEAR)
def linear(x, weight, bias=None):
    """x · weightᵀ + bias in one node: x (..., in), weight (out, in), bias (out,) or None, answer (..., out)."""
    out = by_rows(x, weight)
    if bias is not None:
        run = loops.compiled(loops.add_to_rows, out, bias) if out.ndim == 2 and bias.shape == out.shape[1:] else None
        if run is None:
            np.add(out, bias, out=out)
        else:
            run(out, bias)
    return out


@explaining
def einsum(subscripts, *operands, optimize=False) -> Any:
    """Sum of products of operands, as `subscripts` says, such as "ij,jk->ik"; NumPy's notation, "..." included.

    optimize: how several operands are multiplied, as for np.einsum: False in one loop, True by pairs.
    """
    inputs, output, plain = _explicit(subscripts, tuple([operand.ndim for operand in operands]))
    if plain is not None:
        return _einsum(operands, plain, optimize)
    unique = [_without_repeats(*pair) for pair in zip(inputs, operands, strict=True)]
    subscripts = f"{','.join([labels for labels, _ in unique])}->{output}"
    return _einsum([operand for _, operand in unique], subscripts, optimize)


@lru_cache(maxsize=256)
def _explicit(subscripts, ranks):
    """The labels of each operand and of the answer, where "..." and the answer may have been left out.

    Beside them the whole notation, or None where an operand has a label twice.
    """
    left, arrow, output = subscripts.replace(" ", "").replace("...", ".").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ranks):
        raise ValueError(f"einsum: {subscripts!r} describes {len(inputs)} operand(s), got {len(ranks)}")
    extra = [rank - len(labels.replace(".", "")) for labels, rank in zip(inputs, ranks, strict=True)]
    for i, (labels, rank) in enumerate(zip(inputs, ranks, strict=True)):
        if extra[i] < 0 or (extra[i] and "." not in labels):
            raise ValueError(f"einsum: {subscripts!r} does not fit operand {i}, which has {rank} axes")
    free = [label for label in string.ascii_letters if label not in subscripts]
    broadcast = "".join(free[: max(extra)])
    if not arrow:
        output = "." + "".join(sorted(label for label in set(left) - set(".,") if left.count(label) == 1))
    if broadcast and "." not in output:
        raise ValueError(f'einsum: {subscripts!r} has "..." among the operands but not in the answer')
    inputs = [labels.replace(".", broadcast[len(broadcast) - n :]) for labels, n in zip(inputs, extra, strict=True)]
    output = output.replace(".", broadcast)
    once = all(len(set(labels)) == len(labels) for labels in inputs)
    return inputs, output, f"{','.join(inputs)}->{output}" if once else None


def _without_repeats(labels, operand):
    """An operand with each label once: a diagonal is taken where it comes again."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            operand = diagonal(operand, 0, first, second)
            labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    return labels, operand


def _einsum_rule(i, inputs):
    def rule(g, subscripts, optimize, shape, *others):
        back, known, target = _way_back(subscripts, i)
        part = np.einsum(back, g, *others, optimize=optimize)
        if part.shape == shape and known == target:
            return part
        lengths = dict(zip(known, part.shape, strict=True))
        part = reshape(part, tuple(lengths.get(label, 1) for label in target))
        full = broadcast_to(part, np.broadcast_shapes(part.shape, shape))
        return fitted(full, shape, g.dtype)

    return with_parameters(["g", "subscripts", "optimize", f"{inputs[i]}_shape", *inputs[:i], *inputs[i + 1 :]], rule)


@lru_cache(maxsize=256)
def _way_back(subscripts, i):
    """The notation that gives the gradient of operand i; the labels that it has, and those that it should have."""
    left, output = subscripts.split("->")
    labels = left.split(",")
    target = labels.pop(i)
    known = "".join(label for label in target if label in output or any(label in rest for rest in labels))
    return f"{','.join([output, *labels])}->{known}", known, target


@on_sequence(_einsum_rule)
def _einsum(operands, subscripts, optimize):
    return np.einsum(subscripts, *operands, optimize=optimize)
