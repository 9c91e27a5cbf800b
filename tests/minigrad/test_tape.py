"""The tape: what is recorded, kept and freed, what gradients come back, and what is refused."""

import asyncio
import contextvars
import copy
import gc
import pickle
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from minigrad.tape import Node, Variable, differentiable


def leaf(data, dtype=np.float64):
    return mg.tensor(np.array(data, dtype), requires_grad=True)


def matrix(seed=0, shape=(3, 4), dtype=np.float64):
    return leaf(np.random.default_rng(seed).normal(size=shape), dtype)


def live():
    """How many nodes and tensors there are."""
    return sum(isinstance(thing, Node | Variable) for thing in gc.get_objects())


@pytest.fixture
def no_collector():
    """Only reference counting frees memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class BrokenError(Exception):
    pass


def broken(g):
    raise BrokenError


@differentiable(lambda g: broken(g))
def fails_on_the_way_back(x):
    return x + 0.0


# --- length and memory


def test_100_000_chained_operations():
    x = y = leaf(0.5)
    for _ in range(50_000):
        y = y * 1.0 + 1e-5
    y.backward()
    assert x.grad.item() == 1.0


def test_a_long_chain_that_is_never_walked_is_freed_without_recursion():
    y = leaf(0.5)
    for _ in range(100_000):
        y = y + 1.0
    last = weakref.ref(y)
    del y
    assert last() is None


def test_a_long_chain_with_create_graph():
    x = y = leaf(0.5)
    for _ in range(5_000):
        y = y * 1.0 + 0.0
    (first,) = mg.grad([y * y], [x], create_graph=True)
    assert mg.grad(first, x).item() == 2.0


def train_plainly(model, optimizer, x, labels):
    nn.CrossEntropyLoss()(model(x), labels).backward()
    optimizer.step()


def train_with_hooks(model, optimizer, x, labels):
    hidden = model[0](x)
    with hidden.register_hook(lambda g: g * 1.0):
        loss = nn.CrossEntropyLoss()(model[2](model[1](hidden)), labels)
        loss.backward()


def train_with_retained_gradients(model, optimizer, x, labels):
    hidden = model[0](x)
    hidden.retain_grad()
    nn.CrossEntropyLoss()(model[2](hidden), labels).backward()
    assert hidden.grad.shape == hidden.shape


def train_on_a_gradient_penalty(model, optimizer, x, labels):
    loss = nn.CrossEntropyLoss()(model(x), labels)
    gradients = mg.grad(loss, list(model.parameters()), create_graph=True)
    penalty = loss
    for g in gradients:
        penalty = penalty + (g * g).sum()
    penalty.backward()
    optimizer.step()


def train_and_keep_the_graph(model, optimizer, x, labels):
    loss = nn.CrossEntropyLoss()(model(x), labels)
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)


def only_evaluate(model, optimizer, x, labels):
    nn.CrossEntropyLoss()(model(x), labels)
    with mg.no_grad():
        model(x).sum()


def fail_on_the_way_back(model, optimizer, x, labels):
    try:
        fails_on_the_way_back(model(x)).sum().backward()
    except BrokenError:
        return
    raise AssertionError


def fail_forward(model, optimizer, x, labels):
    try:
        model(x) @ model(x)
    except ValueError:
        return
    raise AssertionError


@pytest.mark.parametrize(
    "work",
    [
        train_plainly, train_with_hooks, train_with_retained_gradients, train_on_a_gradient_penalty,
        train_and_keep_the_graph, only_evaluate, fail_on_the_way_back, fail_forward,
    ],
)  # fmt: skip
def test_reference_counting_alone_keeps_memory_flat(work, no_collector):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.Adam(model.parameters())
    x, labels = mg.tensor(np.random.default_rng(0).normal(size=(5, 4))), np.array([0, 1, 2, 0, 1])

    def turn():
        optimizer.zero_grad()
        work(model, optimizer, x, labels)

    for _ in range(3):
        turn()
    optimizer.zero_grad()
    before = live()
    for _ in range(10):
        turn()
    optimizer.zero_grad()
    assert live() == before


def test_backward_frees_what_the_graph_kept():
    x = matrix()
    y = mg.exp(x)
    kept = weakref.ref(y.data)
    z = y * 2.0
    total = z.sum()
    del y, z
    assert kept() is not None
    total.backward()
    assert kept() is None


# --- freed, retained


def test_a_second_backward_raises():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"backward: .*sum.*freed.*retain_graph=True"):
        y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def test_a_freed_part_further_down_raises_too():
    x = leaf([1.0, 2.0])
    shared = x * x
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="freed"):
        (shared * 3.0).sum().backward()


@pytest.mark.parametrize("allow_unused", [False, True])
def test_grad_through_a_freed_graph_raises(allow_unused):
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        mg.grad(y, x, allow_unused=allow_unused)


def test_retain_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 8.0])
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_grad_frees_unless_told():
    x = leaf(3.0)
    y = x * x
    assert mg.grad(y, x, retain_graph=True).item() == mg.grad(y, x).item() == 6.0
    with pytest.raises(RuntimeError, match="freed"):
        mg.grad(y, x)


# --- values


def test_gradients_accumulate_into_a_new_array():
    x = leaf([1.0, 2.0])
    (x * 3.0).sum().backward()
    first = x.grad
    (x * 4.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [7.0, 7.0])
    np.testing.assert_array_equal(first.numpy(), [3.0, 3.0])


def test_a_diamond_adds_up_before_it_is_passed_on():
    calls = []
    x = leaf(2.0)
    a = x * x
    a.register_hook(lambda g: calls.append(g.item()))
    (a * 3.0 + a * a).backward()
    assert calls == [3.0 + 2 * 4.0]
    assert x.grad.item() == 11.0 * 4.0


def test_a_leaf_used_in_many_places():
    x = leaf([1.0, 2.0])
    (x * x + x * 3.0 + x[::-1] + x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * np.array([1.0, 2.0]) + 5.0)


def test_many_layers_of_diamonds_take_linear_time():
    x = y = leaf(1.0)
    for _ in range(200):
        y = (y + y) * 0.5
    y.backward()
    assert x.grad.item() == 1.0


def test_tied_parameters_share_one_gradient():
    weight = leaf([[1.0, 2.0], [3.0, 4.0]])
    x = mg.tensor(np.eye(2))
    mg.linear(mg.linear(x, weight), weight).sum().backward()
    w, ones = weight.numpy(), np.ones((2, 2))
    np.testing.assert_array_equal(weight.grad.numpy(), ones @ w.T + w.T @ ones)  # of the sum of wᵀ · wᵀ


def test_unused_inputs():
    x, y = leaf([1.0, 2.0]), leaf([1.0])
    out = (x * 2.0).sum()
    with pytest.raises(RuntimeError, match=r"grad: .*input 1 .*\(1,\).*allow_unused"):
        mg.grad(out, [x, y], retain_graph=True)
    found = mg.grad(out, (x, y), allow_unused=True)
    assert isinstance(found, tuple)
    assert found[1] is None
    assert x.grad is None


def test_grad_with_respect_to_an_intermediate_and_what_lies_behind_it():
    x = leaf(3.0)
    a = x * x
    by_a, by_x = mg.grad(a * a, [a, x])
    assert (by_a.item(), by_x.item()) == (18.0, 108.0)


def test_grad_of_several_outputs_with_their_own_gradients():
    x = leaf([1.0, 2.0])
    found = mg.grad([x * x, x.sum()], x, [mg.tensor(np.array([1.0, 10.0])), None])
    np.testing.assert_array_equal(found.numpy(), [3.0, 41.0])


def test_an_output_given_twice_counts_twice():
    x = leaf(3.0)
    y = x * x
    assert mg.grad([y, y], x).item() == 12.0


def test_the_same_input_twice():
    x = leaf(3.0)
    first, second = mg.grad(x * x, [x, x])
    assert first.item() == second.item() == 6.0


def test_grad_goes_only_where_it_must():
    x, y = leaf(1.0), leaf(2.0)
    assert mg.grad(x * 2.0 + fails_on_the_way_back(y), x).item() == 2.0


def test_derivatives_to_third_order():
    x = leaf([0.3, -0.7])
    first = mg.grad(mg.tanh(x).sum(), x, create_graph=True)
    second = mg.grad(first.sum(), x, create_graph=True)
    third = mg.grad(second.sum(), x)
    t = np.tanh(x.numpy())
    np.testing.assert_allclose(second.numpy(), -2 * t * (1 - t**2), rtol=1e-12)
    np.testing.assert_allclose(third.numpy(), (1 - t**2) * (6 * t**2 - 2), rtol=1e-12)


def test_backward_with_create_graph_gives_gradients_that_can_be_differentiated():
    x = leaf(2.0)
    (x * x * x).backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.backward()
    assert (first.item(), x.grad.item()) == (12.0, 12.0)
    x.grad = None


def test_create_graph_works_inside_no_grad_and_leaves_it_on():
    x = leaf(2.0)
    y = x * x * x
    with mg.no_grad():
        first = mg.grad(y, x, create_graph=True)
        assert not (x * 2.0).requires_grad
    assert mg.grad(first, x).item() == 12.0


def test_gradients_without_create_graph_are_not_on_the_tape():
    x = leaf(2.0)
    assert not mg.grad(x * x, x).requires_grad
    (x * x).backward()
    assert not x.grad.requires_grad


# --- types and shapes


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_gradient_has_the_type_of_its_input(dtype):
    narrow, wide = leaf([1.0, 2.0], dtype), leaf([3.0, 4.0])
    (narrow * wide + narrow + mg.exp(narrow) * 2.0).sum().backward()
    assert narrow.grad.dtype == dtype
    assert wide.grad.dtype == np.float64


@pytest.mark.parametrize("seed", [np.ones(2), np.ones(2, np.float16), np.ones(2, np.int64), mg.tensor([1.0, 1.0])])
@pytest.mark.parametrize("function", [lambda x: x, lambda x: x * 2.0, lambda x: x + x, mg.exp, lambda x: x.reshape(2)])
def test_a_seed_of_another_type_does_not_change_it(seed, function):
    x = leaf([1.0, 2.0], np.float32)
    function(x).backward(seed)
    assert x.grad.dtype == np.float32
    assert mg.grad(function(x), x, seed).dtype == np.float32
    assert mg.grad(function(x), x, seed, create_graph=True).dtype == np.float32


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("function", [lambda x: x, lambda x: x + x, lambda x: x * x + x, lambda x: x.sum(), mg.exp])
def test_zero_dimensional_tensors_have_gradients_that_are_arrays(function, create_graph):
    x = leaf(2.0, np.float32)
    for _ in range(2):
        function(x).backward(create_graph=create_graph)
    assert isinstance(x.grad.data, np.ndarray)
    assert (x.grad.shape, x.grad.dtype) == ((), np.float32)
    x.grad = None


def test_a_gradient_of_one_element_needs_no_seed_whatever_its_rank():
    x = leaf([[2.0]])
    (x * x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[4.0]])


@pytest.mark.parametrize("shape", [(2,), (0,), (2, 3)])
def test_backward_of_several_elements_needs_a_gradient(shape):
    x = leaf(np.ones(shape))
    with pytest.raises(RuntimeError, match=r"backward: .*shape .*Reduce it first"):
        (x * 2.0).backward()
    assert x.grad is None


@pytest.mark.parametrize("seed", [np.ones(3), np.ones((1, 2)), np.ones(()), mg.tensor([1.0]), [1.0, 2.0, 3.0]])
def test_a_seed_of_another_shape_is_refused(seed):
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"backward: .*\(2,\)"):
        (x * 2.0).backward(seed)
    with pytest.raises(ValueError, match=r"grad: .*\(2,\)"):
        mg.grad(x * 2.0, x, seed)


@pytest.mark.parametrize("seed", ["abc", object(), {}])
def test_a_seed_that_is_no_number_is_refused(seed):
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match="backward: "):
        (x * 2.0).backward(seed)


def test_a_list_is_a_seed():
    x = leaf([1.0, 2.0])
    (x * 2.0).backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 20.0])


def test_empty_tensors():
    x = leaf(np.zeros((0, 3)))
    (x * 2.0).sum().backward()
    assert x.grad.shape == (0, 3)


# --- who owns the memory

VIEWS = {
    "the leaf itself": lambda x, y: x,
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x + x": lambda x, y: x + x,
    "sum": lambda x, y: x.sum() + y.sum(),
    "sum over rows": lambda x, y: x.sum(axis=0) + y.mean(axis=0),
    "transpose": lambda x, y: x.T + y.T,
    "swapaxes": lambda x, y: x.swapaxes(0, 1) - y.transpose(1, 0),
    "reshape": lambda x, y: x.reshape(4, 3) + y.reshape(4, 3),
    "ravel": lambda x, y: x.ravel() + y.flatten(),
    "reversed": lambda x, y: mg.flip(x) + y[::-1],
    "squeeze": lambda x, y: mg.expand_dims(x, 0) + mg.expand_dims(y, 0).squeeze(),
    "broadcast_to": lambda x, y: mg.broadcast_to(x, (2, 3, 4)) + y,
    "broadcast to its own shape": lambda x, y: mg.broadcast_to(x, (3, 4)) + mg.broadcast_to(y, (3, 4)),
    "positive": lambda x, y: +x + (+y),
    "astype": lambda x, y: x.astype(np.float64) + y.astype(np.float64),
    "to_device": lambda x, y: x.to("cpu") + mg.to_device(y, "cpu"),
    "concatenate": lambda x, y: mg.concatenate([x, y]),
    "stack": lambda x, y: mg.stack([x, y, x]),
    "split": lambda x, y: mg.split(x, 2, 1)[0] + mg.split(y, 2, 1)[1],
    "getitem": lambda x, y: x[...] + y[:],
    "where": lambda x, y: mg.where(np.ones((3, 4), bool), x, y),
    "diagonal": lambda x, y: mg.diagonal(x) + mg.diagonal(y),
    "pad": lambda x, y: mg.pad(x, 1) + mg.pad(y, 1),
    "roll": lambda x, y: mg.roll(x, 1) + mg.roll(y, 0),
    "einsum": lambda x, y: mg.einsum("ij->ji", x) + mg.einsum("ij->ji", y),
    "linear": lambda x, y: mg.linear(x, y),
    "remainder": lambda x, y: x % 2.0 + y % 2.0,
    "log_softmax": lambda x, y: mg.log_softmax(x) + mg.log_softmax(y, 0),
}


def check_own_memory(gradients, *others):
    for i, g in enumerate(gradients):
        assert isinstance(g.data, np.ndarray)
        assert g.data.flags.owndata
        assert g.data.flags.writeable
        for other in [h.data for h in gradients[i + 1 :]] + list(others):
            assert not np.shares_memory(g.data, other)


@pytest.mark.parametrize("name", VIEWS)
def test_a_leafs_gradient_owns_its_memory(name):
    x, y = matrix(0), matrix(1)
    out = VIEWS[name](x, y)
    seed = np.random.default_rng(2).normal(size=out.shape)
    before = seed.copy()
    out.backward(seed, retain_graph=True)
    leaves = [x] if y.grad is None else [x, y]
    once = [p.grad.numpy().copy() for p in leaves]
    check_own_memory([p.grad for p in leaves], seed, x.data, y.data)
    for p in leaves:
        p.grad.data[...] = np.nan  # a caller's own memory now: whatever is written there must not come back
    np.testing.assert_array_equal(seed, before)
    x.grad = y.grad = None
    out.backward(mg.Tensor(seed), retain_graph=True)
    check_own_memory([p.grad for p in leaves], seed, x.data, y.data)
    for p, g in zip(leaves, once, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), g)


@pytest.mark.parametrize("name", VIEWS)
def test_a_returned_gradient_owns_its_memory(name):
    x, y = matrix(0), matrix(1)
    inputs = [x] if name in ("the leaf itself", "x + x") else [x, y]
    out = VIEWS[name](x, y)
    seed = np.random.default_rng(2).normal(size=out.shape)
    check_own_memory(mg.grad(out, inputs, mg.Tensor(seed)), seed, x.data, y.data)


@pytest.mark.parametrize("name", VIEWS)
def test_returned_gradients_of_inputs_that_are_asked_for_twice_are_apart(name):
    x, y = matrix(0), matrix(1)
    out = VIEWS[name](x, y)
    seed = np.random.default_rng(2).normal(size=out.shape)
    outs, seeds = ([out], [seed]) if out.node is None else ([out, y], [seed, np.ones((3, 4))])
    check_own_memory(mg.grad(outs, [x, x], seeds), *seeds, x.data, y.data)


def test_a_gradient_that_a_leaf_alone_got_is_not_copied():
    made = []

    @differentiable(lambda g: made.append(2 * g) or made[-1])
    def double(x):
        return 2 * x

    x, seed = matrix(), np.ones((3, 4))
    assert mg.grad(double(x), x, seed).data is made[-1]
    check_own_memory(mg.grad(double(x), [x, x], seed), made[-1])
    y = x + 1.0
    check_own_memory(mg.grad(double(y), [y, x], seed), made[-1])
    check_own_memory([mg.grad(double(x).T, x, seed.T)], seed)


def test_a_returned_gradient_of_the_output_itself_owns_its_memory():
    x = matrix()
    y = x + 1.0
    seed = np.ones((3, 4))
    check_own_memory(mg.grad(y, [y, x], mg.Tensor(seed)), seed)


def test_retained_gradients_of_intermediates_own_their_memory():
    x = matrix()
    a = x + 1.0
    b = a + 1.0
    c = b.reshape(4, 3)
    for t in (a, b, c):
        t.retain_grad()
    seed = np.ones((4, 3))
    c.backward(seed)
    check_own_memory([x.grad, a.grad, b.grad, c.grad], seed)


def test_a_gradient_that_a_hook_keeps_is_not_the_leafs():
    kept = []
    x, y = matrix(0), matrix(1)
    x.register_hook(lambda g: kept.append(g))
    (x * y).sum().backward()
    x.grad.data[...] = 0
    assert kept[0].numpy().any()


def test_a_tensor_that_hooks_return_does_not_become_the_gradient_itself():
    constant = mg.tensor(np.ones((3, 4)))
    x, y = matrix(0), matrix(1)
    for p in (x, y):
        p.register_hook(lambda g: constant)
    (x * y).sum().backward()
    check_own_memory([x.grad, y.grad], constant.data)


# --- hooks


def test_hooks_on_leaves_see_the_sum_once():
    seen = []
    x = leaf(3.0)
    x.register_hook(lambda g: seen.append(g.item()))
    (x * x + x * 2.0).backward()
    assert seen == [8.0]
    assert x.grad.item() == 8.0


def test_hooks_replace_gradients_in_their_order():
    x = leaf(3.0)
    y = x * 2.0
    y.register_hook(lambda g: g + 1.0)
    y.register_hook(lambda g: g * 10.0)
    x.register_hook(lambda g: g - 1.0)
    (y * 1.0).backward()
    assert x.grad.item() == 20.0 * 2.0 - 1.0


def test_a_hook_on_the_output_itself():
    x = leaf(3.0)
    y = x * 2.0
    y.register_hook(lambda g: g * 5.0)
    y.backward()
    assert x.grad.item() == 10.0


def test_removed_hooks_are_silent():
    x = leaf(3.0)
    handle = x.register_hook(lambda g: g * 0.0)
    handle.remove()
    handle.remove()
    with x.register_hook(lambda g: g * 0.0):
        pass
    (x * 2.0).backward()
    assert x.grad.item() == 2.0


def test_a_hook_may_remove_itself():
    seen = []
    x = leaf(3.0)

    def once(g):
        seen.append(g.item())
        handle.remove()

    handle = x.register_hook(once)
    (x * 2.0).backward()
    (x * 2.0).backward()
    assert seen == [2.0]


def test_hooks_see_recorded_gradients_with_create_graph():
    x = leaf(3.0)
    y = x * x
    y.register_hook(lambda g: g * x)
    first = mg.grad(y, x, create_graph=True)  # 2x · x
    assert mg.grad(first, x).item() == 12.0


def test_hooks_of_leaves_run_in_grad_as_those_of_intermediates_do():
    x = leaf(3.0)
    x.register_hook(lambda g: g * 10.0)
    assert mg.grad(x * 2.0, x).item() == 20.0


@pytest.mark.parametrize("answer", [lambda g: g.sum(), lambda g: g.reshape(1, 2), lambda g: mg.tensor([1.0])])
@pytest.mark.parametrize("on_leaf", [True, False])
def test_a_hook_that_changes_the_shape_is_refused(answer, on_leaf):
    x = leaf([1.0, 2.0])
    y = x * 2.0
    (x if on_leaf else y).register_hook(answer)
    with pytest.raises(ValueError, match=r"hook.*\(2,\)"):
        y.sum().backward()
    assert x.grad is None


@pytest.mark.parametrize("on_leaf", [True, False])
def test_a_hook_may_return_an_array_or_be_told_that_it_may_not(on_leaf):
    x = leaf([1.0, 2.0])
    y = x * 2.0
    (x if on_leaf else y).register_hook(lambda g: g.numpy() * 10.0)
    try:
        y.sum().backward()
    except TypeError as error:
        assert "hook" in str(error)
        assert x.grad is None
    else:
        np.testing.assert_array_equal(x.grad.numpy(), [20.0, 20.0])


@pytest.mark.parametrize("on_leaf", [True, False])
def test_a_hook_that_returns_something_else_is_refused(on_leaf):
    x = leaf([1.0, 2.0])
    y = x * 2.0
    (x if on_leaf else y).register_hook(lambda g: "gradient")
    with pytest.raises(TypeError, match="hook"):
        y.sum().backward()
    assert x.grad is None


def test_a_hook_that_changes_the_type_does_not_change_the_gradients():
    x = leaf([1.0, 2.0], np.float32)
    x.register_hook(lambda g: g.astype(np.float64))
    x.sum().backward()
    assert x.grad.dtype == np.float32


# --- nothing has changed when it raises


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_rule_that_raises_changes_no_gradient(create_graph):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    x.grad = np.ones(2)
    loss = (y * 3.0 + x).sum() + fails_on_the_way_back(x * y).sum()
    with pytest.raises(BrokenError):
        loss.backward(create_graph=create_graph)
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])
    assert y.grad is None


@pytest.mark.parametrize("on_leaf", [True, False])
def test_a_hook_that_raises_changes_no_gradient(on_leaf):
    x, y, z = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([5.0, 6.0])
    a = x * y
    (y if on_leaf else a).register_hook(broken)
    with pytest.raises(BrokenError):
        (a + z).sum().backward()
    assert x.grad is y.grad is z.grad is None


def test_a_retained_gradient_is_not_set_when_backward_raises():
    x = leaf([1.0, 2.0])
    a = fails_on_the_way_back(x) * 1.0
    a.retain_grad()
    with pytest.raises(BrokenError):
        a.sum().backward()
    assert a.grad is None


# --- values that were written since


def overwrite(x):
    x[...] = 0.0


def add_in_place(x):
    x += 1.0


def write_through_detach(x):
    x.detach()[0] = 0.0


def write_through_a_view(x):
    x[1:][...] = 0.0


def write_through_a_transpose(x):
    x.T[...] = 0.0


def write_through_a_view_of_detach(x):
    x.detach().reshape(-1)[:1] = 0.0


def step_of(cls):
    def step(x):
        x.grad = np.ones_like(x.data)
        cls([x], lr=0.1).step()
        x.grad = None

    step.__name__ = f"{cls.__name__} step"
    return step


def load_into(x):
    module = nn.Module()
    module.x = x
    module.load_state_dict({"x": np.zeros(x.shape)})


WRITES = [
    overwrite, add_in_place, write_through_detach, write_through_a_view, write_through_a_transpose,
    write_through_a_view_of_detach, step_of(optim.SGD), step_of(optim.Adam), load_into,
]  # fmt: skip
USES = {
    "itself": lambda x: x * x,
    "the answer of exp": lambda x: mg.exp(x) * x,
    "a matrix product": lambda x: x @ mg.tensor(np.ones((4, 2)), requires_grad=True),
    "linear": lambda x: mg.linear(x, mg.tensor(np.ones((2, 4)), requires_grad=True)),
    "a view": lambda x: x[1:] * mg.tensor(2.0, requires_grad=True),
    "a reshape": lambda x: mg.square(x.reshape(-1)),
    "a transpose": lambda x: mg.square(x.T),
    "a detached copy of the tensor": lambda x: x.detach() * mg.tensor(2.0, requires_grad=True),
    "a view of a detached one": lambda x: x.detach()[1:] * mg.tensor(2.0, requires_grad=True),
    "relu": lambda x: mg.relu(x) * x,
}


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("use", USES)
def test_a_value_that_is_needed_and_was_written_raises(use, write):
    x = nn.Parameter(np.random.default_rng(0).normal(size=(3, 4)))
    out = USES[use](x).sum()
    with mg.no_grad():
        write(x)
    with pytest.raises(RuntimeError, match=r"backward: .*written in place"):
        out.backward()
    assert x.grad is None


@pytest.mark.parametrize("key", [lambda i: (i, slice(None)), lambda i: (slice(None), i), lambda i: i])
def test_a_key_that_was_written_raises(key):
    x, i = matrix(shape=(4, 4)), mg.tensor([0, 2])
    out = x[key(i)].sum()
    i[...] = 1
    with pytest.raises(RuntimeError, match=r"key of getitem, .*written in place"):
        out.backward()


def test_a_write_is_seen_through_any_chain_of_views():
    x = leaf(np.arange(6.0))
    windows = np.lib.stride_tricks.sliding_window_view(x.data, 2)
    out = (mg.tensor(2.0, requires_grad=True) * mg.Tensor(windows)).sum()
    with mg.no_grad():
        x.detach().reshape(2, 3)[1] += 1.0
    with pytest.raises(RuntimeError, match="written in place"):
        out.backward()


def test_a_recorded_backward_wants_the_tensor_with_its_value():
    p = leaf([1.0, 2.0])
    out = (p**3).sum()
    p.data = np.array([10.0, 20.0])
    with pytest.raises(RuntimeError, match=r"x1 of power, of shape \(2,\), was given another array"):
        mg.grad(out, p, create_graph=True, retain_graph=True)
    np.testing.assert_array_equal(mg.grad(out, p).numpy(), [3.0, 12.0])


def test_a_written_answer_raises():
    x = leaf([1.0, 2.0])
    y = mg.exp(x)
    with mg.no_grad():
        y[0] = 3.0
    with pytest.raises(RuntimeError, match=r"backward: the answer of exp, of shape \(2,\), was written"):
        y.sum().backward()


def test_a_written_constant_raises():
    x, constant = leaf([1.0, 2.0]), mg.tensor(np.array([3.0, 4.0]))
    y = (x * constant).sum()
    constant *= 2.0
    with pytest.raises(RuntimeError, match=r"backward: x2 of multiply, of shape \(2,\)"):
        y.backward()


@pytest.mark.parametrize(
    "loss", [lambda x: mg.softmax_cross_entropy(x, np.array([0])), lambda x: mg.mean_squared_error(x, x * 0)]
)
def test_a_residual_is_not_computed_again_from_written_values(loss):
    x = leaf([[1.0, 2.0, 3.0]])
    wanted = mg.grad(loss(x), x).numpy()
    out = loss(x)
    with mg.no_grad():
        x[...] = 0.0
    np.testing.assert_allclose(mg.grad(out, x, retain_graph=True).numpy(), wanted)  # the kept residual is right
    with pytest.raises(RuntimeError, match="written in place"):
        mg.grad(out, x, create_graph=True)


@pytest.mark.parametrize(
    "use",
    [lambda x: x + 1.0, lambda x: x.sum(), lambda x: x.reshape(-1), lambda x: -x, lambda x: x * 2.0, lambda x: x[0]],
)
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_a_write_to_what_no_gradient_needs_is_harmless(use, write):
    x = nn.Parameter(np.random.default_rng(0).normal(size=(3, 4)))
    out = use(x).sum()
    with mg.no_grad():
        write(x)
    out.backward()
    assert x.grad is not None


def test_writes_before_the_use_and_to_other_tensors_are_harmless():
    x, other = leaf([1.0, 2.0]), mg.tensor([0.0])
    with mg.no_grad():
        x[0] = 5.0
    y = (x * x).sum()
    other[0] = 1.0
    del other
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [10.0, 4.0])


def test_the_usual_hand_written_step():
    p = leaf([1.0, 2.0])
    for _ in range(3):
        (p * p).sum().backward()
        with mg.no_grad():
            p -= 0.25 * p.grad
        p.grad = None
    np.testing.assert_array_equal(p.numpy(), [0.125, 0.25])
    assert p.requires_grad
    assert p.is_leaf


# --- grad mode


def test_no_grad_as_a_block_and_as_a_decorator():
    x = leaf(2.0)

    @mg.no_grad()
    def double(x):
        return x * 2.0

    for _ in range(2):
        assert not double(x).requires_grad
    with mg.no_grad():
        assert not (x * 2.0).requires_grad
        with mg.enable_grad():
            assert (x * 2.0).requires_grad
        with mg.set_grad_enabled(False):
            assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_grad_mode_is_set_by_a_statement_too():
    x = leaf(2.0)
    mg.set_grad_enabled(False)
    assert not (x * 2.0).requires_grad
    mg.set_grad_enabled(True)
    assert (x * 2.0).requires_grad
    switch = mg.set_grad_enabled(False)
    with switch:
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad
    with switch:
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad

    @mg.set_grad_enabled(False)
    def double(x):
        return x * 2.0

    assert (x * 2.0).requires_grad
    assert not double(x).requires_grad
    assert (x * 2.0).requires_grad


@pytest.mark.parametrize("switch", [mg.no_grad, mg.enable_grad, lambda: mg.set_grad_enabled(False)])
def test_a_generator_is_not_decorated(switch):
    def doubled():
        yield 2.0

    async def streamed():
        yield 2.0

    async def awaited():
        return 2.0

    for function, kind in ((doubled, "generator"), (streamed, "generator"), (awaited, "coroutine")):
        with pytest.raises(TypeError, match=f"{function.__name__} is a {kind}, whose body runs after the call"):
            switch()(function)


def test_no_grad_ends_with_an_exception():
    with pytest.raises(BrokenError), mg.no_grad():
        raise BrokenError
    assert (leaf(1.0) * 2.0).requires_grad


def test_grad_mode_belongs_to_a_thread():
    x, found = leaf(2.0), []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: found.append((x * 2.0).requires_grad))
        thread.start()
        thread.join()
        assert not (x * 2.0).requires_grad
    assert found == [True]


def test_grad_mode_belongs_to_a_task_of_an_event_loop():
    x = leaf(2.0)

    async def frozen():
        with mg.no_grad():
            await asyncio.sleep(0)
            return (x * 2.0).requires_grad

    async def recorded():
        return (x * 2.0).requires_grad

    async def both():
        return await asyncio.gather(frozen(), recorded())

    assert asyncio.run(both()) == [False, True]


def records():
    return (leaf(2.0) * 2.0).requires_grad


def test_a_task_begins_in_the_mode_of_whoever_creates_it_and_changes_its_own_only():
    async def enabled():
        before = records()
        mg.set_grad_enabled(True)
        await asyncio.sleep(0)
        return before, records()

    async def main():
        with mg.no_grad():
            task = asyncio.create_task(enabled())
            in_thread = await asyncio.to_thread(records)
            return await task, in_thread, records()

    assert asyncio.run(main()) == ((False, True), False, False)
    assert records()


@pytest.mark.skipif(getattr(sys.flags, "thread_inherit_context", 0), reason="its threads begin as who starts them")
def test_threads_of_a_pool_record_whoever_starts_them():
    with ThreadPoolExecutor(2) as pool:
        with mg.no_grad():
            inside = [pool.submit(records).result(), *pool.map(lambda _: records(), range(4))]
            assert not records()
        frozen = pool.submit(mg.no_grad()(records)).result()
        assert [*inside, frozen, pool.submit(records).result()] == [True] * 5 + [False, True]


def test_a_thread_that_is_given_the_context_begins_in_its_mode():
    """As every thread does where the interpreter hands the context on."""
    with mg.no_grad(), ThreadPoolExecutor(1) as pool:
        assert not pool.submit(contextvars.copy_context().run, records).result()
        other = contextvars.copy_context()
        other.run(mg.set_grad_enabled, True)
        assert not records(), "what another context sets stays there"


def test_a_block_around_a_yield_leaves_the_caller_in_its_mode_until_the_generator_goes_on():
    def steps():
        with mg.no_grad():
            yield records()
        yield records()

    running = steps()
    assert not next(running)
    assert not records()
    assert next(running)
    assert records()
    abandoned = steps()
    next(abandoned)
    abandoned.close()
    assert records()


def test_a_generator_that_ends_its_blocks_before_it_yields_disturbs_nobody():
    def steps():
        for _ in range(2):
            with mg.no_grad():
                found = records()
            yield found

    with mg.enable_grad():
        for found in steps():
            assert (found, records()) == (False, True)
    with mg.no_grad():
        for found in steps():
            assert (found, records()) == (False, False)


def test_nested_switches_come_back_one_by_one_and_with_an_exception():
    again = mg.no_grad()
    with pytest.raises(BrokenError), mg.set_grad_enabled(False):
        with mg.set_grad_enabled(True), again:
            with mg.enable_grad(), again:
                assert not records()
            assert not records()
        assert not records()
        mg.set_grad_enabled(True)
        assert records()
        raise BrokenError
    assert records()


# --- what is refused


@pytest.mark.parametrize("data", [[1, 2], [True], np.arange(3, dtype=np.uint8)])
def test_only_floats_require_gradients(data):
    with pytest.raises(TypeError, match=r"requires_grad: .*floating-point.*(int|bool)"):
        mg.tensor(data, requires_grad=True)
    with pytest.raises(TypeError, match="floating-point"):
        mg.tensor(data).requires_grad_()


def test_errors_of_backward_and_grad_name_what_came_and_what_was_expected():
    x, constant = leaf([1.0, 2.0]), mg.tensor([1.0])
    with pytest.raises(RuntimeError, match=r"backward: this tensor of shape \(1,\)"):
        constant.backward()
    with mg.no_grad():
        y = x * 2.0
    with pytest.raises(RuntimeError, match=r"backward: this tensor of shape \(2,\).*no_grad"):
        y.backward(np.ones(2))
    with pytest.raises(RuntimeError, match="grad: input 0 does not require"):
        mg.grad(x.sum(), constant)
    with pytest.raises(TypeError, match=r"grad: expected a Tensor.*float"):
        mg.grad(3.0, x)
    with pytest.raises(ValueError, match="grad: 1 outputs but 2 grad_outputs"):
        mg.grad([x.sum()], [x], [None, None])
    with pytest.raises(TypeError, match=r"grad: input 0: expected a Tensor, got a float64"):
        mg.grad(x.sum(), np.ones(2))


def test_inputs_may_be_a_generator_or_the_error_says_so():
    model = nn.Linear(2, 1)
    loss = model(mg.tensor([[1.0, 2.0]])).sum()
    try:
        found = mg.grad(loss, model.parameters())
    except TypeError as error:
        assert "generator" in str(error)
    else:
        assert [g.shape for g in found] == [(1, 2), (1,)]


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda x: x + mg.tensor(np.ones(3)), ValueError, ["add", r"\(2,\)", r"\(3,\)", "float64"]),
        (lambda x: x @ mg.tensor(np.ones((3, 2))), ValueError, ["matmul", r"\(2,\)", r"\(3, 2\)"]),
        (lambda x: mg.sum(x, axis=1), (ValueError, IndexError), ["sum", "axis", "1"]),
        (lambda x: x.reshape(3), ValueError, ["reshape", r"\(2,\)", "3"]),
        (lambda x: x[5], IndexError, ["getitem", "5", r"\(2,\)"]),
        (lambda x: x + "a", TypeError, ["add", "'a'", r"\(2,\)"]),
        (lambda x: x + object(), TypeError, ["add", "object"]),
        (
            lambda x: mg.concatenate([x, mg.tensor(np.ones((2, 2)))]),
            ValueError,
            ["concatenate", r"\(2,\)", r"\(2, 2\)"],
        ),
        (lambda x: mg.concatenate([]), ValueError, ["concatenate"]),
        (lambda x: mg.stack([]), ValueError, ["stack"]),
        (lambda x: mg.transpose(x, (1, 0)), ValueError, ["transpose", r"\(1, 0\)"]),
        (lambda x: mg.linear(x, mg.tensor(np.ones((3, 5)))), ValueError, ["linear", r"\(2,\)", r"\(3, 5\)"]),
    ],
)
def test_errors_of_operations_name_operation_and_arguments(call, kind, words):
    with pytest.raises(kind) as caught:
        call(leaf([1.0, 2.0]))
    for word in words:
        assert caught.match(word)


# --- copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("cls", [mg.Tensor, nn.Parameter])
def test_copies_are_equal_and_independent(copied, cls):
    x = cls(np.array([1.0, 2.0], np.float32))
    x.requires_grad = True
    x.grad = np.array([3.0, 4.0], np.float32)
    y = copied(x)
    assert type(y) is cls
    assert y.requires_grad
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    np.testing.assert_array_equal(y.grad.numpy(), x.grad.numpy())
    assert not np.shares_memory(y.data, x.data)
    assert not np.shares_memory(y.grad.data, x.grad.data)
    y.grad.data[...] = y.data[...] = 0.0
    np.testing.assert_array_equal(x.numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 4.0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_tied_tensors_stay_tied(copied):
    x = leaf([1.0])
    a, b = copied([x, x])
    assert a is b
    assert a is not x


def test_a_computed_tensor_is_not_copied():
    y = leaf([1.0]) * 2.0
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match=r"detach\(\)"):
            copied(y)
    assert not copy.deepcopy(y.detach()).requires_grad


def test_copies_leave_hooks_behind():
    x = leaf([1.0])
    x.register_hook(broken)
    y = copy.deepcopy(x)
    (y * 2.0).backward()
    assert y.grad.item() == 2.0


def test_a_gradient_is_one_tensor_however_often_it_is_asked_for():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    assert x.grad is x.grad
    assert isinstance(x.grad, mg.Tensor)
    first = x.grad
    (x * x).sum().backward()
    np.testing.assert_array_equal(first.numpy(), [2.0, 4.0])
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 8.0])


def test_the_latest_node_comes_first_whatever_the_order_of_inputs():
    x = leaf(0.7)
    early = x * 2.0
    late = mg.exp(early)
    for product in (early * late, late * early, late * early * late, early * (late * early)):
        mg.grad(product, x, retain_graph=True)
    e = np.exp(1.4)
    assert mg.grad(late * early + early, x).item() == pytest.approx(2 * e + 2 * 1.4 * e + 2)


# --- gradients that several leaves are given


def test_recorded_gradients_are_each_leafs_own():
    a, b, seed = leaf([3.0, 4.0]), leaf([3.0, 4.0]), mg.tensor([1.0, 2.0], dtype="float64")
    (a + b).backward(seed, create_graph=True)
    assert len({id(t.data) for t in (a.grad, b.grad, seed)}) == 3
    nn.utils.clip_grad_norm_([a, b], 1.0)
    assert np.linalg.norm([a.grad.numpy(), b.grad.numpy()]) == pytest.approx(1.0, rel=1e-5)
    c = leaf([1.0, 2.0])
    c.sum().backward(create_graph=True)
    nn.utils.clip_grad_value_([c], 0.5)
    assert c.grad.tolist() == [0.5, 0.5]


def test_derivatives_by_complex_numbers_are_refused():
    p = mg.tensor(np.array([1 + 2j]), requires_grad=True)
    with pytest.raises(TypeError, match=r"shape \(1,\) complex128 wants a gradient"):
        abs(p * np.array([2 + 3j])).sum().backward()
    assert p.grad is None
    x = leaf([1.0])
    x.register_hook(lambda g: 2 * g)
    with pytest.raises(TypeError, match="complex128 wants a gradient"):
        (abs(p).sum() + x.sum()).backward()
    assert x.grad is p.grad is None


@pytest.mark.parametrize("dtype", [bool, "int64", np.uint8])
def test_a_type_without_fractions_is_a_constant(dtype):
    x = leaf([2.0, 3.0], np.float32)
    assert not x.astype(dtype).requires_grad
    (x * x.astype(dtype)).sum().backward()
    assert x.grad.tolist() == x.data.astype(dtype).tolist()
    with pytest.raises(TypeError, match=r"^astype: .*a: shape \(2,\) float32"):
        x.astype("nonsense")
