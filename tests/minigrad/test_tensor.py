"""Tensor: making one, its array, its operators, writing to it, and NumPy's functions on it."""

import copy
import operator

import numpy as np
import pytest

import minigrad as mg
import nn


def leaf(data, dtype=np.float64):
    return mg.tensor(np.array(data, dtype), requires_grad=True)


# --- making one


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.0, np.float32), ([1.0, 2], np.float32), ([[1.0], [2.0]], np.float32), (1, np.int64), ([True], np.bool_),
        (np.float64(1.0), np.float64), (np.ones(2), np.float64), (np.ones(2, np.float16), np.float16),
        (np.arange(2, dtype=np.int8), np.int8), ([], np.float32), (1j, np.complex128), (range(3), np.int64),
    ],
)  # fmt: skip
def test_types(data, dtype):
    assert mg.tensor(data).dtype == dtype


def test_the_default_dtype_is_for_python_floats(float64_default):
    assert mg.tensor([1.0]).dtype == np.float64
    assert mg.tensor(np.ones(1, np.float32)).dtype == np.float32
    assert nn.Linear(1, 1).weight.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.int64, bool, "complex128", "abc", 1.5, None])
def test_the_default_dtype_is_a_float(dtype):
    with pytest.raises(TypeError, match=r"set_default_dtype: dtype must be a floating-point type, got"):
        mg.set_default_dtype(dtype)


def test_a_tensor_copies_what_it_is_made_of():
    array = np.ones(2)
    for data in (array, mg.Tensor(array)):
        made = mg.tensor(data, dtype=np.float64)
        made[0] = 5.0
        assert array[0] == 1.0
    assert mg.tensor(array, dtype=np.float16).dtype == np.float16


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        ([[1.0], [2.0, 3.0]], ValueError, "tensor: "),
        ("abc", TypeError, "tensor: .*str"),
        ([None], TypeError, "tensor: .*list"),
        ({}, TypeError, "tensor: .*dict"),
        (object(), TypeError, "tensor: .*object"),
    ],
)
def test_what_is_no_number_is_refused(data, kind, words):
    with pytest.raises(kind, match=words):
        mg.tensor(data)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "", 0])
def test_unknown_devices_are_refused(device):
    with pytest.raises(ValueError, match="device must be"):
        mg.tensor([1.0], device=device)


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("f4")])
@pytest.mark.parametrize("made", [mg.tensor([1.0]), nn.Linear(1, 1)])
def test_a_type_given_as_a_device_is_told_where_it_belongs(made, dtype):
    with pytest.raises(ValueError, match=r"device must be .*; a type is given as dtype="):
        made.to(dtype)


@pytest.mark.parametrize("seed", [1.5, -1, float("nan")])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="manual_seed: seed must be a whole number from 0, got"):
        mg.manual_seed(seed)


@pytest.mark.parametrize("data", [[1.0, 2.0], 3.0, None, "text", mg.tensor([1.0])])
@pytest.mark.parametrize("cls", [mg.Tensor, mg.Tensor.__mro__[1]])
def test_the_class_itself_takes_arrays_alone(cls, data):
    with pytest.raises(
        TypeError, match=rf"{cls.__name__}: expected an array, got a {type(data).__name__}; minigrad.tensor"
    ):
        cls(data)
    assert mg.Tensor(np.float32(2.0)).tolist() == 2.0


# --- the array


def test_shape_and_size():
    x = mg.tensor(np.ones((2, 3)))
    assert (x.shape, x.ndim, x.size, len(x), x.device) == ((2, 3), 2, 6, 2, "cpu")
    assert x.numpy() is x.data
    assert x.tolist() == [[1.0] * 3] * 2
    assert [row.shape for row in x] == [(3,), (3,)]


def test_one_element_is_a_number():
    x = mg.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    for convert in (mg.Tensor.item, float, int):
        with pytest.raises(ValueError, match=r"item: a tensor of shape \(2,\) has 2 elements, expected 1"):
            convert(mg.tensor([1.0, 2.0]))


def test_a_number_has_no_length():
    with pytest.raises(TypeError, match=r"shape \(\)"):
        len(mg.tensor(1.0))
    with pytest.raises(TypeError, match=r"shape \(\)"):
        list(mg.tensor(1.0))


def test_repr():
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(leaf([1.0])) == "tensor([1.], dtype=float64, requires_grad=True)"
    assert repr(mg.tensor(1)) == "tensor(1, dtype=int64)"


