"""One table of all operations: for each, how to draw a call, and what NumPy gives for it.

SMOOTH lists those that have derivatives, CONSTANT those that have none.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
from minigrad import ops


@dataclass
class Example:
    """One call: `function` of these arrays (or of tensors that hold them), and what it should give.

    exact: the reference is one NumPy call, so that the bits must agree.
    """

    function: Callable[..., Any]
    arrays: list[Any]
    reference: Callable[..., Any]
    exact: bool = True


def laid_out(array, layout):
    """The same values, otherwise arranged in memory."""
    if not array.ndim:
        return array  # one element has no order
    if layout == "fortran":
        return np.asfortranarray(array)
    flips = (slice(None, None, -1),) * array.ndim
    if layout == "reversed":
        return array[flips].copy()[flips]
    if layout == "strided":
        wide = np.full([2 * n for n in array.shape], np.nan, array.dtype)
        view = wide[(slice(None, None, 2),) * array.ndim]
        view[...] = array
        return view
    return array


layouts = st.sampled_from(["C", "fortran", "reversed", "strided"])
seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(0, 3)


def shapes(least=0, most=3, side=lengths):
    """Shapes of `least` to `most` axes, empty ones among them."""
    return st.lists(side, min_size=least, max_size=most).map(tuple)


nonempty = st.integers(1, 3)


@st.composite
def arrays(draw, shapes, low=-2.0, high=2.0, avoid=(0.0,)):
    """Arrays of such shapes, in any layout: elements differ, and none is near a number to avoid."""
    rng = np.random.default_rng(draw(seeds))
    sizes = [math.prod(shape) for shape in shapes]
    n = sum(sizes)
    pool = low + (high - low) * rng.permutation((np.arange(n) + rng.uniform(0.1, 0.9, n)) / max(n, 1))
    for kink in avoid:
        pool = np.where(abs(pool - kink) < 0.02, pool + math.copysign(0.03, rng.random() - 0.5), pool)
    parts = np.split(pool, np.cumsum(sizes)[:-1])
    return [laid_out(part.reshape(shape), draw(layouts)) for part, shape in zip(parts, shapes, strict=True)]


@st.composite
def broadcastable(draw, count=2):
    """Shapes that NumPy broadcasts against each other."""
    full = draw(shapes())
    made = []
    for _ in range(count):
        cut = full[draw(st.integers(0, len(full))) :]
        made.append(tuple(1 if draw(st.booleans()) else n for n in cut))
    return made


@st.composite
def axes(draw, ndim, none=True, several=True):
    """An axis, counted from either end, several, or None for all."""
    if none and draw(st.booleans()):
        return None
    if not ndim:
        return None if none else ()
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    chosen = [axis - ndim if draw(st.booleans()) else axis for axis in chosen]
    return tuple(chosen) if several and draw(st.booleans()) else chosen[0]


def elementwise(function, reference, count=1, low=-2.0, high=2.0, avoid=(0.0,), exact=True):
    """Calls of a function of `count` arrays that are broadcast."""

    @st.composite
    def examples(draw):
        return Example(function, draw(arrays(draw(broadcastable(count)), low, high, avoid)), reference, exact)

    return examples()


def with_scalars(function, reference, low=-2.0, high=2.0, scalars=(2, -1.5)):
    """Calls of a function of two arrays, or of one and a Python number on either side."""

    @st.composite
    def examples(draw):
        form = draw(st.sampled_from(["arrays", "left", "right"]))
        if form == "arrays":
            return Example(function, draw(arrays(draw(broadcastable(2)), low, high)), reference)
        number = draw(st.sampled_from(scalars))
        xs = draw(arrays([draw(shapes())], low, high))
        if form == "left":
            return Example(lambda x: function(number, x), xs, lambda x: reference(number, x))
        return Example(lambda x: function(x, number), xs, lambda x: reference(x, number))

    return examples()


def reduction(function, reference, side=lengths, options=None, low=-2.0, high=2.0, exact=True, several=True, least=0):
    """Calls of a reduction, over one axis, several, or all."""

    @st.composite
    def examples(draw):
        shape = draw(shapes(least=least, side=side))
        given = {"axis": draw(axes(len(shape), several=several)), "keepdims": draw(st.booleans())}
        given |= draw(st.fixed_dictionaries(options or {}))
        xs = draw(arrays([shape], low, high))
        return Example(lambda x: function(x, **given), xs, lambda x: reference(x, **given), exact)

    return examples()


def calls(build, exact=True):
    """Calls from a function of `draw` that gives (function, shapes, reference)."""

    @st.composite
    def examples(draw):
        function, wanted, reference = build(draw)
        return Example(function, draw(arrays(wanted)), reference, exact)

    return examples()


def both(draw, name, *options, shape, **named):
    """An operation of one array that is called just as NumPy's function of that name."""
    ours, numpys = getattr(mg, name), getattr(np, name)
    return lambda x: ours(x, *options, **named), [shape], lambda x: numpys(x, *options, **named)


