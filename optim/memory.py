"""Where the arrays of a step lie in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import backend

PAGE, LINE = 4096, 64
"""Bytes of a page of memory and of a line of the cache."""
APART = 640
"""Bytes between the places that a step's arrays have in their pages."""
LARGE = 16_384
"""Bytes of an array from which on its place matters."""


def beside(data: Any, shape: tuple[int, ...], number: int) -> Any:
    """An array of data's type, not filled; a large one lies so that a loop over both does not wait.

    A processor tells a load from the stores just before it by the last 12 bits of their addresses. Where those of two
    arrays nearly agree, each load waits for a store into the other, and a step takes up to 2½ times as long. Large
    arrays tend to agree, as each begins a page.

    number: from 1; another for each array of the loop.
    """
    size = math.prod(shape) * data.dtype.itemsize
    if not isinstance(data, np.ndarray) or size < LARGE:
        return backend.empty(shape, data)
    memory = np.empty(size + PAGE, np.uint8)
    start = (data.ctypes.data // LINE * LINE + number * APART - memory.ctypes.data) % PAGE
    return memory[start : start + size].view(data.dtype).reshape(shape)
