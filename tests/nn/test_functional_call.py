"""A module as a function of its parameters."""

import threading

import numpy as np
import pytest

import minigrad as mg
import nn


def network():
    mg.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.ModuleDict({"out": nn.Linear(3, 1)})["out"]).to(
        dtype=np.float64
    )


X = mg.tensor(np.random.default_rng(0).normal(size=(4, 2)))


def copies(module, scale=1.0):
    return {name: mg.tensor(p.data * scale, requires_grad=True) for name, p in module.named_parameters()}


def test_the_module_is_not_changed():
    model = network()
    before, value = model.state_dict(), model(X).numpy()
    params = copies(model, 2.0)
    out = nn.functional_call(model, params, X)
    assert (out.numpy() != value).all()
    np.testing.assert_array_equal(model(X).numpy(), value)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    out.sum().backward()
    assert all(p.grad is not None for p in params.values())
    assert all(p.grad is None for p in model.parameters())


def test_gradients_of_any_order():
    model = network()
    params = copies(model)

    def loss(*values):
        out = nn.functional_call(model, dict(zip(params, values, strict=True)), (X,))
        return (out * out).mean()

    assert mg.gradcheck(loss, list(params.values()), order=3)


def test_a_step_of_gradient_descent_can_be_differentiated():
    model = network()
    lr = mg.tensor(0.1, dtype=np.float64, requires_grad=True)

    def after_a_step(lr):
        params = copies(model)
        loss = (nn.functional_call(model, params, X) ** 2).mean()
        gradients = mg.grad(loss, list(params.values()), create_graph=True)
        stepped = {name: p - lr * g for (name, p), g in zip(params.items(), gradients, strict=True)}
        return (nn.functional_call(model, stepped, X) ** 2).mean()

    assert mg.gradcheck(after_a_step, lr)


def test_some_parameters_several_dictionaries_and_arrays():
    model = network()
    zeros = {"2.weight": np.zeros((1, 3))}
    out = nn.functional_call(model, (zeros, {"2.bias": np.ones(1)}), X)
    assert out.tolist() == [[1.0]] * 4
    with pytest.raises(ValueError, match="strict, but params lacks"):
        nn.functional_call(model, zeros, X, strict=True)
    nn.functional_call(model, copies(model), X, strict=True)


def test_tied_parameters_are_replaced_together():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)).to(dtype=np.float64)
    model[1].weight = model[0].weight
    eye = mg.tensor(2 * np.eye(2))
    for name in ("0.weight", "1.weight"):
        np.testing.assert_array_equal(nn.functional_call(model, {name: eye}, X).numpy(), 4 * X.numpy())
    nn.functional_call(model, {"0.weight": eye, "1.weight": eye}, X)
    with pytest.raises(ValueError, match=r"1\.weight is tied"):
        nn.functional_call(model, {"0.weight": eye, "1.weight": mg.tensor(np.eye(2))}, X)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"0.bias has shape \(3,\), the value \(1,\)"):
        nn.functional_call(network(), {"0.bias": np.ones(1)}, X)


def test_buffers_that_are_given_are_those_that_are_written():
    model = nn.BatchNorm1d(2, dtype=np.float64)
    buffers = {name: mg.tensor(b.data) for name, b in model.named_buffers()}
    nn.functional_call(model, buffers, X)
    assert model.num_batches_tracked.item() == 0
    assert buffers["num_batches_tracked"].item() == 1
    np.testing.assert_allclose(buffers["running_mean"].numpy(), 0.1 * X.numpy().mean(0))
    assert model.running_mean.tolist() == [0, 0]


class Residual(nn.Module):
    """A module that keeps its layers in a list beside attributes, and takes a keyword."""

    def __init__(self):
        self.inner = nn.Linear(2, 2)
        self.order = [self.inner, nn.Tanh(), {"again": self.inner}]

    def forward(self, x, *, scale):
        for layer in self.order[:2]:
            x = layer(x)
        return x + scale * self.order[2]["again"](x)


def test_hooks_keywords_and_modules_in_lists():
    model = Residual().to(dtype=np.float64)
    zero = {"inner.weight": np.zeros((2, 2)), "inner.bias": np.zeros(2)}
    assert not nn.functional_call(model, zero, X, {"scale": 3.0}).numpy().any()
    with model.register_forward_hook(lambda module, args, answer: answer + 1):
        assert (nn.functional_call(model, zero, X, {"scale": 3.0}).numpy() == 1).all()


def test_threads_share_a_module():
    model, found = network(), {}
    wanted = [nn.functional_call(model, copies(model, k), X).numpy() for k in range(8)]
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        found[k] = [nn.functional_call(model, copies(model, k), X).numpy() for _ in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(8):
        for value in found[k]:
            np.testing.assert_array_equal(value, wanted[k])