# --- shape


def _reshape(draw):
    shape = draw(shapes())
    new = draw(st.permutations(shape)) if draw(st.booleans()) or 0 in shape else [-1]
    return both(draw, "reshape", tuple(new), shape=shape)


def _transpose(draw):
    shape = draw(shapes())
    order = draw(st.permutations(range(len(shape))))
    return both(draw, "transpose", draw(st.sampled_from([None, tuple(order)])), shape=shape)


def _swapaxes(draw):
    shape = draw(shapes(least=1))
    axis = st.integers(-len(shape), len(shape) - 1)
    return both(draw, "swapaxes", draw(axis), draw(axis), shape=shape)


def _squeeze(draw):
    shape = draw(shapes(side=st.integers(0, 2)))
    ones = [i - draw(st.sampled_from([0, len(shape)])) for i, n in enumerate(shape) if n == 1]
    return both(draw, "squeeze", draw(st.sampled_from([None, tuple(ones), *ones])), shape=shape)


def _expand_dims(draw):
    shape = draw(shapes())
    axis = draw(st.sampled_from([0, -1, len(shape), (0, -1)]))
    return both(draw, "expand_dims", axis, shape=shape)


def _broadcast_to(draw):
    small = draw(broadcastable(1))[0]
    target = draw(shapes(most=1)) + tuple(draw(lengths) if n == 1 else n for n in small)
    return both(draw, "broadcast_to", target, shape=small)


def _joined(name):
    def build(draw):
        base = list(draw(shapes(least=name == "concatenate")))
        n = draw(st.integers(1, 4))
        rank = len(base) + (name == "stack")
        axis = draw(st.integers(-rank, rank - 1))
        wanted = [list(base) for _ in range(n)]
        if name == "concatenate":
            if draw(st.booleans()):
                axis = draw(st.sampled_from([None, axis]))
            for shape in wanted:
                shape[axis or 0] = draw(lengths)
        ours, numpys = getattr(mg, name), getattr(np, name)
        return lambda *xs: ours(xs, axis=axis), list(map(tuple, wanted)), lambda *xs: numpys(xs, axis=axis)

    return build


