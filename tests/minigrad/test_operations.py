"""Every operation on random calls: its value against NumPy's, its derivatives against differences."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigrad as mg
from tests.gradients import check_fit
from tests.minigrad.operation_table import CONSTANT, KINDS, SMOOTH, Example

quick = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
smooth = pytest.mark.parametrize("name", sorted(SMOOTH))


def answers(example: Example, dtype=None, tensors=True, requires_grad=False):
    """What the call gives, as a list."""
    xs = [x if dtype is None else x.astype(dtype) for x in example.arrays]
    if tensors:
        xs = [mg.Tensor(x) for x in xs]
        for x in xs:
            x.requires_grad = requires_grad
    answer = example.function(*xs)
    return xs, list(answer) if isinstance(answer, list | tuple) else [answer]


def expected(example: Example, dtype=None):
    answer = example.reference(*(x if dtype is None else x.astype(dtype) for x in example.arrays))
    return list(answer) if isinstance(answer, list | tuple) else [answer]


def check_value(example: Example, ours, reference):
    assert len(ours) == len(reference)
    for out, wanted in zip(ours, reference, strict=True):
        wanted = np.asarray(wanted)
        assert isinstance(out, mg.Tensor)
        assert out.shape == wanted.shape
        if example.exact:
            assert out.dtype == wanted.dtype
            np.testing.assert_array_equal(out.numpy(), wanted)
        else:
            np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", sorted(SMOOTH | CONSTANT))
@settings(quick, max_examples=25)
@given(data=st.data())
def test_value(name, data):
    example = data.draw((SMOOTH | CONSTANT)[name])
    reference = expected(example)
    check_value(example, answers(example)[1], reference)
    _, raw = answers(example, tensors=False)
    assert not any(isinstance(out, mg.Tensor) for out in raw)
    for out, tensor in zip(raw, answers(example)[1], strict=True):
        np.testing.assert_array_equal(out, tensor.numpy())


@smooth
@settings(quick, max_examples=20)
@given(data=st.data())
def test_derivatives_to_second_order(name, data):
    example = data.draw(SMOOTH[name])
    xs, _ = answers(example, requires_grad=True)
    assert mg.gradcheck(example.function, xs, atol=1e-5, rtol=1e-4)


@smooth
@settings(quick, max_examples=30)
@given(data=st.data(), dtype=st.sampled_from([np.float64, np.float32, np.float16]))
def test_gradients_have_the_shape_and_type_of_their_tensors(name, data, dtype):
    xs, outs = answers(data.draw(SMOOTH[name]), dtype, requires_grad=True)
    if any(out.requires_grad for out in outs):
        with np.errstate(all="ignore"):
            check_fit(outs, xs)


AXES = [None, 0, 1, 2, -1, -2, -3, (0,), (0, 1), (0, 2), (2, 1), (-1, 0), (1, 0, 2)]
REDUCTIONS = ["sum", "mean", "max", "min", "prod", "var", "std", "logsumexp"]
ALONG = {
    "cumsum": lambda x, axis: mg.cumsum(x, axis),
    "softmax": lambda x, axis: mg.softmax(x, axis),
    "log_softmax": lambda x, axis: mg.log_softmax(x, axis),
    "flip": lambda x, axis: mg.flip(x, axis),
    "roll": lambda x, axis: mg.roll(x, 1, axis),
    "repeat": lambda x, axis: mg.repeat(x, 2, axis),
    "uneven repeat": lambda x, axis: mg.repeat(x, range(1, 1 + (x.size if axis is None else x.shape[axis])), axis),
    "take": lambda x, axis: mg.take(x, [1, 0, 1], axis),
    "take_along_axis": lambda x, axis: mg.take_along_axis(x, np.argsort(x.numpy(), axis), axis),
    "norm": lambda x, axis: mg.norm(x, 3, axis or 0),
    "expand_dims": lambda x, axis: mg.expand_dims(x, 3 if axis is None else axis),
    "concatenate": lambda x, axis: mg.concatenate([x, 2 * x], axis),
    "stack": lambda x, axis: mg.stack([x, 2 * x], axis or 0),
    "split": lambda x, axis: mg.split(x, [1], axis or 0),
    "swapaxes": lambda x, axis: mg.swapaxes(x, axis or 0, 1),
    "transpose": lambda x, axis: mg.transpose(x, None if axis is None else np.roll([0, 1, 2], axis).tolist()),
}


def lengths_differ():
    """A tensor none of whose axes can be taken for another."""
    return mg.tensor(np.random.default_rng(0).permutation(24).reshape(2, 3, 4) / 8 + 0.3, "float64", requires_grad=True)


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_have_derivatives_over_every_axis(name, axis):
    for keepdims in (False, True):
        assert mg.gradcheck(lambda x, k=keepdims: getattr(mg, name)(x, axis=axis, keepdims=k), lengths_differ())


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("name", ALONG)
def test_operations_have_derivatives_along_every_axis(name, axis):
    if axis is None and "softmax" in name:
        axis = 1
    assert mg.gradcheck(lambda x: ALONG[name](x, axis), lengths_differ())


@pytest.mark.parametrize("name", sorted((SMOOTH | CONSTANT).keys() - {"astype", "power"}))  # those draw Python's words
@settings(quick, max_examples=8)
@given(data=st.data())
@np.errstate(all="ignore")
def test_other_kinds_of_arguments_are_taken_as_numpy_does_or_the_error_names_the_operation(name, data):
    example = data.draw((SMOOTH | CONSTANT)[name])
    for kind, changed in KINDS.items():
        xs = [changed(np.asarray(x)) for x in example.arrays]
        tensors = [mg.Tensor(x) if isinstance(x, np.ndarray) else x for x in xs]
        for arguments in (xs, tensors):
            try:
                found = example.function(*arguments)
            except (IndexError, TypeError, ValueError) as error:
                assert str(error).startswith(f"{name}: "), kind
            else:
                if kind == "integers" and example.exact:
                    wanted = example.reference(*xs)
                    for pair in zip(found, wanted, strict=True) if isinstance(found, list) else [(found, wanted)]:
                        np.testing.assert_array_equal(*map(np.asarray, pair))


@smooth
@settings(quick, max_examples=10)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float16]))
def test_narrow_types_are_kept(name, data, dtype):
    example = data.draw(SMOOTH[name])
    xs, outs = answers(example, dtype, requires_grad=True)
    wide, wide_outs = answers(example, requires_grad=True)
    for out, wide_out, numpys in zip(outs, wide_outs, expected(example, dtype), strict=True):
        if example.exact:
            assert out.dtype == np.asarray(numpys).dtype
            np.testing.assert_array_equal(out.numpy(), numpys)
        assert out.dtype == dtype or wide_out.dtype != np.float64 or name == "power"
        np.testing.assert_allclose(out.numpy(), wide_out.numpy(), **tolerance(dtype))
    seeds = [mg.Tensor(np.ones_like(out.data)) for out in outs]
    wide_seeds = [mg.Tensor(np.ones_like(out.data)) for out in wide_outs]
    recorded = [i for i, out in enumerate(outs) if out.requires_grad]
    if not recorded:
        return
    pick = lambda values: [values[i] for i in recorded]
    found = mg.grad(pick(outs), xs, pick(seeds), allow_unused=True, retain_graph=True)
    again = mg.grad(pick(outs), xs, pick(seeds), create_graph=True, allow_unused=True)
    precise = mg.grad(pick(wide_outs), wide, pick(wide_seeds), allow_unused=True)
    for x, g, recorded_g, wide_g in zip(xs, found, again, precise, strict=True):
        if g is not None:
            assert g.dtype == recorded_g.dtype == x.dtype
            assert g.shape == x.shape
            np.testing.assert_allclose(g.numpy(), wide_g.numpy(), **tolerance(dtype))
            np.testing.assert_allclose(g.numpy(), recorded_g.numpy(), **tolerance(dtype))


def tolerance(dtype):
    eps = float(np.finfo(dtype).eps)
    return {"rtol": 100 * eps, "atol": 100 * eps}


@smooth
@settings(quick, max_examples=5)
@given(data=st.data())
def test_nothing_is_recorded_without_need(name, data):
    example = data.draw(SMOOTH[name])
    assert not any(out.requires_grad for out in answers(example)[1])
    with mg.no_grad():
        xs, outs = answers(example, requires_grad=True)
        assert not any(out.requires_grad for out in outs if out is not xs[0])


@pytest.mark.parametrize("name", sorted(CONSTANT))
def test_constants_are_not_recorded(name):
    if name not in ("one_hot", "invert", "bitwise_and", "bitwise_or", "bitwise_xor"):
        x = mg.tensor([0.5, -1.0], requires_grad=True)
        function = getattr(mg, name)
        binary = len(function.operation.parameters) == 2
        assert not (function(x, x) if binary else function(x)).requires_grad


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324, 1e308])
UNARY = [
    "absolute", "negative", "positive", "sign", "exp", "expm1", "log", "log1p", "log2", "sqrt", "square", "reciprocal",
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "isnan", "isinf", "isfinite",
]  # fmt: skip
BINARY = [
    "add", "subtract", "multiply", "divide", "maximum", "minimum", "equal", "not_equal", "less", "less_equal",
    "greater", "greater_equal",
]  # fmt: skip


@pytest.mark.parametrize("name", UNARY + BINARY)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_special_values_are_numpys(name, dtype):
    with np.errstate(all="ignore"):
        x = SPECIAL.astype(dtype)
        arguments = (x,) if name in UNARY else (x, x[:, None])
        ours = getattr(mg, name)(*map(mg.Tensor, arguments)).numpy()
        wanted = getattr(np, name)(*arguments)
    np.testing.assert_array_equal(ours, wanted)
    np.testing.assert_array_equal(np.signbit(ours), np.signbit(wanted))


def test_erf_is_accurate_to_a_few_units_in_the_last_place():
    x = np.concatenate([np.linspace(-7, 7, 20_001), np.logspace(-300, 1, 2001)])
    wanted = np.array([math.erf(v) for v in x])
    assert np.max(np.abs(mg.erf(x) - wanted) / np.spacing(np.abs(wanted))) <= 4
    narrow = mg.erf(x.astype(np.float32))
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, [math.erf(v) for v in x.astype(np.float32)], rtol=8e-7, atol=1e-45)
    np.testing.assert_array_equal(mg.erf(np.array([np.inf, -np.inf, np.nan, 0.0])), [1, -1, np.nan, 0])
    assert np.signbit(mg.erf(np.array(-0.0)))
    assert mg.erf(np.array([300.0, 0.25], np.float16)).dtype == np.float16


def gradient(function, *values):
    xs = [mg.tensor(v, dtype="float64", requires_grad=True) for v in values]
    found = mg.grad(function(*xs).sum(), xs)
    return [g.numpy().tolist() for g in found]


@pytest.mark.parametrize(
    ("function", "x", "wanted"),
    [
        (mg.absolute, [0.0], [0.0]),
        (mg.sign, [0.0], [0.0]),
        (mg.relu, [0.0], [0.0]),
        (lambda x: mg.leaky_relu(x, 0.1), [0.0], [0.1]),
        (lambda x: mg.elu(x, 0.5), [0.0], [0.5]),
        (lambda x: mg.clip(x, -1.0, 1.0), [-1.0, 1.0, 2.0], [1.0, 1.0, 0.0]),
        (mg.norm, [0.0, 0.0], [0.0, 0.0]),
        (lambda x: mg.norm(x, 3), [0.0, 0.0], [0.0, 0.0]),
        (lambda x: mg.norm(x, 1.5), [0.0, 2.0], [0.0, 1.0]),
        (lambda x: mg.norm(x, np.inf), [2.0, -2.0], [0.5, -0.5]),
        (mg.std, [3.0, 3.0], [0.0, 0.0]),
        (mg.max, [1.0, 3.0, 3.0], [0.0, 0.5, 0.5]),
        (mg.min, [1.0, 1.0, 3.0], [0.5, 0.5, 0.0]),
        (mg.max, [1.0, np.nan], [0.0, 1.0]),
        (lambda x: x**2, [0.0], [0.0]),
        (lambda x: x**1, [0.0], [1.0]),
        (lambda x: x**0, [0.0], [0.0]),
        (mg.prod, [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
        (mg.prod, [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    ],
)
def test_subgradients_are_those_documented(function, x, wanted):
    assert gradient(function, x) == [wanted]


def test_ties_of_two_share_the_gradient():
    assert gradient(mg.maximum, [1.0, 2.0], [1.0, 1.0]) == [[0.5, 1.0], [0.5, 0.0]]
    assert gradient(mg.minimum, [1.0, 2.0], [1.0, 1.0]) == [[0.5, 0.0], [0.5, 1.0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_python_numbers_widen_no_gradient(dtype):
    x = mg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    for function in (
        lambda x: 2**x,
        lambda x: x**2.5,
        lambda x: 1 / x,
        lambda x: 3 - x,
        lambda x: 3 % x,
        lambda x: mg.where(x > 1, x, 0.5),
        lambda x: mg.maximum(1.5, x),
        lambda x: mg.clip(x, 1.5, None),
        lambda x: mg.norm(x, 3.0),
        lambda x: mg.log2(x) + mg.erf(x) + mg.gelu(x, "tanh"),
    ):
        out = function(x)
        (g,) = mg.grad(out.sum(), [x], create_graph=True)
        (second,) = mg.grad((g * x).sum(), [x])
        assert out.dtype == g.dtype == second.dtype == dtype


def test_second_derivative_of_a_product_with_two_zeros():
    x = mg.tensor([0.0, 0.0, 3.0], dtype="float64", requires_grad=True)
    assert mg.hessian(mg.prod, x).numpy().tolist() == [[0, 3, 0], [3, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("function", [mg.sigmoid, mg.silu, mg.softplus, mg.gelu, mg.tanh, mg.erf, mg.elu])
def test_activations_far_out(function):
    x = mg.tensor([-1000.0, 1000.0], dtype="float64", requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (g,) = mg.grad(function(x).sum(), [x], create_graph=True)
        (second,) = mg.grad(g.sum(), [x])
    assert np.isfinite(function(x).numpy()).all()
    assert g.numpy()[0] == 0
    assert np.isfinite(second.numpy()).all()


@pytest.mark.parametrize("function", [mg.softmax, mg.log_softmax, mg.logsumexp])
def test_softmax_far_out(function):
    x = mg.tensor([[-1000.0, 1000.0, 999.0]], dtype="float64", requires_grad=True)
    (g,) = mg.grad(function(x).sum(), [x])
    assert np.isfinite(function(x).numpy()).all()
    assert np.isfinite(g.numpy()).all()


def test_numpys_functions_are_recorded():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)
    array = x.numpy()
    for function in (
        np.exp,
        np.abs,
        np.amax,
        np.linalg.norm,
        np.transpose,
        np.cumsum,
        np.ravel,
        lambda x: np.mean(x, axis=0),
        lambda x: np.std(x, axis=0, ddof=1, keepdims=True),
        lambda x: np.true_divide(1.0, x),
        lambda x: np.power(x, 3),
        lambda x: np.concatenate([x, array], axis=1),
        lambda x: np.stack([array, x]),
        lambda x: np.where(array > 2, x, 0.0),
        lambda x: np.einsum("ij,jk", x, array),
        lambda x: np.take(x, [0, 0], axis=1),
        lambda x: np.pad(x, 1),
        lambda x: np.split(x, 2)[1],
        lambda x: np.clip(x, 2, 3),
        lambda x: array @ x,
        lambda x: array - x,
        lambda x: np.float64(2) * x,
    ):
        recorded = function(x)
        assert isinstance(recorded, mg.Tensor)
        assert recorded.requires_grad
        np.testing.assert_array_equal(recorded.numpy(), function(array))


def test_numpys_questions_are_answered():
    x = mg.tensor([[1.0, 2.0]], requires_grad=True)
    assert np.shape(x) == (1, 2)
    assert np.ndim(x) == 2
    assert np.size(x) == 2
    assert np.allclose(x, [[1, 2]])
    assert np.array_equal(x, x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sort(x),
        lambda x: np.linalg.svd(x),
        lambda x: np.linalg.trace(x),
        lambda x: np.put(x, 0, 1.0),
        lambda x: np.add.reduce(x),
        lambda x: np.exp(x, where=[True]),
        lambda x: np.cbrt(x.requires_grad_()),
        lambda x: np.sum(x, dtype=np.float32),
        lambda x: np.mean(x, where=[True]),
    ],
)
def test_what_numpy_has_and_minigrad_has_not_is_said(call):
    with pytest.raises(TypeError, match=r"np\.|ufunc"):
        call(mg.tensor([[1.0, 2.0]]))


def test_methods_are_the_operations():
    x = mg.tensor(np.arange(6.0).reshape(2, 3) + 1, requires_grad=True)
    for name in (
        "cumsum",
        "diagonal",
        "exp",
        "log",
        "max",
        "mean",
        "min",
        "prod",
        "ravel",
        "std",
        "sum",
        "trace",
        "var",
    ):
        np.testing.assert_array_equal(getattr(x, name)().numpy(), getattr(mg, name)(x.numpy()))
    np.testing.assert_array_equal(x.flatten().numpy(), x.numpy().flatten())
    np.testing.assert_array_equal(x.dot(x.T).numpy(), x.numpy() @ x.numpy().T)
    np.testing.assert_array_equal(x.repeat(2, axis=1).numpy(), x.numpy().repeat(2, axis=1))
    np.testing.assert_array_equal(x.take([1, 1], axis=0).numpy(), x.numpy()[[1, 1]])
    np.testing.assert_array_equal((7 // x).numpy(), 7 // x.numpy())
    np.testing.assert_array_equal((7 % x).numpy(), 7 % x.numpy())
    np.testing.assert_array_equal((+x).numpy(), x.numpy())
    whole = mg.tensor([6, 3])
    assert (whole & 2).tolist() == [2, 2]
    assert (1 | whole).tolist() == [7, 3]
    assert (whole ^ 1).tolist() == [7, 2]
    assert (~(whole > 3)).tolist() == [False, True]


def test_indices_may_be_tensors():
    x = mg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    index = mg.tensor([[0, 2], [1, 1]])
    np.testing.assert_array_equal(mg.take_along_axis(x, index, 1).numpy(), [[0, 2], [4, 4]])
    np.testing.assert_array_equal(x.take(index).numpy(), [[0, 2], [1, 1]])
    np.testing.assert_array_equal(mg.one_hot(index, 3).numpy()[0], [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(x[index[:, 0]].numpy(), [[0, 1, 2], [3, 4, 5]])


def test_many_inputs():
    xs = [mg.tensor([float(i)], requires_grad=True) for i in range(300)]
    joined = mg.concatenate(xs)
    mg.sum(joined * joined).backward()
    assert [x.grad.item() for x in xs] == [2.0 * i for i in range(300)]


X = mg.tensor(np.ones((2, 3)), requires_grad=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.concatenate([]), ValueError, "concatenate: need at least one array"),
        (lambda: mg.concatenate([X, X], axis=2), IndexError, r"concatenate: axis 2 .* shape \(2, 3\)"),
        (lambda: mg.concatenate([X, X.T]), ValueError, r"concatenate: .*x1: shape \(3, 2\)"),
        (lambda: mg.stack([X, X.T]), ValueError, "stack: .*same shape"),
        (lambda: mg.split(X, 2, axis=1), ValueError, r"split: 2 equal parts of axis 1 of shape \(2, 3\)"),
        (lambda: mg.split(X, 2, axis=2), IndexError, "split: axis 2"),
        (lambda: mg.pad(X, 1, mode="mean"), ValueError, "pad: mode must be .* got 'mean'"),
        (lambda: mg.einsum("ij,jk", X), ValueError, r"einsum: 'ij,jk' describes 2 operand\(s\), got 1"),
        (lambda: mg.einsum("ijk", X), ValueError, "einsum: 'ijk' does not fit operand 0, which has 2 axes"),
        (lambda: mg.einsum("i...->i", X), ValueError, "einsum: .* not in the answer"),
        (lambda: mg.einsum("ij,jk", X, X), ValueError, "einsum: "),
        (lambda: mg.norm(X, "nuc"), ValueError, "norm: for matrices, ord must be .* got 'nuc'"),
        (lambda: mg.norm(X, "fro", axis=0), ValueError, "norm: .*'fro'"),
        (lambda: mg.norm(mg.ones_like(X[None]), 2), ValueError, "norm: ord 2 over axis None"),
        (lambda: mg.gelu(X, "erf"), ValueError, 'gelu: approximate must be "none" or "tanh"'),
        (lambda: mg.clip(X), ValueError, "clip: expected a_min, a_max or both"),
        (lambda: mg.one_hot(X, 3), TypeError, "one_hot: expected integer indices"),
        (lambda: mg.one_hot(mg.tensor([3]), 3), IndexError, r"one_hot: indices must be in 0\.\.2"),
        (lambda: mg.take(X, [7]), IndexError, "take: index 7 is out of bounds"),
        (lambda: mg.take_along_axis(X, np.array([0]), 0), ValueError, r"take_along_axis: indices of shape \(1,\)"),
        (lambda: mg.dot(X, X), ValueError, "dot: shapes"),
        (lambda: mg.cumsum(X, axis=2), ValueError | IndexError, "cumsum: axis 2 is out of bounds"),
        (lambda: mg.var(X, ddof=6), ValueError, "var: 6 element"),
    ],
)
def test_wrong_input_is_explained(call, error, message):
    kinds = error.__args__ if hasattr(error, "__args__") else error
    with pytest.raises(kinds, match=message):
        call()


@pytest.mark.parametrize("n", [3, 10_000])
def test_where_by_numbers_takes_those_that_are_not_0(n):
    x, y = (mg.tensor(np.full((2, n), value), requires_grad=True) for value in (1.0, 2.0))
    condition = np.resize([0, 2, -1, 0], n)
    chosen = mg.where(condition, x, y)
    np.testing.assert_array_equal(chosen.data, np.where(condition, x.data, y.data))
    chosen.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.resize(condition != 0, (2, n)))
    np.testing.assert_array_equal(y.grad.data, np.resize(condition == 0, (2, n)))


def test_where_on_many_elements_has_numpys_bits():
    rng = np.random.default_rng(0)
    condition = rng.random((100, 100)) < 0.5
    for dtype in (np.float16, np.float32, np.float64):
        x, y = rng.normal(size=(2, 100, 100)).astype(dtype)
        x[0], y[1] = np.nan, -0.0
        x[2], y[3] = np.inf, -np.inf
        pairs = [
            (x, y),
            (x.T, y),
            (x, 0.0),
            (0.0, x),
            (x, -0.0),
            (-0.0, x),
            (x, 1),
            (x, y[0]),
            (x, y.astype(np.float64)),
        ]
        for a, b in [*pairs, (1.5, 2.5), (np.arange(10_000).reshape(100, 100), 0)]:
            with np.errstate(invalid="ignore"):
                ours, numpys = mg.where(condition, a, b), np.where(condition, a, b)
            assert ours.dtype == numpys.dtype
            assert ours.tobytes() == numpys.tobytes()
    both = np.stack([x, y])
    assert mg.where(condition, both, y).tobytes() == np.where(condition, both, y).tobytes()
    assert mg.where(condition[:, :1], x, y).tobytes() == np.where(condition[:, :1], x, y).tobytes()


def test_gradients_of_many_elements_are_those_of_few():
    rng = np.random.default_rng(0)
    x, y = (mg.tensor(rng.normal(size=(100, 100)), dtype="float64", requires_grad=True) for _ in range(2))
    for function in (mg.maximum, mg.minimum, lambda x, y: mg.where(x > y, x, y), lambda x, y: mg.clip(x, -0.5, y)):
        whole = mg.grad(function(x, y).sum(), [x, y])
        rows = [mg.grad(function(x[i], y[i]).sum(), [x, y]) for i in range(0, 100, 33)]
        for i, row in zip(range(0, 100, 33), rows, strict=True):
            for all_rows, one in zip(whole, row, strict=True):
                np.testing.assert_array_equal(all_rows.numpy()[i], one.numpy()[i])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mean_has_numpys_bits(dtype):
    x = np.random.default_rng(0).normal(size=(37, 301)).astype(dtype)
    for axis in (None, 0, 1, (0, 1)):
        np.testing.assert_array_equal(mg.mean(x, axis=axis), np.mean(x, axis=axis))


def test_inputs_that_are_alike_but_smaller_than_the_answer_get_gradients_of_their_shape():
    x, y = (mg.tensor(np.ones(3), requires_grad=True) for _ in range(2))
    mg.where(np.eye(3, dtype=bool), x, y).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]
    assert y.grad.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("function", [mg.std, mg.norm])
def test_second_derivatives_are_0_where_a_distance_is_0(function):
    x = mg.tensor([2.0, 2.0, 2.0] if function is mg.std else [0.0, 0.0, 0.0], dtype="float64", requires_grad=True)
    (g,) = mg.grad(function(x), [x], create_graph=True)
    (second,) = mg.grad((g * mg.tensor([1.0, -2.0, 5.0])).sum(), [x])
    assert g.tolist() == second.tolist() == [0.0, 0.0, 0.0]


def test_einsum_gives_gradients_of_the_shape_of_operands_that_it_repeated():
    x, y = mg.tensor(np.ones((1, 3)), requires_grad=True), mg.tensor(np.full((2, 3), 2.0), requires_grad=True)
    mg.einsum("ij,ij->ij", x, y).sum().backward()
    assert x.grad.tolist() == [[4.0, 4.0, 4.0]]
    assert y.grad.tolist() == [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
