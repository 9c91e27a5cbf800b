"""Products with Jacobians and Hessians, and the check of derivatives itself."""

import numpy as np
import pytest

import minigrad as mg
import nn.functional as F
from minigrad.tape import differentiable

rng = np.random.default_rng(0)
A = rng.standard_normal((3, 2))
Q = rng.standard_normal((2, 2))


def leaf(values):
    return mg.tensor(np.asarray(values, dtype=float), requires_grad=True)


def linear(x):
    return mg.matmul(A, x)


def quadratic(x):
    """xᵀ Q x / 2, whose Hessian is (Q + Qᵀ) / 2."""
    return mg.dot(x, mg.matmul(Q, x)) / 2


def two(x, y):
    """(x · y, Σ x²), which the Jacobian of is known."""
    return x * y, mg.sum(x * x)


X, Y = leaf([1.0, 2.0]), leaf([3.0, -4.0])


def test_vjp():
    out, product = mg.vjp(linear, X, mg.tensor([1.0, 0.0, 2.0], dtype="float64"))
    np.testing.assert_array_equal(out.numpy(), A @ X.numpy())
    np.testing.assert_allclose(product.numpy(), [1, 0, 2] @ A)
    assert not out.requires_grad
    assert not product.requires_grad


def test_vjp_of_one_element_needs_no_vector():
    _, product = mg.vjp(quadratic, X)
    np.testing.assert_allclose(product.numpy(), (Q + Q.T) @ X.numpy() / 2)


def test_vjp_of_several_inputs_and_outputs():
    v = mg.tensor([1.0, 1.0], dtype="float64"), mg.tensor(2.0, dtype="float64")
    out, products = mg.vjp(two, (X, Y), v)
    assert isinstance(out, tuple)
    assert isinstance(products, tuple)
    np.testing.assert_array_equal(products[0].numpy(), Y.numpy() + 4 * X.numpy())
    np.testing.assert_array_equal(products[1].numpy(), X.numpy())


def test_jvp():
    t = mg.tensor([0.5, -1.0], dtype="float64")
    out, product = mg.jvp(linear, X, t)
    np.testing.assert_array_equal(out.numpy(), A @ X.numpy())
    np.testing.assert_allclose(product.numpy(), A @ t.numpy())
    _, (product, total) = mg.jvp(two, (X, Y), (t, t))
    np.testing.assert_allclose(product.numpy(), t.numpy() * (X.numpy() + Y.numpy()))
    np.testing.assert_allclose(total.numpy(), 2 * X.numpy() @ t.numpy())


def test_hvp():
    v = mg.tensor([0.5, -1.0], dtype="float64")
    out, product = mg.hvp(quadratic, X, v)
    np.testing.assert_allclose(out.numpy(), X.numpy() @ Q @ X.numpy() / 2)
    np.testing.assert_allclose(product.numpy(), (Q + Q.T) @ v.numpy() / 2)
    _, products = mg.hvp(lambda x, y: mg.sum(x * y), (X, Y), (v, 2 * v))
    np.testing.assert_allclose(products[0].numpy(), 2 * v.numpy())
    np.testing.assert_allclose(products[1].numpy(), v.numpy())


def test_jacobian():
    np.testing.assert_allclose(mg.jacobian(linear, X).numpy(), A)
    outer = mg.jacobian(lambda x: mg.outer(x, x), X).numpy()
    wanted = np.einsum("ik,j->ijk", np.eye(2), X.numpy()) + np.einsum("jk,i->ijk", np.eye(2), X.numpy())
    np.testing.assert_allclose(outer, wanted)
    (xy_x, xy_y), (xx_x, xx_y) = mg.jacobian(two, (X, Y))
    np.testing.assert_array_equal(xy_x.numpy(), np.diag(Y.numpy()))
    np.testing.assert_array_equal(xy_y.numpy(), np.diag(X.numpy()))
    np.testing.assert_array_equal(xx_x.numpy(), 2 * X.numpy())
    np.testing.assert_array_equal(xx_y.numpy(), [0, 0])


def test_jacobian_of_nothing_has_its_shape():
    assert mg.jacobian(lambda x: mg.outer(x[:0], x), X).shape == (0, 2, 2)