def _split(draw):
    shape = list(draw(shapes(least=1)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    parts = draw(st.sampled_from([1, 2, 3, [1], [0, 2, 2], [1, 5], [-1]]))
    if isinstance(parts, int):
        shape[axis] *= parts
    return both(draw, "split", parts, axis, shape=tuple(shape))


def _pad(draw):
    mode = draw(st.sampled_from(["constant", "constant", "edge", "reflect", "symmetric", "wrap"]))
    shape = draw(shapes(side=lengths if mode == "constant" else nonempty))
    width = st.integers(0, 3)
    pair = st.tuples(width, width)
    widths = st.lists(pair, min_size=len(shape), max_size=len(shape)).filter(bool)
    pad_width = draw(st.one_of(width, pair, widths) if shape else width)
    options = {"constant_values": draw(st.sampled_from([0, 1.5]))} if mode == "constant" else {}
    return both(draw, "pad", pad_width, mode=mode, shape=shape, **options)


def _flip(draw):
    shape = draw(shapes())
    return both(draw, "flip", draw(axes(len(shape))), shape=shape)


def _roll(draw):
    shape = draw(shapes())
    shift = st.integers(-4, 4)
    axis = draw(axes(len(shape)))
    several = isinstance(axis, tuple)
    return both(draw, "roll", tuple(draw(shift) for _ in axis) if several else draw(shift), axis, shape=shape)


def _repeat(draw):
    shape = draw(shapes())
    axis = draw(axes(len(shape), several=False))
    n = math.prod(shape) if axis is None else shape[axis]
    repeats = draw(st.one_of(lengths, st.lists(lengths, min_size=n, max_size=n) if n != 1 else lengths))
    return both(draw, "repeat", repeats, axis, shape=shape)


# --- index

KEYS = [
    (), 0, -1, ..., None, slice(None), slice(1, None), slice(None, None, -1), slice(None, None, 2), (0, 1), (..., 0),
    (slice(None), -1), (None, ..., slice(0, 2)), [0, 2, 2], ([0, 1, 0], [1, 1, 1]), (slice(None), [2, 0, 2]),
    ([0, 2], slice(None), [1, 1]), (0, [1, 1]), np.array([[0, 1], [1, 0]]), np.array([True, False, True]),
    np.arange(12).reshape(3, 4) % 3 == 0, np.int64(1), (np.array(0), np.array([1, -1])),
]  # fmt: skip


def _getitem(draw):
    key = draw(st.sampled_from(KEYS))
    return lambda x: ops.getitem(x, key), [(3, 4, 2)], lambda x: x[key]


def _take(draw):
    shape = draw(shapes(least=1, side=nonempty))
    axis = draw(axes(len(shape), several=False))
    n = math.prod(shape) if axis is None else shape[axis]
    index = st.integers(-n, n - 1)
    indices = draw(st.one_of(index, st.lists(index, max_size=4), st.just([[0, -1], [n - 1, 0]])))
    if draw(st.booleans()):
        indices = np.array(indices, dtype=np.int64)
    return both(draw, "take", indices, axis, shape=shape)


def _take_along_axis(draw):
    shape = draw(shapes(least=1, side=nonempty))
    axis = draw(axes(len(shape), several=False))
    where = list(shape) if axis is not None else [math.prod(shape)]
    n = where[axis or 0]
    where[axis or 0] = draw(lengths)
    if axis is not None and len(shape) > 1 and draw(st.booleans()):
        where[(axis + 1) % len(shape)] = 1  # broadcast
    indices = np.random.default_rng(draw(seeds)).integers(-n, n, where)
    return both(draw, "take_along_axis", indices, axis, shape=shape)


def _diagonal(name):
    def build(draw):
        shape = draw(shapes(least=2))
        a, b = draw(st.permutations(range(len(shape))))[:2]
        return both(draw, name, draw(st.integers(-2, 2)), a - draw(st.sampled_from([0, len(shape)])), b, shape=shape)

    return build


# --- products


def _matmul(draw):
    m, k, n = draw(lengths), draw(lengths), draw(lengths)
    kind = draw(st.sampled_from(["vv", "mv", "vm", "mm"]))
    batch = draw(broadcastable(2))
    first = (k,) if kind[0] == "v" else (*batch[0], m, k)
    second = (k,) if kind[1] == "v" else (*batch[1], k, n)
    return mg.matmul, [first, second], np.matmul


def _dot(draw):
    k = draw(lengths)
    first = draw(st.sampled_from([(), (k,), (2, k), (2, 3, k)]))
    second = draw(st.sampled_from([(), (k,), (k, 3), (2, k, 3), (2, 1, k, 2)]))
    return mg.dot, [first, second], np.dot


def _einsum(draw):
    notations = [
        "ij,jk->ik", "ij,jk", "ji,kj->ik", "ii->i", "ii", "iij->ji", "ij->", "ij->j", "ij", "ba", "i,j->ij",
        "i,i", "i,i->i", "bij,bjk->bik", "...i,...i->...", "...ij->...ji", "...ij,...jk", "ij,ij,ij->i",
        "iij,j->i", "i->", ",i->i", "ij,k->i", "i...->...", "iji,jk->k",
    ]  # fmt: skip
    notation = draw(st.sampled_from(notations))
    size = {label: draw(lengths) for label in "abijk"}
    operands = notation.split("->")[0].split(",")
    batches = draw(broadcastable(len(operands)))
    wanted = []
    for labels, batch in zip(operands, batches, strict=True):
        before, dots, after = labels.partition("...")
        wanted.append((*(size[x] for x in before), *(batch if dots else ()), *(size[x] for x in after)))
    optimize = draw(st.booleans())
    return (
        lambda *xs: mg.einsum(notation, *xs, optimize=optimize),
        wanted,
        lambda *xs: np.einsum(notation, *xs, optimize=optimize),
    )


def _linear(draw):
    n, m = draw(nonempty), draw(nonempty)
    lead = draw(shapes(most=3))
    wanted = [(*lead, n), (m, n), (m,)][: draw(st.sampled_from([2, 3]))]
    return mg.linear, wanted, lambda x, weight, bias=0.0: x @ weight.T + bias


# --- neural


def logistic(x):
    return 1 / (1 + np.exp(-x))


def phi(x):
    return np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)) / 2, otypes=[float])(x)


