"""Operations that users make: every ordinary function is taken, and rules that don't fit are refused at once."""

import dis
import inspect

import numpy as np
import pytest

import minigrad as mg
import nn
import nn.functional as F
from minigrad.tape import Operation, differentiable


def leaf(*values):
    return mg.tensor(np.array(values), requires_grad=True)


def gradient(function, *xs):
    return [g.tolist() for g in mg.grad(function(*xs).sum(), xs)]


# --- functions


@pytest.mark.parametrize(
    "default",
    [float("inf"), np.float32(2.0), np.ones(2), object(), None, "text", 2],
    ids=lambda default: type(default).__name__,
)
def test_a_default_is_the_object_itself(default):
    seen = []

    @differentiable(lambda g: g)
    def kept(x, option=default):
        seen.append(option)
        return x + 0.0

    assert gradient(kept, leaf(1.0, 2.0)) == [[1.0, 1.0]]
    assert kept(leaf(1.0), 5).tolist() == [1.0]
    assert seen[0] is default
    assert seen[1] == 5
    assert inspect.signature(kept).parameters["option"].default is default


def test_parameters_of_every_kind():
    @differentiable(lambda g, k: g * k, lambda g: g, lambda g, x: g * x)
    def combined(x, /, y, *, k=3.0, to_sum=0.0):
        return x * k + y + to_sum

    x, y, k = leaf(1.0, 2.0), leaf(5.0, 7.0), leaf(2.0, 4.0)
    assert gradient(combined, x, y) == [[3.0, 3.0], [1.0, 1.0]]
    assert gradient(lambda x, y, k: combined(x, y=y, k=k), x, y, k) == [[2.0, 4.0], [1.0, 1.0], [1.0, 2.0]]
    assert combined(x, y, to_sum=1.0).tolist() == [9.0, 14.0]
    assert combined(x, y).tolist() == [8.0, 13.0]  # nothing was left behind
    with pytest.raises(TypeError, match="positional"):
        combined(x, y, 3.0)
    with pytest.raises(TypeError, match="missing 1 required"):
        combined(x)


@pytest.mark.parametrize("name", ["forward", "call", "write", "Node", "<lambda>", "class", "back0"])
def test_an_operation_may_have_any_name(name):
    function = lambda x: x * 2.0
    function.__name__ = name
    assert gradient(differentiable(lambda g: g * 2.0)(function), leaf(1.0)) == [[2.0]]


def test_a_broadcast_operation_may_have_parameters_called_shape_and_dtype():
    @differentiable(lambda g: g, lambda g: g, broadcasts=True)
    def moved(shape, dtype, times=1.0):
        return shape + dtype * times

    assert gradient(moved, leaf(1.0, 2.0), leaf(3.0)) == [[1.0, 1.0], [2.0]]


class Callable:
    def __call__(self, x):
        return x * 2.0


def test_an_object_that_can_be_called_is_named_by_its_class():
    doubled = differentiable(lambda g: g * 2.0)(Callable())
    assert gradient(doubled, leaf(1.0)) == [[2.0]]
    with pytest.raises(TypeError, match="Callable: "):
        doubled(None)


@pytest.mark.parametrize(
    "name", ["forward", "node", "operation", "error", "new", "Tensor", "shape", "back0", "g", "values"]
)
def test_a_parameter_may_have_any_name_that_begins_with_no_underscore(name):
    function = eval(f"lambda x, {name}: x * {name}")
    rules = [eval(f"lambda g, {name}: g * {name}" if name != "g" else "lambda g: g"), eval("lambda g, x: g * x")]
    product = differentiable(*rules, broadcasts=True)(function)
    assert gradient(product, leaf(1.0, 2.0), leaf(5.0))[1] == [3.0]


def test_the_names_that_an_operations_text_uses_itself_begin_with_an_underscore():
    """Another name would be hidden by a parameter that has it."""
    operation = Operation(lambda x, y, z: (x, y), [lambda g, x: g, lambda g: g, None], True, lambda x: x)
    code = compile(operation.source(), "", "exec")
    (call,) = [constant for constant in code.co_consts if getattr(constant, "co_name", "") == "_call"]
    reads = {i.argval for i in dis.get_instructions(call) if i.opname in ("LOAD_GLOBAL", "LOAD_FAST", "STORE_FAST")}
    assert {name for name in reads if name[0] != "_"} == {"ans", "residual", "isinstance", *"xyz", "x_", "y_", "z_"}


