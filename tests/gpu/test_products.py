"""Matrix products in a captured step, where cuBLAS is called without CuPy."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import cublas

SHAPES = [
    ((3, 4), (4, 5)), ((1, 4), (4, 5)), ((3, 4), (4, 1)), ((3, 1), (1, 5)), ((1, 6), (6, 1)), ((3, 4), (4,)),
    ((4,), (4, 5)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (4,)), ((2, 3, 4), (2, 4, 5)), ((4,), (2, 4, 5)),
    ((2, 1, 3, 4), (3, 4, 5)), ((3, 4), (2, 4, 5)), ((0, 4), (4, 5)), ((3, 0), (0, 5)),
]  # fmt: skip
WAYS = {
    "as it is": lambda x: x,
    "transposed": lambda x: x.swapaxes(-1, -2).copy().swapaxes(-1, -2) if x.ndim > 1 else x,
    "strided": lambda x: x.repeat(2, -1)[..., ::2],
}


def on_device(shape, way, dtype, seed):
    rng = np.random.default_rng(seed)
    return way(mg.tensor(rng.integers(-5, 5, shape).astype(dtype), device="cuda").data)


def captured(compute):
    """What the third call gives: a replay."""
    run = mg.cuda.capture(lambda x: compute())
    x = mg.tensor(np.zeros(1), device="cuda")
    return [run(x) for _ in range(4)][-1].numpy()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_products(first, second, dtype):
    for shapes in SHAPES:
        a, b = on_device(shapes[0], WAYS[first], dtype, 0), on_device(shapes[1], WAYS[second], dtype, 1)
        found = captured(lambda a=a, b=b: mg.Tensor(a) @ mg.Tensor(b))
        wanted = a.get() @ b.get()
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted, str(shapes))


@pytest.mark.parametrize(("a", "b"), [s for s in SHAPES if 0 not in s[0]])
def test_derivatives(a, b):
    found = []
    for device in ("cuda", "cpu"):
        rng = np.random.default_rng(0)
        x, y = (mg.tensor(rng.integers(-5, 5, s).astype(np.float64), device=device, requires_grad=True) for s in (a, b))

        def gradients(x=x, y=y):
            z = x @ y
            first = mg.grad((z * z).sum(), [x, y], create_graph=True)
            second = mg.grad(sum((g * g).sum() for g in first), [x, y])
            return mg.concatenate([part.reshape(-1) for part in (*first, *second)])

        found.append(captured(gradients) if device == "cuda" else gradients().numpy())
    np.testing.assert_array_equal(*found)


def test_an_array_to_write_to():
    a, b = on_device((3, 4), WAYS["as it is"], np.float32, 0), on_device((4, 5), WAYS["as it is"], np.float32, 1)
    out = mg.tensor(np.zeros((3, 5), np.float32), device="cuda").data

    def compute():
        assert cublas.matmul(a, b, out=out) is out
        return mg.Tensor(out)

    np.testing.assert_array_equal(captured(compute), a.get() @ b.get())


def test_types_that_can_not_be_captured():
    a, b = (on_device((2, 2), WAYS["as it is"], dtype, 0) for dtype in (np.float32, np.float64))
    with pytest.raises(RuntimeError, match="capture: a product of float32 and float64 can't be part of a"):
        captured(lambda: mg.Tensor(a) @ mg.Tensor(b))


def test_cupys_own_products_are_refused_with_a_reason():
    a = on_device((2, 2), WAYS["as it is"], np.float32, 0)
    with pytest.raises(RuntimeError, match="capture: the step did something that a graph can't record"):
        captured(lambda: mg.Tensor(a.dot(a)))


def test_an_error_of_cublas(monkeypatch, simulated):
    a = on_device((2, 2), WAYS["as it is"], np.float32, 0)
    monkeypatch.setattr(cublas, "WORK_SPACE", 16)
    with pytest.raises(RuntimeError, match="cublasSetWorkspace_v2 of cuBLAS failed with status 7"):
        captured(lambda: mg.Tensor(a) @ mg.Tensor(a))