def test_format():
    x = mg.tensor([[1.23456]])
    assert f"{x:.2f}" == "1.23"
    assert f"{x}" == str(x)
    with pytest.raises(ValueError, match="format"):
        f"{mg.tensor([1.0, 2.0]):.2f}"


def test_tensors_are_keys():
    x, y = mg.tensor([1.0]), mg.tensor([1.0])
    assert {x: 1, y: 2}[x] == 1
    assert len({x, y, x}) == 2


@pytest.mark.parametrize("name", ["sum", "mean", "max", "argmax", "exp", "T", "ravel", "flatten", "squeeze", "abs"])
def test_methods_are_the_operations(name):
    x = mg.tensor(np.arange(6.0).reshape(2, 3))
    method = getattr(x, name)
    answer = method() if callable(method) and not isinstance(method, mg.Tensor) else method
    wanted = {"exp": np.exp, "abs": np.abs}.get(name, lambda a: getattr(a, name))(x.data)
    np.testing.assert_array_equal(answer.numpy(), wanted() if callable(wanted) else wanted)


def test_methods_take_shapes_and_axes_in_both_forms():
    x = mg.tensor(np.arange(6.0).reshape(2, 3))
    assert x.reshape(3, 2).shape == x.reshape((3, 2)).shape == x.reshape(3, -1).shape == (3, 2)
    assert x.reshape(-1).shape == x.reshape((6,)).shape == x.reshape(np.int64(6)).shape == (6,)
    assert x.transpose().shape == x.transpose(1, 0).shape == x.transpose((1, 0)).shape == (3, 2)
    assert mg.tensor(1.0).reshape().shape == ()
    assert x.to(dtype=np.float16).dtype == np.float16
    assert x.to("cpu") is x


OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("other", [2, 2.5, np.float32(2.5), np.array([1.0, 2.0, 3.0]), np.array(2.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operators_with_numbers_and_arrays_on_either_side(sign, other, dtype):
    x = np.array([0.5, 2.0, 7.0], dtype)
    operator = OPERATORS[sign]
    for ours, wanted in (
        (operator(mg.Tensor(x), other), operator(x, other)),
        (operator(other, mg.Tensor(x)), operator(other, x)),
    ):
        assert isinstance(ours, mg.Tensor)
        assert ours.dtype == wanted.dtype
        np.testing.assert_array_equal(ours.numpy(), wanted)


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "**"])
def test_an_array_on_the_left_is_recorded(sign):
    x = leaf([1.0, 2.0])
    left = np.array([3.0, 4.0])
    g = mg.grad(OPERATORS[sign](left, x).sum(), x).numpy()
    step = 1e-6
    wanted = (OPERATORS[sign](left, x.numpy() + step) - OPERATORS[sign](left, x.numpy() - step)) / (2 * step)
    np.testing.assert_allclose(g, wanted, rtol=1e-6)


def test_truth_values():
    x, y = mg.tensor([True, False]), mg.tensor([True, True])
    assert (x & y).tolist() == [True, False]
    assert (x | y).tolist() == [True, True]
    assert (x ^ y).tolist() == [False, True]
    assert (~x).tolist() == [False, True]
    assert mg.tensor([[True]])
    with pytest.raises(ValueError, match=r"truth value of a tensor of shape \(2,\) .* all\(\) or any\(\)"):
        bool(x)


def test_tensors_are_indices():
    x, i = leaf([1.0, 2.0, 3.0]), mg.tensor([0, 0, 2])
    (x[i] + x[x > 1.5][:1]).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 3.0, 1.0])


# --- NumPy's functions


def test_numpys_functions_are_recorded():
    x = leaf([1.0, 2.0])
    total = np.sum(np.exp(x) * np.array([1.0, 3.0]), axis=0) + np.concatenate([x, x]).mean()
    total.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]) * [1.0, 3.0] + 0.5)
    assert np.shape(x) == (2,)
    assert np.allclose(x, [1.0, 2.0])


def test_numpys_functions_of_values_take_tensors_by_name_too():
    x = leaf([1.0, 2.0])
    assert np.allclose(x, b=x)
    assert np.allclose(b=x, a=[1.0, 2.0])
    assert np.array_equal(x, a2=x)
    assert np.argsort(-x, axis=0).tolist() == [1, 0]
    assert np.count_nonzero(x) == 2


