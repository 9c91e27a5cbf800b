"""Operations on large arrays, which take other ways than on small ones: the same values, with Numba and without."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops import loops
from minigrad.ops.elementwise import only_where
from tests.minigrad.test_operations import quick

SHAPES = [(2, 4096), (4100, 2), (3, 2731), (7, 13, 91), (8193,), (1, 8192)]
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 90.0, -90.0, 750.0, -750.0]


@pytest.fixture(params=[True, False], ids=["numba", "numpy"], autouse=True)
def compiled(request, monkeypatch):
    """Once with the loops that Numba compiles, once without."""
    if request.param:
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(loops, "compiled", lambda loop, *arrays: None)


def drawn(seed, shape, dtype, low=-1.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(dtype)


def found(function, x, g):
    """The answer and the gradient, as arrays."""
    x = mg.Tensor(x).requires_grad_()  # shares the array: its order in memory counts
    answer = function(x)
    answer.backward(g)
    return answer.numpy(), x.grad.numpy()


def recorded(function, x, g):
    """The gradient that a recorded backward gives, by NumPy's calls alone."""
    x = mg.Tensor(x).requires_grad_()
    return mg.grad(function(x), x, mg.tensor(g), create_graph=True).numpy()


REDUCTIONS = {
    "max": (mg.max, np.max),
    "min": (mg.min, np.min),
    "prod": (mg.prod, np.prod),
    "var": (mg.var, np.var),
    "std": (mg.std, np.std),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(quick, max_examples=25)
@given(
    shape=st.sampled_from(SHAPES), data=st.data(), dtype=st.sampled_from([np.float32, np.float64]),
    levels=st.sampled_from([None, 3, 1]), turned=st.booleans(), keepdims=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_reductions(name, shape, data, dtype, levels, turned, keepdims, seed):
    ours, numpys = REDUCTIONS[name]
    x = drawn(seed, shape, dtype)
    if levels is not None:  # so that there are ties, and zeros among factors
        x = np.round(x * levels)
    elif name == "prod":
        x = drawn(seed, shape, dtype, 0.95, 1.05)
    if turned:
        x = x[::-1].T
    axes = list(range(x.ndim))
    axis = data.draw(st.sampled_from([None, *axes, -1, tuple(axes), tuple(axes[1:]) or 0]))
    call = lambda a: ours(a, axis=axis, keepdims=keepdims)
    g = drawn(seed + 1, call(x).shape, dtype, 0.5, 1.5)
    value, gradient = found(call, x, g)
    assert value.dtype == gradient.dtype == dtype
    assert gradient.shape == x.shape
    if name in ("max", "min", "prod"):
        np.testing.assert_array_equal(value, numpys(x, axis=axis, keepdims=keepdims))
    else:
        np.testing.assert_allclose(
            value, numpys(x.astype(np.float64), axis=axis, keepdims=keepdims), rtol=1e-4, atol=1e-6
        )
    if name == "prod":  # whose factors the loop takes in another order
        np.testing.assert_allclose(gradient, recorded(call, x, g), rtol=1000 * np.finfo(dtype).eps)
    else:
        np.testing.assert_array_equal(gradient, recorded(call, x, g))


@pytest.mark.parametrize("function", [mg.max, mg.min])
def test_ties_and_nans_share_the_gradient(function):
    x = drawn(0, (8, 1024), np.float32)
    extremum = 2.0 if function is mg.max else -2.0
    x[1, [3, 500]] = x[2, [0, 1, 1023]] = extremum
    x[3, 7] = x[4, [7, 9]] = np.nan
    x[5, 8] = np.inf if function is mg.max else -np.inf
    g = np.arange(1, 9, dtype=np.float32)
    _, gradient = found(lambda a: function(a, axis=1), x, g)
    assert gradient[1, [3, 500]].tolist() == [1.0, 1.0]
    assert gradient[2, [0, 1, 1023]].tolist() == [1.0, 1.0, 1.0]
    assert gradient[3, 7] == 4.0
    assert gradient[4, [7, 9]].tolist() == [2.5, 2.5]
    assert gradient[5, 8] == 6.0
    np.testing.assert_allclose(gradient.sum(axis=1), g)
    _, gradient = found(lambda a: function(a, axis=1), x, np.full(8, np.inf, np.float32))
    assert np.isinf(gradient).sum() == 1 + 2 + 3 + 1 + 2 + 1 + 2  # an infinite gradient makes no NaN elsewhere
    assert not np.isnan(gradient).any()


@settings(quick, max_examples=20)
@given(shape=st.sampled_from(SHAPES), data=st.data(), dtype=st.sampled_from([np.float16, np.float32, np.float64]))
def test_cumsum_has_numpys_bits(shape, data, dtype):
    axis = data.draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    x = drawn(3, shape, dtype)
    g = drawn(4, np.cumsum(x, axis).shape, dtype)
    x[0] = g[0] = g[-1] = -0.0
    value, gradient = found(lambda a: mg.cumsum(a, axis), x, g)
    assert value.tobytes() == np.cumsum(x, axis).tobytes()
    ends = (
        (slice(None, None, -1),)
        if axis is None
        else tuple(slice(None, None, -1 if i == axis % len(shape) else None) for i in range(len(shape)))
    )
    assert gradient.tobytes() == np.cumsum(g[ends], axis)[ends].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_a_product_is_exact_beside_zeros(dtype):
    x = np.full((4, 2501), 1.0, dtype)
    x[0, 5] = x[1, 2500] = x[1, 7] = 0.0
    x[2, 9] = 2.0
    value, gradient = found(lambda a: mg.prod(a, axis=1), x, np.array([1.0, 1.0, 1.0, 3.0], dtype))
    assert value.tolist() == [0.0, 0.0, 2.0, 3.0 / 3.0]
    assert gradient[0].nonzero()[0].tolist() == [5]
    assert gradient[0, 5] == 1.0
    assert not gradient[1].any()
    assert gradient[2, 9] == 1.0
    assert (np.delete(gradient[2], 9) == 2.0).all()
    assert (gradient[3] == 3.0).all()


@pytest.mark.parametrize(
    "bounds", [(-0.5, 0.5), (None, 0.25), (-0.25, None), (0, 1), (0.5, -0.5), (np.float64(0.1), 1)]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_clip(bounds, dtype):
    x = drawn(0, 9000, dtype)
    x[: len(SPECIAL)] = [*SPECIAL[:-2], 60.0, -60.0]
    x[20:24] = [-0.5, 0.5, 0.25, -0.25]
    g = drawn(1, 9000, np.clip(x, *bounds).dtype)
    g[30] = np.inf
    value, gradient = found(lambda a: mg.clip(a, *bounds), x, g)
    np.testing.assert_array_equal(value, np.clip(x, *bounds))
    low, high = bounds
    inside = (x >= low if low is not None else True) & (x <= high if high is not None else True)
    np.testing.assert_array_equal(gradient, np.where(inside & ~np.isnan(x), g, 0.0).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_a_remainder_is_less_the_whole_quotient(dtype):
    rng = np.random.default_rng(0)
    x = (rng.uniform(-50, 50, 9000)).astype(dtype)
    y = (rng.uniform(0.05, 2, 9000) * rng.choice([-1, 1], 9000)).astype(dtype)
    most = np.finfo(dtype).max
    x[:13] = [1.0, -1.0, 5.0, -5.0, 5.0, -5.0, 0.0, 6.0, 5.0, -5.0, np.inf, np.nan, most]
    y[:13] = [0.1, 0.1, np.inf, np.inf, -np.inf, -np.inf, 3.0, 2.0, 0.0, 0.0, 2.0, 2.0, -most / 1.5]
    divisor = mg.tensor(y, requires_grad=True)
    with np.errstate(all="ignore"):
        mg.remainder(x, divisor).backward(np.ones_like(x))
        np.testing.assert_array_equal(divisor.grad.numpy(), -np.floor_divide(x, y))
        by_number = found(lambda b: mg.remainder(7.5, b), np.abs(y), np.ones_like(y))[1]
        np.testing.assert_array_equal(by_number, -np.floor_divide(dtype(7.5), np.abs(y)))


@pytest.mark.parametrize("n", [255, 256, 9000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "silu", "logistic_loss"])
def test_sigmoids(name, dtype, n):
    x = drawn(0, n, dtype, -20, 20)
    x[: len(SPECIAL)] = SPECIAL
    with np.errstate(all="ignore"):
        wide = x.astype(np.longdouble)
        sigmoid = np.where(wide > 0, 1 / (1 + np.exp(-wide)), np.exp(wide) / (1 + np.exp(wide)))
        sigmoid[wide == np.inf] = 1.0
        softplus = np.where(wide > 0, wide, 0.0) + np.log1p(np.exp(-np.abs(wide)))
        call, value, slope = {
            "sigmoid": (mg.sigmoid, sigmoid, sigmoid * (1 - sigmoid)),
            "softplus": (mg.softplus, softplus, sigmoid),
            "silu": (mg.silu, wide * sigmoid, sigmoid * (1 + wide * (1 - sigmoid))),
            "logistic_loss": (lambda a: mg.logistic_loss(a, np.ones_like(x)), softplus - wide, sigmoid - 1),
        }[name]
        answer, gradient = found(call, x, np.ones_like(x))
        usual, info = np.isfinite(wide), np.finfo(dtype)
        tiny = 1000 * info.smallest_subnormal if name in ("sigmoid", "silu", "softplus") else 4 * info.eps
        for ours, wanted, atol in ((answer, value, tiny), (gradient, slope, 40 * info.eps)):
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours[usual], wanted[usual].astype(dtype), rtol=8 * info.eps, atol=atol)
    at = lambda v: answer[np.flatnonzero(x == v)[0]]
    if name != "logistic_loss":
        assert at(np.inf) == (1.0 if name == "sigmoid" else np.inf)
        assert name == "silu" or at(-np.inf) == 0.0
    assert np.isnan(answer[np.isnan(x)]).all()


@pytest.mark.parametrize("shape", [(100, 90), (2, 3)])
@pytest.mark.parametrize("value", [0, 0.0, -0.0, 2.5])
def test_pad(value, shape):
    x = drawn(0, shape, np.float32)
    widths = ((1, 2), (0, 3))
    g = np.full((shape[0] + 3, shape[1] + 3), 2.0, np.float32)
    answer, gradient = found(lambda a: mg.pad(a, widths, constant_values=value), x, g)
    wanted = np.pad(x, widths, constant_values=value)
    np.testing.assert_array_equal(answer, wanted)
    np.testing.assert_array_equal(np.signbit(answer), np.signbit(wanted))
    assert (gradient == 2.0).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("pair", [("row", 0.0), (0.0, "column"), ("row", "whole"), ("column", "row"), ("whole", 0.5)])
def test_where_chooses_numpys_bits(pair, dtype):
    shapes = {"row": (100,), "column": (90, 1), "whole": (90, 100)}
    x, y = (drawn(i, shapes[v], dtype) if isinstance(v, str) else v for i, v in enumerate(pair))
    condition = drawn(5, (90, 100), np.float64) > 0
    np.testing.assert_array_equal(mg.where(condition, x, y), np.where(condition, x, y))
    wider = np.where(condition[0], x, y)  # the choices are wider than the condition
    np.testing.assert_array_equal(mg.where(np.broadcast_to(condition[0], (100,)), x, y), wider)
    shapes = drawn(6, (2, 90, 100), dtype)
    np.testing.assert_array_equal(mg.where(condition, shapes, 0.0), np.where(condition, shapes, 0.0))


@pytest.mark.parametrize("function", [mg.sigmoid, mg.softplus, mg.silu, mg.cumsum, mg.max])
def test_integers_are_taken_as_their_floats(function):
    x = np.arange(9000) % 3
    np.testing.assert_allclose(function(x), function(x.astype(np.float64)), rtol=1e-12)


@pytest.mark.parametrize("function", [mg.max, mg.min])
def test_no_rows_give_no_answers(function):
    x = mg.tensor(np.empty((0, 5), np.float32), requires_grad=True)
    function(x, axis=1).sum().backward()
    assert x.grad.shape == (0, 5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [6, 600, 9000])
@pytest.mark.parametrize("how", [found, recorded])
def test_relu_lets_a_gradient_through_where_it_is_positive_whatever_the_gradient_is(how, size, dtype):
    if how is found:
        how = lambda function, x, g: found(function, x, g)[1]
    x = np.resize(np.array([-1.0, 0.0, -0.0, 2.0, np.inf, np.nan, -np.inf], dtype), size)
    for g in (np.inf, -np.inf, np.nan, 3.0, -0.0):
        g = np.full(size, g, dtype)
        expected = np.where(x > 0, g, 0)
        np.testing.assert_array_equal(how(mg.relu, x, g), expected)
        np.testing.assert_array_equal(how(mg.relu, x[::-1], g[::-1]), expected[::-1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6,), (3, 200), (3, 3000)])
def test_only_where_gives_the_bits_of_where(shape, dtype):
    g = np.resize(np.array(SPECIAL, dtype), shape)
    for condition in (g > 0, g[:1] > 0, np.array(True)):
        for x in (g, g[..., ::-1]):
            found, expected = only_where(condition, x), np.where(condition, x, dtype(0))
            assert found.dtype == dtype
            assert found.tobytes() == expected.tobytes()
