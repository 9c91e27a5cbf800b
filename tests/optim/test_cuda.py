"""The CUDA kernels without a GPU: their body as C gives the same bits as every execution, and they compile to PTX."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minigrad.backend import EXACT
from optim.formula import compiled, cuda, execution, formula
from optim.formula.executions import executor

from .test_bits import bits, values
from .variants import formulas, variants

VARIANTS = variants()
TEXTS = {cuda.c_source(v.plan, np.float32): i for i, v in enumerate(VARIANTS)}
DISTINCT = sorted(TEXTS.values())
"""Numbers of variants that differ in what happens to an element: compilers take long."""
SIZE = 3001
DTYPES = [np.float32, np.float64]
STRICT = ["-O2", "-ffp-contract=off", "-fno-fast-math"]
CONTRACTED = ["-O2", "-ffp-contract=fast", "-march=native"]
CC = shutil.which("cc")
needs_cc = pytest.mark.skipif(CC is None, reason="needs a C compiler, cc")


def build(folder, text, flags, language="c"):
    """Text as a loaded library."""
    library = folder / "formulas.so"
    command = [CC, *flags, "-shared", "-fPIC", "-x", language, "-", "-o", str(library), "-lm"]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)
    return ctypes.CDLL(str(library))


def c_library(folder, dtype, flags):
    """All variants in one library, as formula0, formula1, ..."""
    texts = [cuda.c_source(v.plan, dtype, f"formula{i}") for i, v in enumerate(VARIANTS)]
    undefine = "#undef T\n#undef SQRT\n#undef ABS\n"
    return build(folder, undefine + undefine.join(texts), flags)


def arrays_for(variant, dtype):
    rng = np.random.default_rng(0)
    return [values(rng, 1 if a in variant.plan.scalars else SIZE, dtype, True) for a in variant.plan.arrays]


def constants_for(variant):
    return np.array(variant.plan.constants(*variant.values), np.float64)


def run_c(library, number, dtype):
    variant = VARIANTS[number]
    arrays, constants = arrays_for(variant, dtype), constants_for(variant)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, constants)]
    library[f"formula{number}"](ctypes.c_longlong(SIZE), *pointers)
    return arrays


def run(name, variant, arrays):
    """The arrays after one execution has run on them."""
    with execution(name):
        kernel, prepare = executor(variant.formula, variant.plan, arrays[0])
    kernel(*arrays, prepare(variant.values, variant.plan.constants(*variant.values)))
    return arrays


def differing(found, wanted):
    return [int((bits(a) != bits(b)).sum()) for a, b in zip(found, wanted, strict=True)]


IMPOSSIBLE = {
    ("schedule_free_sgd", "(weight_sum + ((t ** r) * (lr "): "lr > lr_max ≥ 0 here",
    ("schedule_free_sgd", "(weight_sum + ((t ** r) * ((lr "): "lr > lr_max ≥ 0 here",
    ("schedule_free_adamw", "(weight_sum + ((t ** r) * ((lr "): "γ > lr_max ≥ 0 here",
    ("schedule_free_adamw", "(weight_sum + ((t ** r) * (((lr "): "γ > lr_max ≥ 0 here",
}
"""How a condition on hyperparameters that can't be false begins -> why."""


def test_every_formula_is_run_with_every_setting_on_and_off():
    """A formula, a flag, or a branch without a bit test fails here."""
    assert formulas().keys() == {v.formula.name for v in VARIANTS}
    seen = {}
    for v in VARIANTS:
        for name, value in zip(v.formula.hyperparameters, v.values, strict=True):
            if value is None or isinstance(value, bool):
                seen.setdefault((v.formula.name, name), set()).add(bool(value))
        for condition, outcome in re.findall(r"if bool\((.*)\) is not (\w+):", v.plan.source):
            seen.setdefault((v.formula.name, condition), set()).add(outcome == "True")
    one_sided = [key for key, outcomes in seen.items() if len(outcomes) < 2]
    none_or_number = [("prodigy", "beta3")]
    assert [k for k in one_sided if k not in none_or_number and not any(excused(*k))] == []