def test_hessian():
    np.testing.assert_allclose(mg.hessian(quadratic, X).numpy(), (Q + Q.T) / 2)
    (xx, xy), (yx, yy) = mg.hessian(lambda x, y: mg.sum(x * x * y), (X, Y))
    np.testing.assert_array_equal(xx.numpy(), 2 * np.diag(Y.numpy()))
    np.testing.assert_array_equal(xy.numpy(), 2 * np.diag(X.numpy()))
    np.testing.assert_array_equal(yx.numpy(), xy.numpy().T)
    np.testing.assert_array_equal(yy.numpy(), np.zeros((2, 2)))


def test_what_does_not_depend_has_zeros():
    constant = mg.tensor([1.0], dtype="float64")
    for function in (lambda x: constant, lambda x: mg.zeros_like(x).sum()):
        _, product = mg.vjp(function, X)
        np.testing.assert_array_equal(product.numpy(), [0, 0])
        np.testing.assert_array_equal(mg.hvp(function, X, X)[1].numpy(), [0, 0])
        assert not mg.jvp(function, X, X)[1].numpy().any()
        assert not mg.hessian(function, X).numpy().any()
    np.testing.assert_array_equal(mg.hvp(lambda x: mg.sum(x), X, X)[1].numpy(), [0, 0])


def test_inputs_need_not_require_gradients_and_are_left_alone():
    x = mg.tensor([1.0, 2.0], dtype="float64")
    np.testing.assert_allclose(mg.jacobian(linear, x).numpy(), A)
    assert not x.requires_grad
    X.grad = None
    mg.hessian(quadratic, X)
    assert X.grad is None


def test_create_graph_lets_the_products_be_differentiated():
    x = leaf([1.0, 2.0])
    ones = mg.tensor([1.0, 1.0], dtype="float64")
    cube = lambda x: mg.sum(x**3)
    _, product = mg.vjp(cube, x, create_graph=True)
    np.testing.assert_allclose(mg.grad(product.sum(), x).numpy(), 6 * x.numpy())
    _, product = mg.hvp(cube, x, ones, create_graph=True)
    np.testing.assert_allclose(mg.grad(product.sum(), x).numpy(), [6, 6])
    _, product = mg.jvp(lambda x: x**3, x, ones, create_graph=True)
    np.testing.assert_allclose(mg.grad(product.sum(), x).numpy(), 6 * x.numpy())
    np.testing.assert_allclose(mg.grad(mg.trace(mg.hessian(cube, x, create_graph=True)), x).numpy(), [6, 6])
    np.testing.assert_allclose(
        mg.grad(mg.jacobian(lambda x: x**3, x, create_graph=True).sum(), x).numpy(), 6 * x.numpy()
    )


def test_inside_no_grad_too():
    with mg.no_grad():
        np.testing.assert_allclose(mg.hessian(quadratic, X).numpy(), (Q + Q.T) / 2)
        np.testing.assert_allclose(mg.jvp(linear, X, X)[1].numpy(), A @ X.numpy())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.vjp(linear, X), ValueError, r"vjp: v: expected a tensor of shape \(3,\), got none"),
        (lambda: mg.vjp(linear, X, X), ValueError, r"vjp: v: expected .* \(3,\), got one of shape \(2,\)"),
        (lambda: mg.vjp(two, (X, Y), X), ValueError, r"vjp: v: expected 2 tensor\(s\), got 1"),
        (lambda: mg.jvp(linear, X, (X, X)), ValueError, r"jvp: tangents: expected 1 tensor\(s\), got 2"),
        (lambda: mg.hvp(linear, X, X), ValueError, r"hvp: f must return a single element"),
        (lambda: mg.hvp(quadratic, X, Y[:1]), ValueError, r"hvp: vectors: expected a tensor of shape \(2,\)"),
        (lambda: mg.jvp(3, X, X), TypeError, "^jvp: f must be a function, got 3$"),
        (lambda: mg.hessian("a", X), TypeError, "^hessian: f must be a function, got 'a'$"),
        (lambda: mg.hvp(quadratic, X, "a"), TypeError, "^hvp: vectors: expected a Tensor or an array, got 'a'$"),
        (lambda: mg.vjp(two, (X, Y), [X, 3]), TypeError, "^vjp: v: expected a Tensor or an array, got 3$"),
        (lambda: mg.vjp(linear, X, np.array(["a"] * 3)), TypeError, "grad: a gradient of type <U1 for .* float64"),
        (lambda: mg.grad(X.sum(), 3), TypeError, "grad: input 0: expected a Tensor, got a int"),
        (lambda: mg.grad(X.sum(), {"x": X.detach()}), RuntimeError, "grad: input 0 does not require a gradient"),
        (lambda: X.sum().backward(np.array(1j)), TypeError, "backward: a gradient of type complex128 for .* float64"),
        (lambda: mg.hessian(linear, X), ValueError, r"hessian: f must return a single element"),
        (lambda: mg.hessian(lambda x: 3.0, X), TypeError, "hessian: f must return Tensors, .* type float"),
        (lambda: mg.jacobian(linear, [1.0, 2.0]), TypeError, "jacobian: input 0: expected a Tensor, got float"),
        (lambda: mg.jacobian(lambda x: x.numpy(), X), TypeError, "jacobian: f must return Tensors, .* ndarray"),
    ],
)
def test_wrong_input_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- gradcheck