def _gelu(draw):
    approximate = draw(st.sampled_from(["none", "tanh"]))

    def reference(x):
        if approximate == "none":
            return x * phi(x)
        return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2

    return lambda x: mg.gelu(x, approximate), [draw(shapes())], reference


def _sloped(name, option, other_side):
    def build(draw):
        value = draw(st.sampled_from([0.01, 0.5, 1.7]))
        call = getattr(mg, name)
        return (
            lambda x: call(x, **{option: value}),
            [draw(shapes())],
            lambda x: np.where(x > 0, x, other_side(x, value)),
        )

    return build


def softmax(x, axis):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def _softmax(name, reference):
    def build(draw):
        shape = draw(shapes(side=nonempty))
        axis = draw(axes(len(shape)))
        return lambda x: getattr(mg, name)(x, axis=axis), [shape], lambda x: reference(x, axis)

    return build


def _cross_entropy(draw):
    n, classes = draw(nonempty), draw(nonempty)
    target = np.random.default_rng(draw(seeds)).integers(0, classes, n)
    return (
        lambda x: mg.softmax_cross_entropy(x, target),
        [(n, classes)],
        lambda x: -np.log(softmax(x, 1))[np.arange(n), target].mean(),
    )


def _loss(name, reference):
    def build(draw):
        shape = draw(shapes(side=nonempty))
        return getattr(mg, name), [shape, shape], reference

    return build


# --- reductions


def _norm(draw):
    shape = draw(shapes(side=nonempty, least=1))
    axis = draw(axes(len(shape), several=len(shape) > 1))
    if isinstance(axis, tuple) and (len(axis) > 2):
        axis = axis[:2]
    count = len(shape) if axis is None else len(axis) if isinstance(axis, tuple) else 1
    orders = {1: [None, 0, 1, 2, 3, 1.5, -1, np.inf, -np.inf], 2: [None, "fro", 1, -1, np.inf, -np.inf]}.get(
        count, [None]
    )
    options = {"ord": draw(st.sampled_from(orders)), "axis": axis, "keepdims": draw(st.booleans())}
    return lambda x: mg.norm(x, **options), [shape], lambda x: np.linalg.norm(x, **options)


def _cumsum(draw):
    shape = draw(shapes())
    return both(draw, "cumsum", draw(axes(len(shape), several=False)), shape=shape)


@st.composite
def _variance(draw, name):
    example = draw(reduction(getattr(mg, name), getattr(np, name), nonempty, exact=False))
    shape = example.arrays[0].shape
    axis = draw(axes(len(shape)))
    if np.var(example.arrays[0], axis=axis, keepdims=True).size == example.arrays[0].size:
        return example if name == "var" else draw(reduction(mg.std, np.std, st.integers(2, 3), exact=False, least=1))
    options = {"axis": axis, "ddof": draw(st.integers(0, 1)), "keepdims": draw(st.booleans())}
    ours, numpys = getattr(mg, name), getattr(np, name)
    return Example(lambda x: ours(x, **options), example.arrays, lambda x: numpys(x, **options), exact=False)


def _with_zeros(examples):
    """The same calls, with some elements 0."""

    def zeroed(example, mask):
        xs = [x * (np.arange(x.size).reshape(x.shape) % 3 != mask) for x in example.arrays]
        return Example(example.function, xs, example.reference, example.exact)

    return st.builds(zeroed, examples, st.integers(0, 3))


def logsumexp(x, axis, keepdims):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