@pytest.mark.parametrize(
    ("made", "kind", "message"),
    [
        (
            lambda: differentiable(lambda g, z: g)(lambda x, y: x),
            ValueError,
            "<lambda>: rule 0 names z; known are ans, x",
        ),
        (lambda: differentiable(max)(lambda x: x), TypeError, "parameters have names, got <built-in"),
        (
            lambda: differentiable(lambda g, residual: g)(lambda x: x),
            ValueError,
            "rule 0 names residual; known are ans",
        ),
        (lambda: differentiable(lambda g: g, residual=lambda ans: 1)(lambda x: x), ValueError, "residual names ans"),
        (lambda: differentiable(lambda g: g, lambda g: g)(lambda x: x), TypeError, "<lambda>: 2 rules for 1 parameter"),
        (
            lambda: differentiable(3.0)(lambda x: x),
            TypeError,
            "expected a function whose parameters have names, got 3.0",
        ),
        (lambda: differentiable(lambda g: g)(3.0), TypeError, "expected a function .*, got 3.0"),
        (lambda: differentiable(lambda g: g)(lambda *x: x), TypeError, r"<lambda>: \*x stands for any number"),
        (lambda: differentiable(lambda g: g)(lambda x, **k: x), TypeError, r"<lambda>: \*\*k stands for any number"),
        (lambda: differentiable(lambda g: g)(lambda ans: ans), ValueError, "a parameter can't be called ans"),
        (lambda: differentiable(lambda g: g)(lambda x, x_: x), ValueError, "a parameter can't be called x_"),
        (lambda: differentiable(lambda g: g)(lambda x, _y: x), ValueError, "a parameter can't be called _y"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_operation_is_made(made, kind, message):
    with pytest.raises(kind, match=r"^differentiable: .*" + message):
        made()


# --- rules


@pytest.mark.parametrize(
    "rules",
    [
        [lambda g, x: x],
        [lambda g, x, y: y, lambda g, x, y: x],
        [lambda g, residual: residual],
    ],
)
def test_a_gradient_is_no_array_that_the_tape_keeps(rules):
    residual = lambda x, y: y
    own = np.array([3.0, 4.0])
    x, y = mg.Tensor(own), mg.Tensor(np.array([5.0, 6.0]))
    x.requires_grad, y.requires_grad = True, len(rules) > 1
    differentiable(*rules, residual=residual)(lambda x, y: (x * y, y))(x, y).sum().backward()
    for tensor in (x, y):
        if tensor.grad is not None:
            tensor.grad.data[...] = 0.0
    assert own.tolist() == [3.0, 4.0]
    assert y.tolist() == [5.0, 6.0]


# --- parameters without a rule


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, w: mg.leaky_relu(x, w), "^leaky_relu: negative_slope requires a gradient, but has no derivative"),
        (lambda x, w: mg.elu(x, alpha=w), "^elu: alpha requires a gradient"),
        (lambda x, w: mg.pad(x, 1, constant_values=w), "^pad: constant_values requires a gradient"),
        (lambda x, w: mg.norm(x, ord=w), "^norm: ord requires a gradient"),
        (lambda x, w: mg.norm(x, ord=w * 0 + 1), "^norm: ord requires a gradient"),
        (lambda x, w: F.leaky_relu(x, w), "^leaky_relu: negative_slope requires a gradient"),
        (lambda x, w: F.huber_loss(x, x, delta=w), "^huber_loss: delta requires a gradient"),
        (lambda x, w: F.smooth_l1_loss(x, x, beta=w), "^smooth_l1_loss: beta requires a gradient"),
        (lambda x, w: F.layer_norm(x, (2,), eps=w), "^layer_norm: eps requires a gradient"),
        (lambda x, w: F.nll_loss(x, np.array(1), x), "^nll_loss: weight requires a gradient"),
        (lambda x, w: F.cross_entropy(x, np.array(1), x), "^cross_entropy: weight requires a gradient"),
        (lambda x, w: F.cross_entropy(x, np.ones(2), x), "^cross_entropy: weight requires a gradient"),
    ],
)
def test_what_has_no_derivative_wants_none(call, message):
    x, w = leaf(1.0, 2.0), nn.Parameter(0.25)
    with pytest.raises(TypeError, match=message):
        call(x, w)


def test_what_has_no_derivative_is_taken_as_a_constant_where_nothing_is_recorded():
    x, w = leaf(-1.0, 2.0), nn.Parameter(0.25)
    with mg.no_grad():
        assert mg.leaky_relu(x, w).tolist() == [-0.25, 2.0]
        assert F.nll_loss(x, np.array(1), x).tolist() == -2.0
    assert mg.leaky_relu(x, w.detach()).tolist() == [-0.25, 2.0]
    assert mg.grad(mg.norm(x, mg.tensor(1.0)), x).tolist() == [-1.0, 1.0]


def test_conditions_and_comparisons_are_constants_whatever_they_were_made_of():
    x = leaf(-1.0, 0.5)
    assert gradient(lambda x: mg.where(x, x, 0.0), x) == [[1.0, 1.0]]
    assert (x > x).tolist() == [False, False]
    assert gradient(lambda x: x * (x > 0), x) == [[0.0, 1.0]]
    assert mg.argmax(x).item() == 1
    target = leaf(1.0, -1.0)
    assert mg.grad(F.hinge_embedding_loss(x, target), x).tolist() == [0.5, -0.5]


# --- errors that are no fault of the arguments


def test_errors_that_are_not_explained_pass_as_they_are():
    @differentiable(lambda g: g)
    def fails(x, error):
        raise error

    for error in (MemoryError("no room"), FloatingPointError("lost"), RuntimeError("cudaErrorX"), KeyError("k")):
        with pytest.raises(type(error)) as caught:
            fails(leaf(1.0), error)
        assert caught.value is error
    for error in (ValueError("v"), IndexError("i"), TypeError("t")):
        with pytest.raises(type(error), match=rf"^fails: {error} \(x: shape \(1,\) float64 on cpu, error: "):
            fails(leaf(1.0), error)
    with pytest.raises(TypeError, match=r"^fails: a; expected arrays or Tensors \(x"):
        fails(leaf(1.0), AttributeError("a"))


def test_numpys_errors_of_arithmetic_are_numpys():
    with np.errstate(all="raise"):
        for call in (
            lambda: mg.log(leaf(0.0)),
            lambda: F.softmax(leaf(1.0)) / 0.0,
            lambda: mg.stack([leaf(1e308)]) * 10,
        ):
            with pytest.raises(FloatingPointError):
                call()
    with pytest.raises(OverflowError):
        mg.tensor(np.ones(2, np.uint8)) + 300
