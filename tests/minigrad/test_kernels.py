"""The CUDA kernels of operations without a GPU: they compile, and continue NumPy's random stream."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import cuda, many, pcg64
from minigrad.backend import EXACT
from minigrad.ops import kernels
from tests.optim.test_cuda import nvrtc, ptx  # noqa: F401

KERNELS = {kernel.name: kernel for kernel in vars(kernels).values() if isinstance(kernel, kernels.Kernel)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_compiles(nvrtc, name, dtype):  # noqa: F811
    text = ptx(nvrtc, KERNELS[name].source(np.dtype(dtype)), EXACT)
    assert f".entry {name}(" in text
    assert not re.findall(r"\.approx\.(?!ftz)f32.*sqrt|div\.full|sqrt\.approx", text)


def test_the_kernel_that_sends_host_values_compiles(nvrtc):  # noqa: F811
    assert ".entry store(" in ptx(nvrtc, cuda._store.source, EXACT)


@given(seed=st.integers(0, 2**32), first=st.integers(0, 5), n=st.integers(0, 3000))
def test_the_stream_goes_on_behind_what_was_drawn(seed, first, n):
    generator = np.random.default_rng(seed)
    generator.random(first, dtype=np.float32)
    before = generator.bit_generator.state
    generator.random(n, dtype=np.float32)
    other = np.random.default_rng(0)
    other.bit_generator.state = pcg64.advanced(before, n)
    for dtype in (np.float32, np.float64):
        assert other.random(3, dtype=dtype).tolist() == generator.random(3, dtype=dtype).tolist()


@given(seed=st.integers(0, 2**32), first=st.integers(0, 3))
def test_the_words_hold_the_state(seed, first):
    generator = np.random.default_rng(seed)
    generator.random(first, dtype=np.float32)
    state = generator.bit_generator.state
    low, high, inc_low, inc_high, carried, half = pcg64.words(state).tolist()
    assert (high << 64) + low == state["state"]["state"]
    assert (inc_high << 64) + inc_low == state["state"]["inc"]
    assert (carried, half) == (state["has_uint32"], state["uinteger"])


@pytest.mark.parametrize("key", many.KERNELS)
def test_the_kernels_over_many_arrays_compile(nvrtc, key):  # noqa: F811
    text = ptx(nvrtc, many.KERNELS[key].source, EXACT)
    assert f".entry {key[0]}(" in text
    assert "__local_depot" not in text, "the parameter is copied"
    assert many._GROUP.itemsize <= many.PARAMETERS