@st.composite
def _where(draw):
    condition, *rest = draw(broadcastable(3))
    mask = np.random.default_rng(draw(seeds)).random(condition) < 0.5
    xs = draw(arrays(rest))
    if draw(st.booleans()):
        return Example(lambda x: mg.where(mask, x, 1.5), xs[:1], lambda x: np.where(mask, x, 1.5))
    return Example(lambda x, y: mg.where(mask, x, y), xs, lambda x, y: np.where(mask, x, y))


@st.composite
def _clip(draw):
    if draw(st.booleans()):
        xs = draw(arrays(draw(broadcastable(3))))
        return Example(mg.clip, xs, np.clip)
    low, high = draw(st.sampled_from([(-1.0, 1.0), (None, 0.5), (-0.5, None), (1, -1)]))
    xs = draw(arrays([draw(shapes())], avoid=(-1.0, -0.5, 0.5, 1.0)))
    return Example(lambda x: mg.clip(x, low, high), xs, lambda x: np.clip(x, low, high))


@st.composite
def _power(draw):
    return draw(
        st.one_of(
            elementwise(mg.power, lambda x, y: x**y, 2, low=0.1, high=3),
            with_scalars(mg.power, lambda x, y: x**y, low=0.2, high=3, scalars=(2, 0, 1, 3, 0.5, 1.5)),
            elementwise(lambda x: x ** np.array([3, 0, 1]), lambda x: x ** np.array([3, 0, 1])).filter(
                lambda e: e.arrays[0].ndim == 0 or e.arrays[0].shape[-1] in (1, 3)
            ),
        )
    )


_UNARY = {  # name: where to take x from, and what to keep away from
    "absolute": {}, "negative": {}, "positive": {}, "sign": {}, "exp": {}, "expm1": {}, "square": {}, "sin": {},
    "cos": {}, "tan": {"low": -1.2, "high": 1.2}, "arcsin": {"low": -0.9, "high": 0.9},
    "arccos": {"low": -0.9, "high": 0.9}, "arctan": {}, "sinh": {}, "cosh": {}, "tanh": {},
    "reciprocal": {"low": 0.3}, "log": {"low": 0.2}, "log2": {"low": 0.2}, "log1p": {"low": -0.8},
    "sqrt": {"low": 0.2},
}  # fmt: skip

