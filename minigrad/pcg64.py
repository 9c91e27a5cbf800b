"""NumPy's default random stream, PCG64, drawn from on a GPU: the same numbers, in any order, without the host.

The stream is a linear congruential generator, state ← a · state + c modulo 2¹²⁸, whose k-th state is reached in about
log₂ k products (F. Brown, "Random Number Generation with Arbitrary Strides", 1994), so each thread of a kernel jumps to
its own numbers. M. E. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random
Number Generation", 2014.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

A = 0x2360ED051FC65DA44385DF649FCCF645
MASK = 2**128 - 1
WORD = 2**64 - 1
WORDS = 6
"""How many words of 8 bytes a kernel takes: state and increment in halves, whether half a number is left, that half."""

SOURCE = f"""
struct Stream {{ word words[{WORDS}]; }};
struct Wide {{ word low, high; }};
__device__ Wide add(Wide a, Wide b) {{
    Wide sum;
    sum.low = a.low + b.low;
    sum.high = a.high + b.high + (sum.low < a.low);
    return sum;
}}
__device__ Wide multiply(Wide a, Wide b) {{
    Wide product;
    product.low = a.low * b.low;
    product.high = __umul64hi(a.low, b.low) + a.high * b.low + a.low * b.high;
    return product;
}}
// the number at place i of those that Generator.random(dtype=float32) would give from this stream
__device__ float uniform(const word *stream, long long i) {{
    unsigned int bits;
    if (stream[4] && i == 0) {{
        bits = (unsigned int)stream[5];
    }} else {{
        const long long half = i - (long long)stream[4];
        Wide power = {{{A & WORD}ULL, {A >> 64}ULL}}, step = {{stream[2], stream[3]}};
        Wide a = {{1, 0}}, c = {{0, 0}};
        const Wide one = {{1, 0}};
        for (word jump = half / 2 + 1; jump; jump >>= 1) {{
            if (jump & 1) {{
                a = multiply(a, power);
                c = add(multiply(c, power), step);
            }}
            step = multiply(add(power, one), step);
            power = multiply(power, power);
        }}
        const Wide first = {{stream[0], stream[1]}};
        const Wide state = add(multiply(a, first), c);
        const word mixed = state.high ^ state.low, turn = state.high >> 58;
        const word number = (mixed >> turn) | (mixed << ((64 - turn) & 63));
        bits = (unsigned int)(half % 2 ? number >> 32 : number);
    }}
    return (bits >> 8) * (1.0f / 16777216.0f);
}}
"""


def words(state: Any) -> np.ndarray[Any, Any]:
    """The state of a PCG64 bit generator as a kernel takes it."""
    lcg = state["state"]
    parts = lcg["state"] & WORD, lcg["state"] >> 64, lcg["inc"] & WORD, lcg["inc"] >> 64
    return np.array([*parts, state["has_uint32"], state["uinteger"]], np.uint64)


def advanced(state: Any, n: int) -> Any:
    """The state after n numbers of float32 were drawn."""
    rest = n - state["has_uint32"]
    if n == 0 or rest == 0:
        return {**state, "has_uint32": 0} if n else state
    lcg = state["state"]
    a, c = _jump((rest + 1) // 2, lcg["inc"])
    new = (a * lcg["state"] + c) & MASK
    left = {"has_uint32": rest % 2, "uinteger": _number(new) >> 32}
    return {**state, "state": {"state": new, "inc": lcg["inc"]}, **left}


@lru_cache(maxsize=256)
def _jump(steps: int, inc: int) -> tuple[int, int]:
    """The factor and the summand of so many steps at once."""
    a, c, power, step = 1, 0, A, inc
    while steps:
        if steps & 1:
            a, c = a * power & MASK, (c * power + step) & MASK
        step = (power + 1) * step & MASK
        power = power * power & MASK
        steps >>= 1
    return a, c


def _number(state: int) -> int:
    """The 64 bits that a state gives."""
    mixed, turn = (state >> 64) ^ (state & WORD), state >> 122
    return ((mixed >> turn) | (mixed << (64 - turn))) & WORD
