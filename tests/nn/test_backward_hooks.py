"""Full backward hooks: what they see, what they replace, and that a model computes the same with them."""

import copy
import pickle
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from tests.nn.module_table import TABLE, Sizes, built
from tests.nn.test_strict import strict_devices  # noqa: F401 (a fixture)
from tests.strict_array import StrictArray, strict

Pair = namedtuple("Pair", "sum product")


class Both(nn.Module):
    def forward(self, x, y=1.0, *, form=tuple):
        return form(Pair(x + y, x * y)) if form in (tuple, list) else Pair(x + y, x * y)


def leaf(*values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def noted(seen, *answers):
    """A hook that notes the gradients it is given and returns these answers one by one."""
    left = list(answers)

    def hook(module, *gradients):
        seen.append(tuple([None if g is None else g.tolist() for g in side] for side in gradients))
        return left.pop(0) if left else None

    return hook


def plain(module, *gradients):
    """A hook that can be pickled, and does nothing."""


CASES = [(name, i) for name, cases in sorted(TABLE.items()) for i in range(len(cases))]


@pytest.mark.parametrize(("name", "i"), CASES)
@pytest.mark.parametrize("make", [np.array, strict])
def test_hooks_that_hand_on_what_they_see_change_nothing(name, i, make):
    def outcome(hooked):
        mg.manual_seed(0)
        case, rng = TABLE[name][i], np.random.default_rng(i)
        module = built(name, case.arguments(rng, Sizes())).train(case.training)
        if make is strict:
            for t in [*module.parameters(), *module.buffers()]:
                t.data = strict(t.data)
        xs = [mg.tensor(make(x), requires_grad=np.asarray(x).dtype.kind == "f") for x in case.inputs(rng, Sizes())]
        if hooked:
            module.register_full_backward_hook(lambda module, grad_input, grad_output: grad_input)
            module.register_full_backward_pre_hook(lambda module, grad_output: grad_output)
        out = module(*xs)
        leaves = [x for x in [*xs, *module.parameters()] if x.requires_grad]
        if not out.requires_grad:
            return [out]
        first = mg.grad((out * out).sum(), leaves, create_graph=True, allow_unused=True)
        total = sum((g * g).sum() for g in first if g is not None and g.requires_grad)
        second = mg.grad(total, leaves, allow_unused=True) if isinstance(total, mg.Tensor) else []
        return [out, *first, *second]

    for ours, wanted in zip(outcome(True), outcome(False), strict=True):
        if wanted is not None:
            assert type(ours.data) is type(wanted.data) is (StrictArray if make is strict else np.ndarray)
            np.testing.assert_allclose(ours.numpy(), wanted.numpy(), rtol=1e-12, atol=1e-14)  # sums in another order
        else:  # an input that was not used
            assert ours is None or not ours.numpy().any()


@pytest.mark.parametrize("form", [tuple, Pair])
def test_gradients_of_several_inputs_and_outputs_come_together(form):
    module, seen = Both(), []
    module.register_full_backward_hook(noted(seen))
    x, y = leaf(1.0, 2.0), leaf(3.0)
    answer = module(x, y, form=form)
    assert type(answer) is form
    (answer[0].sum() + 10 * answer[1].sum()).backward()
    assert seen == [([[31, 31], [32]], [[1, 1], [10, 10]])]
    assert x.grad.tolist() == [31, 31]
    assert y.grad.tolist() == [32]
    module(x, y)[1].sum().backward()
    assert seen[1] == ([[3, 3], [3]], [[0, 0], [1, 1]])  # the sum was not used


def test_inputs_that_want_no_gradient():
    module, seen = Both(), []
    module.register_full_backward_hook(noted(seen))
    x = leaf(1.0, 2.0)
    module(x, np.ones(2))[0].sum().backward()
    module(x, y=leaf(5.0))[0].sum().backward()  # a keyword argument
    with mg.no_grad():
        assert not module(x)[0].requires_grad
    module(np.ones(2), 3.0)
    assert seen == [([[1, 1], None], [[1, 1], [0, 0]]), ([[1, 1]], [[1, 1], [0, 0]])]

    first, seen = nn.Linear(2, 1), []
    first.register_full_backward_hook(noted(seen))
    first(mg.tensor([[1.0, 2.0]])).backward()
    assert seen == [([None], [[[1]]])]
    assert first.weight.grad.tolist() == [[1, 2]]


def test_types_that_differ():
    seen = []
    module = Both()
    module.register_full_backward_hook(lambda module, grad_input, grad_output: seen.extend(grad_input))
    x, y = leaf(0.1, dtype=np.float32), leaf(0.1)
    total = module(x, y)[0]
    assert total.item() == np.float32(0.1) + np.float64(0.1)
    total.sum().backward()
    assert [g.dtype for g in seen] == [np.float32, np.float64]
    assert x.grad.dtype == np.float32


def test_what_hooks_return_takes_the_place():
    layer, seen = nn.Tanh(), []
    layer.register_full_backward_pre_hook(noted(seen, (mg.tensor([10.0]),)))
    layer.register_full_backward_pre_hook(noted(seen, mg.tensor([20.0])))
    layer.register_full_backward_pre_hook(noted(seen, [np.array([30.0], np.float32)]), prepend=True)
    layer.register_full_backward_hook(noted(seen, (mg.tensor([5.0]),)))
    layer.register_full_backward_hook(noted(seen, (None,)))
    x = leaf(0.0)
    layer(x).backward()
    assert seen == [([[1]],), ([[30]],), ([[10]],), ([[20]], [[20]]), ([[5]], [[20]])]
    assert x.grad.tolist() == [0]
    layer(x).backward()
    assert x.grad.tolist() == [1]


def test_handles_and_later_calls():
    layer, seen, x = nn.Tanh(), [], leaf(0.0)
    with layer.register_full_backward_hook(noted(seen)):
        answer = layer(x)
    answer.backward()  # the hooks are those of the call
    layer(x).backward()
    assert len(seen) == 1
    with layer.register_full_backward_hook(noted(seen)):
        answer = layer(x)
        for _ in range(2):
            answer.backward(retain_graph=True)
    assert len(seen) == 3


def test_forward_hooks_stand_outside_in_and_inside_out():
    """As in torch: between a forward pre-hook and forward, and after forward hooks."""
    layer, seen, x = nn.Tanh(), [], leaf(0.0)
    layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    layer.register_forward_hook(lambda module, args, answer: answer * 3)
    layer.register_full_backward_hook(noted(seen))
    layer(x).backward()
    assert seen == [([[3]], [[1]])]
    assert x.grad.tolist() == [6]


def test_second_derivatives_come_by_again():
    seen, x = [], leaf(2.0)
    layer = nn.Sequential(lambda x: x**3)
    layer.register_full_backward_hook(noted(seen))
    g = mg.grad(layer(x).sum(), x, create_graph=True)
    assert mg.grad(g.sum(), x).tolist() == [12]
    assert seen[0] == ([[12]], [[1]])
    weight = nn.Linear(1, 1)
    weight.register_full_backward_hook(noted(seen))
    mg.grad(weight(x.reshape(1, 1)).sum(), weight.weight)
    assert len(seen) == 1  # nobody asked for a gradient of the input


@given(st.data())
def test_in_a_model_of_layers_each_sees_what_the_tape_says(data):
    layers = data.draw(
        st.lists(st.sampled_from([nn.Tanh, nn.Sigmoid, lambda: nn.Linear(2, 2)]), min_size=1, max_size=4)
    )
    model = nn.Sequential(*(make() for make in layers)).to(dtype=np.float64)
    inputs, seen = [leaf(0.5, -1.0)], {}
    for layer in model:
        inputs.append(layer(inputs[-1]))
    wanted = mg.grad((inputs[-1] ** 2).sum(), inputs)
    for i, layer in enumerate(model):
        layer.register_full_backward_hook(lambda module, ins, outs, i=i: seen.update({i: (ins[0], outs[0])}))
    (model(inputs[0]) ** 2).sum().backward()
    for i in range(len(model)):
        for found, expected in zip(seen[i], wanted[i : i + 2], strict=True):
            np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_copies_have_the_hooks():
    module = Both()
    module.register_full_backward_hook(plain)
    for again in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert list(again._backward_hooks.values()) == [plain]
        with pytest.warns(UserWarning, match="Both: its full backward hooks won't be called: .* got a list"):
            again(leaf(1.0), form=list)


def test_empty_and_scalar_gradients():
    layer, seen = nn.Tanh(), []
    layer.register_full_backward_hook(noted(seen))
    for shape in ((), (0, 3)):
        x = mg.tensor(np.zeros(shape), requires_grad=True)
        layer(x).sum().backward()
        assert x.grad.shape == shape
    assert seen == [([1.0], [1.0]), ([[]], [[]])]


WRONG = [
    ("hook", (1.0, 2.0), ValueError, "Tanh: a full backward hook returned 2 gradients, expected 1"),
    ("pre_hook", (), ValueError, "Tanh: a full backward pre-hook returned 0 gradients, expected 1"),
    ("hook", mg.tensor([1.0, 2.0]), ValueError, r"hook returned, at place 0, shape \(2,\), expected \(1,\)"),
    ("pre_hook", ("x",), TypeError, "pre-hook returned, at place 0, a str, expected a Tensor, an array or None"),
]


@pytest.mark.parametrize(("kind", "answer", "error", "message"), WRONG)
def test_wrong_answers(kind, answer, error, message):
    layer, x = nn.Tanh(), leaf(0.0)
    getattr(layer, f"register_full_backward_{kind}")(lambda *_: answer)
    with pytest.raises(error, match=message):
        layer(x).backward()
    assert x.grad is None


def test_no_gradient_where_none_is_wanted():
    layer = nn.Linear(1, 1)
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: grad_output)
    with pytest.raises(ValueError, match=r"Linear: .* returned, at place 0, a gradient for what wants none"):
        layer(np.ones((1, 1), np.float32)).backward()
    assert layer.weight.grad is None