SMOOTH: dict[str, Any] = {
    **{name: elementwise(getattr(mg, name), getattr(np, name), **domain) for name, domain in _UNARY.items()},
    "add": with_scalars(mg.add, np.add),
    "subtract": with_scalars(mg.subtract, np.subtract),
    "multiply": with_scalars(mg.multiply, np.multiply),
    "divide": with_scalars(mg.divide, np.divide, low=0.3),
    "floor_divide": elementwise(
        lambda x: mg.floor_divide(x, 0.7), lambda x: np.floor_divide(x, 0.7), avoid=(0, 0.7, 1.4)
    ),
    "remainder": elementwise(lambda x: mg.remainder(x, 0.7), lambda x: np.remainder(x, 0.7), avoid=(0, 0.7, 1.4)),
    "power": _power(),
    "maximum": with_scalars(mg.maximum, np.maximum, scalars=(0,)),
    "minimum": with_scalars(mg.minimum, np.minimum, scalars=(0,)),
    "where": _where(),
    "clip": _clip(),
    "erf": elementwise(mg.erf, np.vectorize(math.erf, otypes=[float]), exact=False),
    "astype": elementwise(lambda x: mg.astype(x, x.dtype), np.copy),
    "to_device": elementwise(lambda x: mg.to_device(x, "cpu"), np.copy),
    "reshape": calls(_reshape),
    "ravel": calls(lambda draw: both(draw, "ravel", shape=draw(shapes()))),
    "transpose": calls(_transpose),
    "swapaxes": calls(_swapaxes),
    "squeeze": calls(_squeeze),
    "expand_dims": calls(_expand_dims),
    "broadcast_to": calls(_broadcast_to),
    "concatenate": calls(_joined("concatenate")),
    "stack": calls(_joined("stack")),
    "split": calls(_split),
    "pad": calls(_pad),
    "flip": calls(_flip),
    "roll": calls(_roll),
    "repeat": calls(_repeat),
    "getitem": calls(_getitem),
    "take": calls(_take),
    "take_along_axis": calls(_take_along_axis),
    "diagonal": calls(_diagonal("diagonal")),
    "trace": calls(_diagonal("trace")),
    "matmul": calls(_matmul),
    "dot": calls(_dot),
    "outer": elementwise(mg.outer, np.outer, 2),
    "einsum": calls(_einsum, exact=False),
    "linear": calls(_linear, exact=False),
    "relu": elementwise(mg.relu, lambda x: np.maximum(x, 0)),
    "leaky_relu": calls(_sloped("leaky_relu", "negative_slope", lambda x, slope: x * slope)),
    "elu": calls(_sloped("elu", "alpha", lambda x, alpha: alpha * np.expm1(np.minimum(x, 0))), exact=False),
    "sigmoid": elementwise(mg.sigmoid, logistic, exact=False),
    "silu": elementwise(mg.silu, lambda x: x * logistic(x), exact=False),
    "softplus": elementwise(mg.softplus, lambda x: np.log1p(np.exp(x)), exact=False),
    "gelu": calls(_gelu, exact=False),
    "softmax": calls(_softmax("softmax", softmax), exact=False),
    "log_softmax": calls(_softmax("log_softmax", lambda x, axis: np.log(softmax(x, axis))), exact=False),
    "softmax_cross_entropy": calls(_cross_entropy, exact=False),
    "mean_squared_error": calls(_loss("mean_squared_error", lambda a, b: ((a - b) ** 2).mean()), exact=False),
    "logistic_loss": calls(
        _loss("logistic_loss", lambda x, t: -t * np.log(logistic(x)) - (1 - t) * np.log(logistic(-x))), exact=False
    ),
    "sum": reduction(mg.sum, np.sum),
    "mean": reduction(mg.mean, np.mean, nonempty),
    "max": reduction(mg.max, np.max, nonempty),
    "min": reduction(mg.min, np.min, nonempty),
    "prod": _with_zeros(reduction(mg.prod, np.prod)),
    "var": _variance("var"),
    "std": _variance("std"),
    "norm": calls(_norm),
    "cumsum": calls(_cumsum),
    "logsumexp": reduction(mg.logsumexp, logsumexp, nonempty, exact=False),
}


@st.composite
def _one_hot(draw):
    shape = draw(shapes())
    indices = np.random.default_rng(draw(seeds)).integers(0, 4, shape)
    return Example(lambda i: mg.one_hot(i, 4, np.float64), [indices], lambda i: np.eye(4)[i])


def whole_numbers(function, reference, count=2, high=4):
    """Calls of a function of integer arrays, or of truth values where high is 2."""

    @st.composite
    def examples(draw):
        rng = np.random.default_rng(draw(seeds))
        xs = [rng.integers(0, high, shape) for shape in draw(broadcastable(count))]
        return Example(function, xs if high > 2 else [x > 0 for x in xs], reference)

    return examples()


_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or")
_BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor")
CONSTANT: dict[str, Any] = {
    **{name: whole_numbers(getattr(mg, name), getattr(np, name)) for name in _COMPARISONS},
    **{
        name: st.one_of([whole_numbers(getattr(mg, name), getattr(np, name), high=high) for high in (2, 4)])
        for name in _BITWISE
    },
    "invert": st.one_of([whole_numbers(mg.invert, np.invert, 1, high) for high in (2, 4)]),
    "logical_not": whole_numbers(mg.logical_not, np.logical_not, 1),
    **{name: elementwise(getattr(mg, name), getattr(np, name)) for name in ("isnan", "isinf", "isfinite")},
    **{name: elementwise(getattr(mg, name), getattr(np, name)) for name in ("zeros_like", "ones_like")},
    **{name: reduction(getattr(mg, name), getattr(np, name), nonempty, several=False) for name in ("argmax", "argmin")},
    **{name: reduction(getattr(mg, name), getattr(np, name)) for name in ("any", "all")},
    "one_hot": _one_hot(),
}

KINDS = {
    "integers": lambda x: x.astype(np.int64),
    "truth values": lambda x: x > 0,
    "words": lambda x: x.astype(str),
    "objects": lambda x: x.astype(object),
    "lists": lambda x: x.tolist(),
    "None": lambda x: None,
}
"""What to make of an array of numbers to see what becomes of other arguments."""