@pytest.mark.parametrize("function", [np.floor, np.ceil, np.rint, np.trunc, np.round, np.around, np.exp2])
def test_numpys_functions_without_an_operation_are_for_what_wants_no_gradient(function):
    values = np.array([1.4, 2.5, -0.5])
    for x in (mg.tensor(values), mg.tensor(values)[0]):
        answer = function(x)
        assert isinstance(answer, mg.Tensor)
        assert answer.tolist() == function(x.numpy()).tolist()
    with mg.no_grad():
        assert function(leaf(values)).tolist() == function(values).tolist()
    with pytest.raises(TypeError, match=r"^np\.\w+ is not an operation on Tensors: .*detach\(\)\.numpy\(\)"):
        function(leaf(values))
    assert np.round(mg.tensor(values), 1).tolist() == values.tolist()


@pytest.mark.parametrize("function", [np.hstack, np.vstack])
def test_numpys_stacks_are_recorded(function):
    for shapes in ([(2,), (2,)], [(3, 2), (3, 2)], [(), ()], [(2, 1, 2), (2, 1, 2)]):
        xs = [leaf(np.arange(np.prod(shape)).reshape(shape)) for shape in shapes]
        answer = function([*xs, xs[0].numpy()])
        np.testing.assert_array_equal(answer.numpy(), function([x.numpy() for x in (*xs, xs[0])]))
        (answer * answer).sum().backward()
        for x in xs:
            np.testing.assert_array_equal(x.grad.numpy(), 2 * x.numpy())
    assert function([leaf([1.0, 2.0]), [3.0, 4.0]]).tolist() == function([[1.0, 2.0], [3.0, 4.0]]).tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.add.reduce(x),
        lambda x: np.add(x, 1.0, where=np.array([True, False])),
        lambda x: np.median(x),
        lambda x: np.arctan2(x, x),
        lambda x: np.sum(x, initial=3.0),
        lambda x: np.add(np.ones(2), x, out=np.ones(2)),
    ],
)
def test_what_would_lose_a_gradient_is_refused(call):
    with pytest.raises((TypeError, RuntimeError), match=r"np\.\w+"):
        call(leaf([1.0, 2.0]))


def test_an_array_can_be_updated_with_a_constant_tensor():
    a = np.ones(2)
    a -= mg.tensor(np.array([0.25, 0.5]))
    np.testing.assert_array_equal(a, [0.75, 0.5])


def test_an_array_is_updated_as_numpy_would():
    a = np.array([1, 2])
    with pytest.raises(TypeError, match=r"np\.add: `out`: a result of type float64 can't be written into .* int64"):
        a += mg.tensor(np.array([0.5, 0.9]))
    with pytest.raises(ValueError, match=r"np\.add: `out`: a result of shape \(3, 2\) can't be written into .* \(2,\)"):
        a += mg.tensor(np.ones((3, 2), int))
    assert a.tolist() == [1, 2]


# --- writing


def test_items_are_written():
    x = mg.tensor(np.zeros(3))
    x[0] = 1.0
    x[mg.tensor([1, 2])] = mg.tensor([5.0, 6.0])
    assert x.tolist() == [1.0, 5.0, 6.0]


def test_writes_to_a_leaf_need_no_grad():
    x = leaf([1.0, 2.0])

    def add():
        nonlocal x
        x += 1.0

    def assign():
        x[0] = 1.0

    for write in (add, assign):
        with pytest.raises(RuntimeError, match="no_grad"):
            write()
        with mg.no_grad():
            write()


def test_a_value_that_requires_a_gradient_is_not_written():
    x = mg.tensor(np.zeros(2))
    with pytest.raises(RuntimeError, match="no gradient would pass"):
        x[0] = leaf(1.0)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [(5, 1.0, IndexError), (slice(None), np.ones(3), ValueError), ("a", 1.0, IndexError), (0, "a", ValueError)],
)
def test_a_wrong_write_says_what_it_was(key, value, kind):
    x = mg.tensor(np.zeros(2))
    with pytest.raises(kind, match=r"shape \(2,\)"):
        x[key] = value


def test_in_place_arithmetic_keeps_the_tensor_and_its_type():
    x = mg.tensor(np.array([8.0, 4.0], np.float32))
    same, array = x, x.data
    x += np.ones(2)
    x -= 1.0
    x *= 3
    x /= mg.tensor(2.0)
    assert x is same
    assert x.data is array
    np.testing.assert_array_equal(x.numpy(), np.array([12.0, 6.0], np.float32))