def excused(formula, condition):
    return (formula == name and condition.startswith(beginning) for name, beginning in IMPOSSIBLE)


@needs_cc
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_body_as_c_gives_the_bits_of_every_execution(tmp_path, dtype):
    library = c_library(tmp_path, dtype, STRICT)
    for number, variant in enumerate(VARIANTS):
        found = run_c(library, number, dtype)
        for name in ("eager", "blocked"):
            assert not any(differing(found, run(name, variant, arrays_for(variant, dtype)))), (variant.name, name)


@needs_cc
@pytest.mark.skipif(not compiled.available(), reason="needs Numba")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])  # Numba takes long to compile
def test_the_body_as_c_gives_the_bits_of_numba(tmp_path, dtype, half):
    library = c_library(tmp_path, dtype, STRICT)
    for number in DISTINCT[(DTYPES.index(dtype) + half) % 2 :: 2]:
        variant = VARIANTS[number]
        found = run_c(library, number, dtype)
        assert not any(differing(found, run("numba", variant, arrays_for(variant, dtype)))), variant.name


@needs_cc
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_multiply_adds_would_be_seen(tmp_path, dtype):
    macros = subprocess.run([CC, *CONTRACTED, "-dM", "-E", "-x", "c", "-"], input="", text=True, capture_output=True)
    if not re.search("__FMA__|__ARM_FEATURE_FMA", macros.stdout):
        pytest.skip("this processor has no fused multiply-add")
    library = c_library(tmp_path, dtype, CONTRACTED)
    changed = {
        v.formula.name
        for i, v in enumerate(VARIANTS)
        if any(differing(run_c(library, i, dtype), run("eager", v, arrays_for(v, dtype))))
    }
    assert len(changed) > len(formulas()) // 2


# --- the kernels themselves, their grid walked through by one thread

SHIM = """
struct Index { int x; };
static Index blockIdx, threadIdx, gridDim;
#define __global__
#define __launch_bounds__(threads)
#include <math.h>
"""
WALK = """
extern "C" void walk(const Group *group, int blocks) {
    gridDim.x = blocks;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < %d; threadIdx.x++) %s(*group);
}
"""


