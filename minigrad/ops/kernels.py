"""CUDA kernels for operations that cost CuPy several launches: what `loops.py` is for NumPy's arrays.

A kernel does what the array code at its place of use does, and is only taken for C-contiguous CuPy arrays of float32
or float64; on others, that array code runs. A row of a matrix belongs to a warp, whose 32 threads add up its sums in
the same order each time: a run gives the same bits twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend, pcg64
from minigrad.many import together

THREADS = 256
ROWS = 4
"""Rows of a block, a warp each."""

_HEAD = """
#define T {type}
typedef unsigned long long word;
struct Size {{ long long n, columns; }};
"""

_PER_ELEMENT = """
extern "C" __global__ void {name}(const Size size, {parameters}) {{
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < size.n;
         i += (long long)gridDim.x * blockDim.x) {{
{body}
    }}
}}
"""

_PER_ROW = """
#define EACH(j) for (long long j = threadIdx.x; j < size.columns; j += 32)
__device__ T warp_sum(T x) {{
    for (int step = 16; step; step /= 2) x += __shfl_xor_sync(0xffffffff, x, step);
    return x;
}}
__device__ T warp_max(T x) {{
    for (int step = 16; step; step /= 2) {{
        T other = __shfl_xor_sync(0xffffffff, x, step);
        if (other > x || other != other) x = other;
    }}
    return x;
}}
extern "C" __global__ void {name}(const Size size, {parameters}) {{
    const long long row = blockIdx.x * (long long)blockDim.y + threadIdx.y;
    if (row >= size.n) return;
    const long long start = row * size.columns;
{body}
}}
"""


class Kernel:
    """A kernel by its parameters and body, made for a type when it is first launched with arrays of it."""

    def __init__(self, name: str, parameters: str, body: str, *, per_row: bool = False, before: str = "") -> None:
        self.name, self.parameters, self.body, self.per_row, self.before = name, parameters, body, per_row, before
        self._made: dict[Any, Any] = {}

    def source(self, dtype: Any) -> str:
        """Its text for arrays of this type."""
        head = _HEAD.format(type="float" if dtype == np.float32 else "double")
        form = _PER_ROW if self.per_row else _PER_ELEMENT
        return head + self.before + form.format(name=self.name, parameters=self.parameters, body=self.body)

    def __call__(self, n: int, columns: int, like: Any, *arguments: Any) -> None:
        """Launch for `n` elements, or rows of so many columns; an argument is an array or a NumPy scalar."""
        if not n:
            return
        launch = self._made.get(like.dtype)
        if launch is None:
            launch = self._made[like.dtype] = backend.RawKernel(self.source(like.dtype), self.name)
        size = backend.struct(np.array((n, columns), np.int64))
        grid, block = ((n + ROWS - 1) // ROWS, (32, ROWS)) if self.per_row else (_blocks(n), (THREADS, 1))
        backend.activate(like)
        launch((grid,), block, (size, *arguments))


def _blocks(n: int) -> int:
    return min((n + THREADS - 1) // THREADS, 4096)


def fitting(*arrays: Any) -> bool:
    """Whether these are arrays on one GPU of one type, float32 or float64, with their elements in order."""
    return together(arrays)


_biased_relu = Kernel(
    "biased_relu",
    "T *x, const T *bias",
    """
        const T sum = x[i] + bias[(unsigned)i % (unsigned)size.columns];
        x[i] = sum > 0 || sum != sum ? sum : (T)0;
""",
)

_where_positive = Kernel("where_positive", "const T *g, const T *a, T *out", "        out[i] = a[i] > 0 ? g[i] : (T)0;")

_cross_entropy = Kernel(
    "cross_entropy",
    "const T *x, const long long *target, const long long ignored, T *difference, T *loss",
    """
    const long long t = target[row];
    if (t == ignored) {
        EACH(j) difference[start + j] = 0;
        if (threadIdx.x == 0) loss[row] = 0;
        return;
    }
    T top = x[start];
    EACH(j) if (x[start + j] > top || x[start + j] != x[start + j]) top = x[start + j];
    top = warp_max(top);
    T total = 0;
    EACH(j) {
        const T e = exp(x[start + j] - top);
        difference[start + j] = e;
        total += e;
    }
    total = warp_sum(total);
    EACH(j) difference[start + j] = difference[start + j] / total - (j == t);
    if (threadIdx.x == 0) loss[row] = 0 <= t && t < size.columns ? log(total) - (x[start + t] - top) : (T)nan("");
""",
    per_row=True,
)

_mean_of_losses = Kernel(
    "mean_of_losses",
    "const T *loss, const long long *target, const long long ignored, T *mean, T *factor",
    """
    T sum = 0, count = 0;
    EACH(j) {
        sum += loss[j];
        count += target[j] != ignored;
    }
    sum = warp_sum(sum);
    count = warp_sum(count);
    if (threadIdx.x == 0) {
        *mean = sum / count;
        *factor = 1 / count;
    }