IN_PLACE = {
    "**=": operator.ipow, "//=": operator.ifloordiv, "%=": operator.imod, "@=": operator.imatmul, "&=": operator.iand,
    "|=": operator.ior, "^=": operator.ixor, "+=": operator.iadd, "-=": operator.isub, "*=": operator.imul,
}  # fmt: skip


@pytest.mark.parametrize("sign", IN_PLACE)
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_every_operator_writes_in_place_or_raises_as_numpys_does(sign, dtype):
    for other in (np.array([[2, 1], [1, 3]], dtype), np.array([3, 1], dtype), 2, 0.5, np.ones((2, 2, 2), dtype)):
        array = np.array([[5, 6], [7, 8]], dtype)
        x = same = mg.tensor(array)
        data, before = x.data, array.copy()
        try:
            with np.errstate(all="ignore"):
                expected = IN_PLACE[sign](array, other)
        except (TypeError, ValueError):
            with pytest.raises((TypeError, ValueError)):
                x = IN_PLACE[sign](x, mg.tensor(other) if isinstance(other, np.ndarray) else other)
            expected = before
        else:
            x = IN_PLACE[sign](x, mg.tensor(other) if isinstance(other, np.ndarray) else other)
        assert x is same
        assert x.data is data
        np.testing.assert_array_equal(x.numpy(), expected)
    if dtype == np.float64 and sign not in ("&=", "|=", "^="):
        x = leaf([[1.0, 2.0], [3.0, 4.0]])
        with pytest.raises(RuntimeError, match="no_grad"):
            IN_PLACE[sign](x, x.detach())
        y = x * 1.0
        assert IN_PLACE[sign](y, x.detach()) is not y


def test_what_was_needed_and_is_raised_in_place_is_noticed():
    x, w = mg.tensor(np.array([2.0, 3.0])), leaf([1.0, 1.0])
    y = x * w
    x **= 2
    with pytest.raises(RuntimeError, match="written in place"):
        y.sum().backward()


def test_in_place_arithmetic_does_not_truncate():
    x = mg.tensor([1, 2])
    with pytest.raises(TypeError, match=r"float.*int"):
        x += 0.5
    assert x.tolist() == [1, 2]


def test_in_place_arithmetic_on_the_tape_makes_a_new_tensor():
    x = leaf([1.0, 2.0])
    y = before = x * 3.0
    y *= x
    assert y is not before
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 12.0])


# --- grad, detach


def test_detach_shares_the_array():
    x = leaf([1.0])
    y = x.detach()
    assert y.data is x.data
    assert not y.requires_grad
    assert y.is_leaf


@pytest.mark.parametrize("grad", [np.ones(3), np.ones(2, np.float32), mg.tensor(np.ones((1, 2)))])
def test_a_gradient_of_another_shape_or_type_is_refused(grad):
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"grad: shape .* does not fit a tensor of shape \(2,\) float64"):
        x.grad = grad
    assert x.grad is None


@pytest.mark.parametrize("grad", [1.0, [1.0, 2.0], "g"])
def test_a_gradient_that_is_no_tensor_is_refused(grad):
    with pytest.raises(
        TypeError, match=r"grad: expected a Tensor, an array, a RowSparse or None, got (float|list|str)"
    ):
        leaf([1.0, 2.0]).grad = grad


def test_a_computed_tensor_keeps_requiring_gradients():
    y = leaf([1.0]) * 2.0
    assert not y.is_leaf
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad = False


def test_hooks_are_for_tensors_that_require_gradients():
    with pytest.raises(RuntimeError, match="register_hook"):
        mg.tensor([1.0]).register_hook(print)


def test_a_shallow_copy_shares_the_array():
    x = leaf([1.0])
    assert copy.copy(x).data is x.data


def test_zeros_are_written_into_a_gradient_that_is_a_numpy_scalar():
    p = mg.tensor(1.0, requires_grad=True)
    p.grad = mg.Tensor(np.float32(2.0) * np.float32(3.0))  # what arithmetic of 0-d arrays leaves
    p.zero_grad(set_to_none=False)
    assert (p.grad.item(), p.grad.shape, p.grad.dtype) == (0.0, (), np.float32)