class DeviceArray(np.ndarray):
    """An array that shows what a launch asks a CuPy array for."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)

    @property
    def device(self):
        return SimpleNamespace(use=lambda: None)


@pytest.fixture
def cupy(monkeypatch, tmp_path):
    """A module whose kernels run here; it keeps the launches."""
    launches = []

    def compile_using_nvrtc(code, options, cache_in_memory):
        assert options == EXACT
        return code, None

    class Module:
        def load(self, code):
            self.code = code

        def get_function(self, name):
            library = build(tmp_path, SHIM + self.code + WALK % (cuda.THREADS, name), STRICT, "c++")

            def launch(grid, block, arguments):
                (group,) = arguments
                launches.append((grid, block, group.nbytes))
                library.walk(ctypes.c_void_p(group.ctypes.data), grid[0])

            return launch

    compiler = SimpleNamespace(compile_using_nvrtc=compile_using_nvrtc)
    parts = SimpleNamespace(compiler=compiler, Module=Module, runtime=SimpleNamespace(getDevice=lambda: 0))
    module = SimpleNamespace(cuda=parts, launches=launches)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def adam_variant():
    return next(v for v in VARIANTS if v.name == "Adam(amsgrad=True, t=1000)")


def rows_of(sizes, dtype):
    rng = np.random.default_rng(1)
    return [[values(rng, n, dtype, True).view(DeviceArray) for _ in adam_variant().plan.arrays] for n in sizes]


@needs_cc
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler, c++")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("blocks", [1, 3, 4096])
def test_one_launch_updates_every_tensor_once(cupy, monkeypatch, dtype, blocks):
    monkeypatch.setattr(cuda, "BLOCKS", blocks)
    variant = adam_variant()
    sizes = [1, 0, cuda.CHUNK, cuda.CHUNK + 1, 7, 0, 3 * cuda.CHUNK - 1, 0]
    rows, wanted = rows_of(sizes, dtype), rows_of(sizes, dtype)
    for row in wanted:
        run("blocked", variant, [a.view(np.ndarray) for a in row])
    cuda.Kernel(variant.plan, dtype).run(rows, constants_for(variant))
    for row, expected in zip(rows, wanted, strict=True):
        assert not any(differing(row, expected))
    assert [(grid, block) for grid, block, _ in cupy.launches] == [((min(8, blocks),), (cuda.THREADS,))]
    assert all(size <= cuda.PARAMETERS for _, _, size in cupy.launches)


@needs_cc
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler, c++")
def test_more_tensors_than_fit_into_one_launch(cupy):
    variant = adam_variant()
    sizes = [3 + i % 5 for i in range(200)]
    rows, wanted = rows_of(sizes, np.float64), rows_of(sizes, np.float64)
    for row in wanted:
        run("blocked", variant, [a.view(np.ndarray) for a in row])
    cuda.Kernel(variant.plan, np.float64).run(rows, constants_for(variant))
    for row, expected in zip(rows, wanted, strict=True):
        assert not any(differing(row, expected))
    assert len(cupy.launches) == 3


@needs_cc
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler, c++")
def test_one_tensor_and_none(cupy):
    variant = adam_variant()
    (row,), (expected,) = rows_of([5], np.float32), rows_of([5], np.float32)
    run("blocked", variant, [a.view(np.ndarray) for a in expected])
    kernel = cuda.Kernel(variant.plan, np.float32)
    kernel(*row, constants_for(variant))
    assert not any(differing(row, expected))
    kernel(*rows_of([0], np.float32)[0], constants_for(variant))
    assert len(cupy.launches) == 1


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="float32 or float64, got float16"):
        cuda.source(adam_variant().plan, np.float16)


# --- PTX


@pytest.fixture(scope="module")
def nvrtc():
    """NVIDIA's run-time compiler, which needs no device."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else spec.submodule_search_locations
    found = [path for folder in folders for path in sorted(Path(folder).glob("**/libnvrtc.so.*"))]
    if not found:
        pytest.skip("needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
    return ctypes.CDLL(str(found[0]))


def ptx(nvrtc, text, options):
    """The kernel's assembly; fails with the compiler's log."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    options = [option.encode() for option in ("--gpu-architecture=compute_75", *options)]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    part = "PTX" if status == 0 else "ProgramLog"
    getattr(nvrtc, f"nvrtcGet{part}Size")(program, ctypes.byref(size))
    answer = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{part}")(program, answer)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    assert status == 0, answer.value.decode()
    return answer.value.decode()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kernel_compiles_without_fused_or_approximate_arithmetic(nvrtc, dtype):
    for variant in (VARIANTS[number] for number in DISTINCT):
        text = ptx(nvrtc, cuda.source(variant.plan, dtype), EXACT)
        assert not re.findall(r"fma\.|\.approx|\.full|\.ftz", text), variant.name
        assert "__local_depot" not in text, f"{variant.name}: the parameter is copied"
        assert f".entry {variant.plan.name}_kernel(" in text


@formula
def exp(p, g, *, lr):
    p = p - lr * g
    return p


def test_a_formula_may_have_the_name_of_a_function_of_cuda(nvrtc):
    plan, _ = exp.plan((0.5,))
    assert ".entry exp_kernel(" in ptx(nvrtc, cuda.source(plan, np.float32), EXACT)


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_its_options_a_kernel_would_be_fused(nvrtc, dtype):
    assert "fma." in ptx(nvrtc, cuda.source(adam_variant().plan, dtype), ())


def test_the_last_of_two_options_counts(nvrtc):
    """Why kernels are not compiled through CuPy's RawKernel, which appends -ftz=true to a caller's options."""
    assert ".ftz" in ptx(nvrtc, cuda.source(adam_variant().plan, np.float32), (*EXACT, "-ftz=true"))