""",
    per_row=True,
)

_times_both = Kernel(
    "times_both", "const T *x, const T *first, const T *second, T *out", "        out[i] = x[i] * (*first * *second);"
)

_normalize = Kernel(
    "normalize",
    "const T *x, const T *weight, const T *bias, const T eps, T *x_hat, T *factor, T *out",
    """
    T sum = 0;
    EACH(j) sum += x[start + j];
    const T mean = warp_sum(sum) / size.columns;
    sum = 0;
    EACH(j) sum += (x[start + j] - mean) * (x[start + j] - mean);
    const T f = 1 / sqrt(warp_sum(sum) / size.columns + eps);
    EACH(j) {
        const T h = (x[start + j] - mean) * f;
        x_hat[start + j] = h;
        const T scaled = weight ? h * weight[j] : h;
        out[start + j] = bias ? scaled + bias[j] : scaled;
    }
    if (threadIdx.x == 0) factor[row] = f;
""",
    per_row=True,
)

_normalize_back = Kernel(
    "normalize_back",
    "const T *g, const T *weight, const T *x_hat, const T *factor, T *out",
    """
    T sum = 0, product = 0;
    EACH(j) {
        const T w = weight ? g[start + j] * weight[j] : g[start + j];
        sum += w;
        product += w * x_hat[start + j];
    }
    const T mean = warp_sum(sum) / size.columns, along = warp_sum(product) / size.columns;
    EACH(j) {
        const T w = weight ? g[start + j] * weight[j] : g[start + j];
        out[start + j] = factor[row] * (w - mean - x_hat[start + j] * along);
    }
""",
    per_row=True,
)

_dropout_factors = Kernel(
    "dropout_factors",
    "const Stream given, const word *live, const float p, const T scale, T *out",
    f"""
        word words[{pcg64.WORDS}];
        for (int k = 0; k < {pcg64.WORDS}; k++) words[k] = live ? live[k] : given.words[k];
        out[i] = uniform(words, i) >= p ? scale : (T)0;
""",
    before=pcg64.SOURCE,
)


def biased_relu(x: Any, bias: Any) -> None:
    """x ← max(x + bias, 0) for less than 2³² elements, with an element of the bias for each along the last axis."""
    _biased_relu(x.size, bias.size, x, x, bias)


def where_positive(g: Any, a: Any) -> Any:
    """g where a is positive, else 0."""
    out = backend.empty(g.shape, g)
    _where_positive(g.size, 1, g, g, a, out)
    return out


def cross_entropy(logits: Any, target: Any, ignored: int) -> tuple[Any, Any, Any]:
    """The mean loss of the rows whose label is not `ignored`, softmax less 1 at each label, and 1 / how many rows.

    NaN for a label out of range, and for no rows. Ignored rows are 0 in the second.
    """
    difference, losses = backend.empty(logits.shape, logits), backend.empty(len(logits), logits)
    mean, factor = backend.empty((), logits), backend.empty((), logits)
    skip = np.int64(ignored)
    _cross_entropy(*logits.shape, logits, logits, target, skip, difference, losses)
    _mean_of_losses(1, len(losses), logits, losses, target, skip, mean, factor)
    return mean, difference, factor


def times_both(x: Any, first: Any, second: Any) -> Any:
    """x times two numbers on its device."""
    out = backend.empty(x.shape, x)
    _times_both(x.size, 1, x, x, first, second, out)
    return out


def normalize(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """Layer norm over the last axis: the answer, x standardized, and the factor of each row."""
    columns = x.shape[-1]
    out, x_hat = backend.empty(x.shape, x), backend.empty(x.shape, x)
    factor = backend.empty((*x.shape[:-1], 1), x)
    _normalize(factor.size, columns, x, x, weight, bias, x.dtype.type(eps), x_hat, factor, out)
    return out, x_hat, factor


def normalize_back(g: Any, weight: Any, x_hat: Any, factor: Any) -> Any:
    """The gradient of layer norm's input."""
    out = backend.empty(g.shape, g)
    _normalize_back(factor.size, g.shape[-1], g, g, weight, x_hat, factor, out)
    return out


def dropout_factors(x: Any, p: float, scale: float) -> Any:
    """For each element of x, 0 with probability p, else `scale`; None where the thread's stream is none of PCG64.

    They are those that the stream would give on the host, and it goes on behind them.
    """
    recording = backend.thread.recording
    words, live = np.zeros(pcg64.WORDS, np.uint64), None
    if recording is not None:
        live = recording.drawn(x.size)
    else:
        generator = backend.default_generator().bit_generator
        if not isinstance(generator, np.random.PCG64):
            return None
        words = pcg64.words(generator.state)
        generator.state = pcg64.advanced(generator.state, x.size)
    out = backend.empty(x.shape, x)
    _dropout_factors(x.size, 1, x, backend.struct(words), live, np.float32(p), x.dtype.type(scale), out)
    return out