@differentiable(lambda g, x: g * (3 * x))
def wrong_square(x):
    return x * x


def _frozen(x):
    return x.data if isinstance(x, mg.Tensor) else x


@differentiable(lambda g, x: g * (2 * _frozen(x)))
def wrong_second(x):
    return x * x


@differentiable(lambda g: g + 1)
def wrong_in_g(x):
    return 1 * x


def test_gradcheck_finds_a_wrong_rule():
    with pytest.raises(ValueError, match=r"order 1 by input 0, index \(1,\): analytic .*, numeric"):
        mg.gradcheck(wrong_square, X)
    assert not mg.gradcheck(wrong_square, X, raise_exception=False)


def test_gradcheck_finds_a_wrong_second_derivative():
    assert mg.gradcheck(wrong_second, X, order=1)
    with pytest.raises(ValueError, match=r"order 2 by input 0, index \(\d,\): analytic 0, numeric"):
        mg.gradcheck(wrong_second, X)


def test_gradcheck_finds_one_wrong_element_among_many():
    mask = np.ones(1000)
    mask[77] = 1.01

    @differentiable(lambda g: g * mask)
    def wrong(x):
        return 1 * x

    with pytest.raises(ValueError, match=r"index \(77,\)"):
        mg.gradcheck(wrong, leaf(np.zeros(1000)), order=1)


def test_gradcheck_finds_a_rule_that_is_not_linear_in_g():
    assert not mg.gradcheck(wrong_in_g, X, raise_exception=False)


def test_gradcheck_finds_a_lost_gradient_and_a_wrong_shape():
    with pytest.raises(ValueError, match="analytic 0, numeric"):
        mg.gradcheck(lambda x: x.detach() * 2, X)

    @differentiable(lambda g: g.sum())
    def wrong(x):
        return 1 * x

    assert not mg.gradcheck(wrong, X, raise_exception=False)


def of_tensors(function):
    """What spoils the gradients of a recorded backward alone."""
    return lambda g: function(g) if isinstance(g, mg.Tensor) else g


def of_arrays(function):
    """What spoils those of an ordinary backward alone."""
    return lambda g: g if isinstance(g, mg.Tensor) else function(g)


@pytest.mark.parametrize("some", [of_tensors, of_arrays])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda g: g.T, r"shape \(3, 2\) float64 on cpu for an input of shape \(2, 3\) float64 on cpu"),
        (lambda g: g.reshape(6), r"shape \(6,\) float64 .* for an input of shape \(2, 3\)"),
        (lambda g: g.astype(np.float32), r"shape \(2, 3\) float32 .* for an input of shape \(2, 3\) float64"),
        (lambda g: 2 * g, r"index \(\d, \d\): analytic .*, numeric"),
    ],
)
def test_gradcheck_looks_at_shape_type_and_value_of_both_backwards(spoil, message, some):
    @differentiable(some(spoil))
    def wrong(x):
        return 1 * x

    how = " with create_graph" if some is of_tensors else ""
    with pytest.raises(ValueError, match=f"order 1 by input 0{how}(:|,) {message}"):
        mg.gradcheck(wrong, leaf(np.arange(6.0).reshape(2, 3)))


