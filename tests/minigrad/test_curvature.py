"""Curvature's products against dense matrices, and what is estimated from products against what they are of."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.curvature import rademacher
from tests.strict_array import strict

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**32 - 1)


def tensors(rng, shapes, dtype="float64"):
    return [mg.tensor(rng.standard_normal(shape), dtype=dtype) for shape in shapes]


def flat(values):
    return np.concatenate([np.ravel(v.numpy()) for v in values])


def split(vector, like):
    ends = np.cumsum([x.size for x in like])
    return [mg.tensor(vector[end - x.size : end].reshape(x.shape)) for x, end in zip(like, ends, strict=True)]


def dense(product, inputs):
    """The matrix of a product, column by column."""
    n = sum(x.size for x in inputs)
    return np.stack([flat(product(split(unit, inputs))) for unit in np.eye(n)], axis=1)


class Net:
    """A small network as a function of its parameters."""

    def __init__(self, rng, examples, dtype="float64"):
        self.inputs = mg.tensor(rng.standard_normal((examples, 3)), dtype=dtype)
        self.labels = rng.integers(0, 4, examples)
        self.params = tensors(rng, [(3, 5), (5,), (5, 4)], dtype)

    def __call__(self, W, b, V):
        return mg.matmul(mg.tanh(mg.matmul(self.inputs, W) + b), V)

    def cross_entropy(self, z):
        return nn.functional.cross_entropy(z, self.labels)

    def loss(self, *params):
        return self.cross_entropy(self(*params))

    def log_likelihoods(self, *params):
        return mg.log_softmax(self(*params), axis=-1)[np.arange(len(self.labels)), self.labels]

    def jacobian(self, f):
        blocks = mg.jacobian(f, tuple(self.params))
        rows = f(*self.params).size
        return np.concatenate([b.numpy().reshape(rows, -1) for b in blocks], axis=1)

    def hessian(self):
        blocks = mg.hessian(self.loss, tuple(self.params))
        sizes = [p.size for p in self.params]
        return np.block([[b.numpy().reshape(m, n) for b, n in zip(r, sizes, strict=True)]
                         for r, m in zip(blocks, sizes, strict=True)])  # fmt: skip


# --- products


@quick
@given(seed=seeds, examples=st.integers(1, 6))
def test_gnvp_is_the_product_with_the_dense_matrix(seed, examples):
    net = Net(np.random.default_rng(seed), examples)
    z = net(*net.params)
    H = mg.hessian(net.cross_entropy, z).numpy().reshape(z.size, z.size)
    J = net.jacobian(net)
    G = dense(lambda v: mg.gnvp(net, net.cross_entropy, net.params, v)[1], net.params)
    np.testing.assert_allclose(G, J.T @ H @ J, atol=1e-12)
    np.testing.assert_allclose(G, G.T, atol=1e-13)
    assert np.linalg.eigvalsh(G).min() > -1e-12
    value, products = mg.gnvp(net, net.cross_entropy, net.params, net.params)
    assert value.item() == net.loss(*net.params).item()
    assert isinstance(products, tuple)
    assert not value.requires_grad


@quick
@given(seed=seeds, examples=st.integers(1, 6))
def test_fvp_is_the_expectation_over_the_models_own_labels(seed, examples):
    net = Net(np.random.default_rng(seed), examples)

    def log_probs(*params):
        return mg.log_softmax(net(*params), axis=-1)

    J = net.jacobian(log_probs)
    p = np.exp(log_probs(*net.params).numpy()).ravel()
    F = dense(lambda v: mg.fvp(log_probs, net.params, v)[1], net.params)
    np.testing.assert_allclose(F, J.T @ (p[:, None] * J) / examples, atol=1e-12)
    np.testing.assert_allclose(F, F.T, atol=1e-13)
    assert np.linalg.eigvalsh(F).min() > -1e-12
    G = dense(lambda v: mg.gnvp(net, net.cross_entropy, net.params, v)[1], net.params)
    np.testing.assert_allclose(F, G, atol=1e-12)  # Martens 2020, section 9.2


@quick
@given(seed=seeds, examples=st.integers(1, 6))
def test_empirical_fvp_is_the_mean_of_outer_products(seed, examples):
    net = Net(np.random.default_rng(seed), examples)
    J = net.jacobian(net.log_likelihoods)
    E = dense(lambda v: mg.empirical_fvp(net.log_likelihoods, net.params, v)[1], net.params)
    np.testing.assert_allclose(E, J.T @ J / examples, atol=1e-12)
    assert np.linalg.eigvalsh(E).min() > -1e-12
    negated = mg.empirical_fvp(lambda *params: -net.log_likelihoods(*params), net.params, net.params)[1]
    np.testing.assert_allclose(flat(negated), E @ flat(net.params), atol=1e-11)


@quick
@given(seed=seeds, a=st.floats(-3, 3))
def test_products_are_linear(seed, a):
    rng = np.random.default_rng(seed)
    net = Net(rng, 4)
    v, w = (tensors(rng, [p.shape for p in net.params]) for _ in range(2))
    together = [a * x + y for x, y in zip(v, w, strict=True)]
    for product in (
        lambda v: mg.gnvp(net, net.cross_entropy, net.params, v)[1],
        lambda v: mg.empirical_fvp(net.log_likelihoods, net.params, v)[1],
    ):
        wanted = a * flat(product(v)) + flat(product(w))
        np.testing.assert_allclose(flat(product(together)), wanted, atol=1e-11)


def test_gnvp_is_the_hessian_where_the_function_is_linear():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((5, 3))
    x, v = tensors(rng, [(3,), (3,)])
    linear = lambda x: mg.matmul(A, x)
    loss = lambda z: (mg.exp(z) + z**4).sum()
    wanted = mg.hvp(lambda x: loss(linear(x)), x, v)
    found = mg.gnvp(linear, loss, x, v)
    assert found[0].item() == wanted[0].item()
    np.testing.assert_allclose(found[1].numpy(), wanted[1].numpy(), rtol=1e-12)


def test_gnvp_of_several_outputs_and_an_unused_input():
    x, y = mg.tensor([1.0, 2.0], dtype="float64"), mg.tensor([3.0], dtype="float64")
    value, (product, unused) = mg.gnvp(lambda x, y: (x**2, x.sum()), lambda a, b: a.sum() + b**2, (x, y), (x, y))
    assert value.item() == 14.0
    np.testing.assert_allclose(product.numpy(), [6.0, 6.0])  # 2·1·1ᵀ·x
    np.testing.assert_array_equal(unused.numpy(), [0.0])


def test_products_of_a_module():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    inputs = mg.tensor(np.random.default_rng(0).standard_normal((6, 3)), dtype="float32")
    labels = np.array([0, 1, 1, 0, 1, 0])
    params = dict(model.named_parameters())

    def f(*values):
        return nn.functional_call(model, dict(zip(params, values, strict=True)), inputs)

    values = list(params.values())
    G = dense(lambda v: mg.gnvp(f, lambda z: nn.functional.cross_entropy(z, labels), values, v)[1], values)
    F = dense(lambda v: mg.fvp(lambda *p: mg.log_softmax(f(*p), axis=-1), values, v)[1], values)
    assert G.dtype == np.float32
    np.testing.assert_allclose(G, G.T, atol=1e-6)
    np.testing.assert_allclose(F, G, atol=1e-5)
    assert all(p.grad is None for p in values)


def test_no_examples_have_no_curvature():
    net = Net(np.random.default_rng(0), 0)
    for product in (
        mg.fvp(lambda *p: mg.log_softmax(net(*p), axis=-1), net.params, net.params)[1],
        mg.empirical_fvp(net.log_likelihoods, net.params, net.params)[1],
    ):
        assert not flat(product).any()


# --- estimates


def symmetric(rng, n):
    A = rng.standard_normal((n, n))
    return A + A.T


def of(A):
    """The product with a matrix, for one tensor."""
    return lambda v: mg.Tensor((A @ v.numpy().ravel()).reshape(v.shape).astype(v.dtype))


@quick
@given(seed=seeds, n=st.integers(1, 6))
def test_hutchinson_is_exact_over_all_signs(seed, n):
    """The mean over all 2ⁿ vectors of signs is the trace, and the diagonal: so the estimates are unbiased."""
    A = symmetric(np.random.default_rng(seed), n)
    signs = (np.arange(2**n)[:, None] >> np.arange(n)) % 2

    class Every:
        """A generator that gives each vector once."""

        def __init__(self):
            self.left = iter(signs)

        def integers(self, low, high, shape, dtype):
            return next(self.left).astype(dtype)

    x = mg.tensor(np.zeros(n))
    trace, error = mg.hutchinson_trace(of(A), x, 2**n, Every())
    assert trace == pytest.approx(np.trace(A), abs=1e-11)
    off = A - np.diag(np.diag(A))
    assert error * 2 ** (n / 2) == pytest.approx(np.sqrt(2 * (off**2).sum() * 2**n / (2**n - 1)), abs=1e-9)
    diagonal, errors = mg.hutchinson_diagonal(of(A), x, 2**n, Every())
    np.testing.assert_allclose(diagonal.numpy(), np.diag(A), atol=1e-12)
    np.testing.assert_allclose(errors.numpy() ** 2 * (2**n - 1), (off**2).sum(axis=1), atol=1e-9)


def test_hutchinson_of_a_network():
    net = Net(np.random.default_rng(0), 5)
    H = net.hessian()
    product = lambda v: mg.hvp(net.loss, net.params, v)[1]
    trace, error = mg.hutchinson_trace(product, net.params, 200, np.random.default_rng(0))
    assert error > 0
    assert abs(trace - np.trace(H)) < 4 * error
    diagonal, errors = mg.hutchinson_diagonal(product, net.params, 200, np.random.default_rng(0))
    assert [d.shape for d in diagonal] == [p.shape for p in net.params]
    assert (abs(flat(diagonal) - np.diag(H)) < 5 * flat(errors)).all()


def test_hutchinson_takes_the_threads_stream_and_one_sample_has_no_error():
    x = mg.tensor([1.0, 2.0, 3.0])
    A = symmetric(np.random.default_rng(0), 3)
    mg.manual_seed(5)
    first = mg.hutchinson_trace(of(A), x, 1)
    assert np.isnan(first[1])
    assert np.isnan(mg.hutchinson_diagonal(of(A), x, 1)[1].numpy()).all()
    assert mg.hutchinson_trace(of(A), x, 1, np.random.default_rng(5))[0] == first[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rademacher(dtype):
    signs = rademacher(np.random.default_rng(0), np.zeros((100, 3), dtype))
    assert signs.dtype == dtype
    assert set(signs.ravel()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.2


# --- eigenvalues


def extremes(A, k, which):
    values = np.linalg.eigvalsh(A)
    return values[np.argsort({"LM": -abs(values), "LA": -values, "SA": values}[which], kind="stable")][:k]


@quick
@given(seed=seeds, n=st.integers(1, 30), k=st.integers(1, 4), which=st.sampled_from(["LM", "LA", "SA"]))
def test_lanczos_finds_what_eigh_finds(seed, n, k, which):
    rng = np.random.default_rng(seed)
    A, k = symmetric(rng, n), min(k, n)
    values, vectors = mg.lanczos(of(A), mg.tensor(np.zeros(n)), k, which, generator=rng)
    np.testing.assert_allclose(values, extremes(A, k, which), rtol=1e-9, atol=1e-9)
    V = np.stack([v.numpy() for v in vectors])
    np.testing.assert_allclose(V @ V.T, np.eye(k), atol=1e-6)
    assert np.linalg.norm(A @ V.T - values * V.T, axis=0).max() <= 1e-6 * abs(np.linalg.eigvalsh(A)).max()


@quick
@given(seed=seeds, spectrum=st.lists(st.sampled_from([-2.0, 0.0, 1.0, 3.0]), min_size=1, max_size=8), data=st.data())
def test_lanczos_finds_eigenvalues_that_come_more_than_once(seed, spectrum, data):
    rng = np.random.default_rng(seed)
    n = len(spectrum)
    k = data.draw(st.integers(1, n))
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values, vectors = mg.lanczos(of(Q * spectrum @ Q.T), mg.tensor(np.zeros(n)), k, "LA", generator=rng)
    np.testing.assert_allclose(values, np.sort(spectrum)[::-1][:k], atol=1e-9)
    V = np.stack([v.numpy() for v in vectors])
    np.testing.assert_allclose(V @ V.T, np.eye(k), atol=1e-6)


def test_lanczos_takes_few_products_where_the_spectrum_is_wide():
    rng = np.random.default_rng(0)
    spectrum = np.concatenate([[100.0, 80.0], rng.random(298)])
    Q = np.linalg.qr(rng.standard_normal((300, 300)))[0]
    A, calls = Q * spectrum @ Q.T, []
    values, _ = mg.lanczos(
        lambda v: calls.append(1) or of(A)(v), mg.tensor(np.zeros(300)), 2, tol=1e-3, generator=np.random.default_rng(1)
    )
    np.testing.assert_allclose(values, [100.0, 80.0], rtol=1e-5)
    assert len(calls) < 100


def test_lanczos_of_a_network():
    net = Net(np.random.default_rng(0), 5)
    H = net.hessian()
    values, vectors = mg.lanczos(lambda v: mg.hvp(net.loss, net.params, v)[1], net.params, 3)
    np.testing.assert_allclose(values, extremes(H, 3, "LM"), rtol=1e-9)
    for value, vector in zip(values, vectors, strict=True):
        assert [v.shape for v in vector] == [p.shape for p in net.params]
        np.testing.assert_allclose(H @ flat(vector), value * flat(vector), atol=1e-6)
        assert np.linalg.norm(flat(vector)) == pytest.approx(1.0)


@pytest.mark.parametrize(("scale", "dtype"), [(1e-300, "float64"), (1e300, "float64"), (1e-30, "float32")])
def test_lanczos_of_matrices_whose_squares_leave_the_type(scale, dtype):
    eigenvalues = (scale * np.array([3.0, 2.0, 1.0])).astype(dtype)
    values, _ = mg.lanczos(lambda v: mg.tensor(eigenvalues * v.numpy()), mg.tensor(np.zeros(3, dtype)))
    np.testing.assert_allclose(values, eigenvalues[:1], rtol=1e-6)


def test_lanczos_does_not_look_at_the_eigenvalues_after_each_step(monkeypatch):
    eigh, looks, products = np.linalg.eigh, [], []
    monkeypatch.setattr(np.linalg, "eigh", lambda T: looks.append(len(T)) or eigh(T))
    eigenvalues = np.linspace(1, 2, 1000)
    product = lambda v: products.append(1) or mg.tensor(eigenvalues * v.numpy())
    values, _ = mg.lanczos(product, mg.tensor(np.zeros(1000)))
    np.testing.assert_allclose(values, [2.0], rtol=1e-12)
    assert len(looks) < len(products) / 2


def test_lanczos_in_float32():
    A = symmetric(np.random.default_rng(0), 20).astype(np.float32)
    values, vectors = mg.lanczos(of(A), mg.tensor(np.zeros(20, np.float32)), 2, "SA")
    assert vectors[0].dtype == np.float32
    np.testing.assert_allclose(values, extremes(A.astype(float), 2, "SA"), rtol=1e-5)


def test_arrays_elsewhere_stay_there(monkeypatch):
    monkeypatch.setattr(
        "minigrad.backend.to_device", lambda array, device: strict(array) if device.startswith("strict") else array
    )
    A, x, v = np.diag([3.0, 1.0, -2.0]), strict([1.0, 2.0, 3.0]), strict([1.0, 1.0, 1.0])
    x, v = mg.Tensor(x), mg.Tensor(v)
    A = strict(A)
    loss = lambda x: (x * mg.matmul(mg.Tensor(A), x)).sum() / 2
    product = lambda v: mg.hvp(loss, x, v)[1]
    assert mg.hutchinson_trace(product, x, 3) == (2.0, 0.0)
    assert mg.hutchinson_diagonal(product, x, 3)[0].data.get().tolist() == [3.0, 1.0, -2.0]
    values, vectors = mg.lanczos(product, x, 2)
    np.testing.assert_allclose(values, [3.0, -2.0])
    assert isinstance(vectors[0].data, type(x.data))
    assert mg.gnvp(lambda x: x**2, lambda z: z.sum(), x, v)[1].data.get().tolist() == [0, 0, 0]
    np.testing.assert_allclose(mg.fvp(mg.log_softmax, x, v)[1].data.get(), 0, atol=1e-15)
    np.testing.assert_allclose(mg.empirical_fvp(lambda x: x, x, v)[1].data.get(), np.ones(3) / 3)


def test_threads_do_not_meet():
    def work(seed, found):
        net = Net(np.random.default_rng(seed), 4)
        mg.manual_seed(seed)
        product = lambda v: mg.hvp(net.loss, net.params, v)[1]
        gn = flat(mg.gnvp(net, net.cross_entropy, net.params, net.params)[1]).tobytes()
        found[seed] = gn, mg.hutchinson_trace(product, net.params), mg.lanczos(product, net.params)[0].tolist()

    alone, together = {}, {}
    for seed in range(6):
        work(seed, alone)
    threads = [threading.Thread(target=work, args=(seed, together)) for seed in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert together == alone


X = mg.tensor([1.0, 2.0], dtype="float64")
square = lambda x: x * x


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.gnvp(square, mg.sum, [1.0], X), TypeError, "gnvp: input 0: expected a Tensor, got float"),
        (lambda: mg.gnvp(square, mg.sum, X, X[:1]), ValueError, r"gnvp: vectors: expected .* \(2,\), got .* \(1,\)"),
        (lambda: mg.gnvp(3, mg.sum, X, X), TypeError, "^gnvp: f must be a function, got 3$"),
        (lambda: mg.gnvp(square, None, X, X), TypeError, r"^gnvp \(loss\): f must be a function, got None$"),
        (lambda: mg.gnvp(square, mg.sum, X, "a"), TypeError, "^gnvp: vectors: expected a Tensor or an array, got 'a'$"),
        (lambda: mg.fvp("a", X, X), TypeError, "^fvp: f must be a function, got 'a'$"),
        (lambda: mg.fvp(square, X, "a"), TypeError, "^fvp: vectors: expected a Tensor or an array, got 'a'$"),
        (lambda: mg.gnvp(square, square, X, X), ValueError, r"gnvp \(loss\): f must return a single element, got .*2"),
        (lambda: mg.gnvp(square, lambda z: 1.0, X, X), TypeError, r"gnvp \(loss\): f must return Tensors"),
        (
            lambda: mg.fvp(mg.sum, X, X),
            ValueError,
            r"fvp: expected one tensor with an axis of outcomes, got shape \(\)",
        ),
        (lambda: mg.fvp(lambda x: (x, x), X, X), ValueError, r"fvp: expected one tensor .* got shape \(2,\), \(2,\)"),
        (
            lambda: mg.empirical_fvp(lambda x: (x, x), X, X),
            ValueError,
            "empirical_fvp: expected one tensor with an element for each example",
        ),
        (lambda: mg.hutchinson_trace(of(np.eye(2)), X, 0), ValueError, "hutchinson_trace: samples .* 1, got 0"),
        (lambda: mg.hutchinson_trace(of(np.eye(2)), [1.0]), TypeError, "hutchinson_trace: input 0: expected a Tensor"),
        (lambda: mg.hutchinson_diagonal(mg.sum, X), ValueError, r"hutchinson_diagonal: the product: .* shape \(2,\)"),
        (lambda: mg.lanczos(of(np.eye(2)), X, 3), ValueError, "lanczos: k must be a whole number from 1 to 2, got 3"),
        (lambda: mg.lanczos(of(np.eye(2)), X, 0), ValueError, "lanczos: k must be a whole number from 1 to 2, got 0"),
        (lambda: mg.lanczos(of(np.eye(2)), X, 1.5), ValueError, "k must be a whole number from 1 to 2, got 1.5"),
        (lambda: mg.lanczos(of(np.eye(2)), mg.tensor([1])), TypeError, "lanczos: input 0: expected floating-point"),
        (lambda: mg.hutchinson_trace(of(np.eye(2)), X, "3"), TypeError, "samples must be a number, got '3'"),
        (
            lambda: mg.hutchinson_diagonal(of(np.eye(2)), X, generator=3),
            TypeError,
            "hutchinson_diagonal: generator must be a numpy.random.Generator, got 3",
        ),
        (
            lambda: mg.lanczos(of(np.eye(2)), X, which="SM"),
            ValueError,
            "lanczos: which must be one of 'LM', .* got 'SM'",
        ),
        (lambda: mg.lanczos(of(np.eye(2)), X, tol=-1), ValueError, r"lanczos: tol must be in \[0.0, inf\), got -1"),
        (lambda: mg.lanczos("a", X), TypeError, "lanczos: product must be a function, got 'a'"),
        (lambda: mg.hutchinson_trace("a", X), TypeError, "hutchinson_trace: product must be a function, got 'a'"),
        (lambda: mg.lanczos(of(np.diag([1.0, np.nan])), X), ValueError, "lanczos: the product has a NaN"),
    ],
)
def test_wrong_input_is_explained(call, error, message):
    with pytest.raises(error, match=message):
        call()
