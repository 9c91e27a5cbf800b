"""Trees of everything that a checkpoint takes, drawn by Hypothesis, and their exact comparison."""

from collections import Counter, OrderedDict

import numpy as np
from hypothesis import strategies as st

import minigrad as mg

DTYPES = [
    np.dtype(name)
    for name in (
        *("?", "i1", "u1", "f2", "f4", "f8", "g", "c8", "c16", "G", "M8[s]", "m8[25us]", "U3", "S1", "S5"),
        *(f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (2, 4, 8)),
        *(">f2", ">f4", ">f8", ">c8", ">c16", ">M8[D]", ">U2"),
    )
]
LAYOUTS = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "backwards": lambda a: a[::-1] if a.ndim else a,
    "transposed": lambda a: a.T.copy().T,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) if a.size else a,
}


def array(dtype: np.dtype, shape: tuple[int, ...], seed: int, layout: str = "C") -> np.ndarray:
    """An array with any bits: infinities, NaNs with payloads, NaT, -0."""
    random = np.random.default_rng(seed)
    if dtype.kind in "?bU":
        made = random.integers(0, 99, shape).astype(dtype)
    else:
        size = int(np.prod(shape)) * dtype.itemsize
        made = np.frombuffer(random.bytes(size), dtype, count=int(np.prod(shape))).reshape(shape).copy()
        if dtype.kind in "fc":  # whole numbers too, whatever the bits of the others
            made[random.random(shape) < 0.3] = 3
    return LAYOUTS[layout](made)


SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)
ARRAYS = st.builds(array, st.sampled_from(DTYPES), SHAPES, st.integers(0, 2**32), st.sampled_from(sorted(LAYOUTS)))
SCALARS = st.builds(lambda dtype, seed: array(dtype, (), seed)[()], st.sampled_from(DTYPES), st.integers(0, 2**32))
TEXTS = st.text(max_size=6) | st.sampled_from(["", "$tuple", "$array", ".", "__metadata__", "minigrad.tree", "\ud800"])
KEYS = (
    TEXTS
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False)
    | st.tuples(st.integers(), TEXTS)
    | st.frozensets(st.integers(), max_size=2)
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**400), 2**400)
    | st.floats()
    | st.complex_numbers()
    | TEXTS
    | st.binary(max_size=6)
    | SCALARS
    | ARRAYS
    | ARRAYS.filter(lambda a: a.dtype.isnative and a.dtype.kind in "f").map(mg.Tensor)
    | st.frozensets(KEYS, max_size=3)
    | st.sets(KEYS, max_size=3)
    | st.dictionaries(TEXTS, st.integers(), max_size=3).map(Counter)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=12,
)


def same(a, b) -> bool:
    """Whether two trees agree in every type and every bit (the payload of a Python float's NaN aside)."""
    if isinstance(a, mg.Tensor):
        return isinstance(b, mg.Tensor) and same(a.data, b.data)
    if isinstance(a, np.ndarray):
        alike = isinstance(b, np.ndarray) and (a.dtype, a.shape) == (b.dtype, b.shape)
        return alike and a.dtype.str == b.dtype.str and a.tobytes() == b.tobytes()
    if type(a) is not type(b):
        return False
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        keys = list(zip(a, b, strict=False))
        return len(a) == len(b) and all(same(k, j) and same(a[k], b[j]) for k, j in keys)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, set | frozenset):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    return repr(a) == repr(b)