@pytest.mark.parametrize("spoil", [lambda g: g.T, lambda g: g.astype(np.float32)])
def test_gradcheck_looks_at_shape_and_type_of_second_derivatives(spoil):
    @differentiable(lambda g: spoil(g))
    def double(x):
        return 2 * x

    @differentiable(lambda g, x: g * double(x))
    def square(x):
        return x * x

    x = leaf(np.arange(1.0, 7).reshape(2, 3))
    assert mg.gradcheck(square, x, order=1)
    with pytest.raises(ValueError, match=r"order 2 by input 0: shape .* for an input of shape \(2, 3\) float64"):
        mg.gradcheck(square, x)


def test_gradcheck_names_the_input():
    with pytest.raises(ValueError, match="by input 1"):
        mg.gradcheck(lambda x, y: x * wrong_square(y), (X, Y))


def test_gradcheck_takes_several_outputs_unused_inputs_and_higher_orders():
    assert mg.gradcheck(two, (X, Y))
    assert mg.gradcheck(lambda x, y: mg.sin(x), [X, Y])
    assert mg.gradcheck(lambda x, y: (mg.sin(x), y.detach() * 0, mg.argmax(x)), [X, Y])
    assert mg.gradcheck(mg.exp, X, order=4, rtol=1e-3)
    assert mg.gradcheck(lambda x: mg.sin(x), leaf(np.zeros((0, 3))))
    assert mg.gradcheck(mg.sin, leaf(0.5))


def test_gradcheck_leaves_everything_as_it_was():
    before = X.numpy().copy()
    state = mg.default_generator().bit_generator.state
    X.grad = None
    mg.gradcheck(mg.sin, X)
    np.testing.assert_array_equal(X.numpy(), before)
    assert X.grad is None
    assert mg.default_generator().bit_generator.state == state


def test_gradcheck_takes_gradients_of_some_rows():
    weight, rows = leaf(A), np.array([2, 0, 2])
    assert mg.gradcheck(lambda w: F.embedding(rows, w, sparse=True) ** 2, weight, order=1)
    with pytest.raises(RuntimeError, match="sparse=False"):
        mg.gradcheck(lambda w: F.embedding(rows, w, sparse=True) ** 2, weight)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.gradcheck(mg.sin, mg.tensor([1.0], requires_grad=True)), TypeError, "input 0: .* got float32"),
        (lambda: mg.gradcheck(mg.sin, [np.ones(2)]), TypeError, "input 0: expected a float64 Tensor, got ndarray"),
        (lambda: mg.gradcheck(two, [X, Y.detach()]), ValueError, "input 1 does not require a gradient"),
        (lambda: mg.gradcheck(mg.argmax, X), TypeError, "returned no floating-point Tensor"),
        (lambda: mg.gradcheck(mg.sin, X, order=0), ValueError, "gradcheck: order must be a whole number from 1, got 0"),
    ],
)
def test_gradcheck_explains_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("product", [mg.dot, mg.matmul, lambda A, x: mg.einsum("ij,jk->ik", A, x), mg.linear])
def test_a_gradient_through_a_product_with_a_constant_array_is_recorded(product):
    A = np.arange(9.0).reshape(3, 3)
    x, g = (mg.tensor(np.eye(3) + i, requires_grad=True) for i in range(2))
    dx = mg.grad(product(A, x), x, g, create_graph=True)
    by_g = mg.grad((dx * dx).sum(), g).numpy()
    step = 1e-6 * np.eye(3)
    up, down = (mg.grad(product(A, x), x, mg.tensor(g.numpy() + s)).numpy() for s in (step, -step))
    assert np.isclose(((up**2).sum() - (down**2).sum()) / 2e-6, np.trace(by_g))


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_by_name(create_graph):
    x, y = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([3.0, 5.0], requires_grad=True)
    gradients = mg.grad((x * x * y).sum(), {"x": x, "y": y}, create_graph=create_graph)
    assert {name: g.tolist() for name, g in gradients.items()} == {"x": [6.0, 20.0], "y": [1.0, 4.0]}
    assert all(g.requires_grad == create_graph for g in gradients.values())
    assert mg.grad((x * x).sum(), {"y": y, "x": x}, allow_unused=True)["y"] is None
