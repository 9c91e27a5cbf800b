"""Module: what is in it, changing it, saving it, hooks."""

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
import nn
import optim


class Net(nn.Module):
    """Two layers, a tied one, a buffer that is saved and one that is not."""

    def __init__(self):
        self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 3)
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.second.weight
        self.scale = nn.Parameter(np.float32(2.0).reshape(1))
        self.mean = nn.Buffer(np.zeros(3, np.float32))
        self.scratch = nn.Buffer(np.ones(2, np.int64), persistent=False)

    def forward(self, x):
        return self.tied(self.second(self.first(x))) * self.scale + self.mean


NAMES = ["scale", "first.weight", "first.bias", "second.weight", "second.bias", "tied.bias"]
INPUT = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)


@pytest.fixture
def net():
    mg.manual_seed(0)
    return Net()


def test_names(net):
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_parameters(prefix="net")] == [f"net.{name}" for name in NAMES]
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert "tied.weight" in dict(net.named_parameters(remove_duplicate=False))
    assert [name for name, _ in net.named_buffers()] == ["mean", "scratch"]
    assert [name for name, _ in net.named_children()] == ["first", "second", "tied"]
    assert [name for name, _ in net.named_modules()] == ["", "first", "second", "tied"]
    assert [type(module).__name__ for module in net.modules()] == ["Net", "Linear", "Linear", "Linear"]
    assert list(net.children()) == [net.first, net.second, net.tied]
    assert len(list(net.parameters())) == 6
    assert len(list(net.parameters(recurse=False))) == 1
    assert len(list(net.buffers())) == 2


def test_looking_up(net):
    assert net.get_parameter("first.weight") is net.first.weight
    assert net.get_buffer("mean") is net.mean
    assert net.get_submodule("second") is net.second
    assert net.get_submodule("") is net
    model = nn.Sequential(nn.ModuleList([net]))
    assert model.get_parameter("0.0.first.bias") is net.first.bias


def test_registering(net):
    net.register_parameter("more", nn.Parameter(np.ones(2)))
    net.register_parameter("none", None)
    net.register_buffer("counts", np.zeros(2))
    net.register_buffer("hidden", np.zeros(2), persistent=False)
    net.register_buffer("absent", None)
    net.register_module("extra", nn.ReLU())
    net.add_module("again", nn.Tanh())
    assert {"more", "counts"} <= set(net.state_dict())
    assert not {"none", "hidden", "absent"} & set(net.state_dict())
    assert [*dict(net.named_children())][-2:] == ["extra", "again"]
    net.register_buffer("counts", np.ones(2))  # another of its kind may take its place
    assert net.counts.tolist() == [1, 1]


def test_assigning_to_a_buffer_keeps_it_one(net):
    net.mean = net.mean + 1.0
    assert isinstance(net.mean, nn.Buffer)
    assert net.state_dict()["mean"].tolist() == [1, 1, 1]
    net.scratch = mg.tensor([5])
    assert "scratch" not in net.state_dict()
    net.mean = None
    assert "mean" not in net.state_dict()


def test_apply_visits_children_first(net):
    seen = []
    assert net.apply(seen.append) is net
    assert seen == [net.first, net.second, net.tied, net]


def test_modes(net):
    assert net.training
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    assert net.train().first.training
    assert net.train(False).training is False


def test_freezing(net):
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(INPUT).requires_grad
    net.requires_grad_()
    assert net(INPUT).requires_grad


def test_zero_grad(net):
    net(INPUT).sum().backward()
    net.first.bias.grad = None
    net.zero_grad(set_to_none=False)
    assert net.first.bias.grad is None
    assert net.first.weight.grad.tolist() == [[0, 0]] * 3
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_a_tied_parameter_gathers_both_gradients(net):
    net(INPUT).sum().backward()
    separate = Net()
    separate.load_state_dict(net.state_dict())
    separate.tied.weight = nn.Parameter(net.second.weight.data.copy())
    separate(INPUT).sum().backward()
    total = separate.second.weight.grad.numpy() + separate.tied.weight.grad.numpy()
    np.testing.assert_allclose(net.second.weight.grad.numpy(), total, rtol=1e-5)


def test_to_keeps_identity_and_moves_gradients(net):
    before = list(net.parameters())
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    net(INPUT).sum().backward()
    assert net.to(dtype=np.float64) is net
    assert list(map(id, net.parameters())) == list(map(id, before))
    assert {p.dtype for p in net.parameters()} == {p.grad.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    assert net.mean.dtype == np.float64
    assert net.scratch.dtype == np.int64
    assert net.tied.weight is net.second.weight
    optimizer.step()
    assert net(INPUT.astype(np.float64)).dtype == np.float64
    with pytest.raises(ValueError, match="device must be"):
        net.to("tpu")
    assert net.to("cpu").first.weight.device == "cpu"


def test_to_moves_a_gradient_of_one_element():
    module = nn.Linear(1, 1, bias=False)
    module.weight.grad = np.zeros((1, 1), np.float32)
    assert module.to(dtype=np.float64).weight.grad.dtype == np.float64


def test_state_dict_is_a_copy_and_comes_back(net):
    state = net.state_dict()
    assert set(state) == {*NAMES, "tied.weight", "mean"}
    assert all(type(value) is np.ndarray for value in state.values())
    saved = copy.deepcopy(state)
    with mg.no_grad():
        for p in net.parameters():
            p += 1.0
    for name in state:
        np.testing.assert_array_equal(state[name], saved[name])
    before = list(net.parameters())
    assert net.load_state_dict(state) == ([], [])
    assert list(map(id, net.parameters())) == list(map(id, before))
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_loading_takes_other_types_and_tensors(net):
    state = {name: mg.tensor(value.astype(np.float64)) for name, value in net.state_dict().items()}
    state["scale"] = [7]
    net.load_state_dict(state)
    assert net.scale.tolist() == [7]
    assert net.scale.dtype == np.float32


def test_loading_what_is_its_own_memory():
    module = nn.Module()
    module.a, module.b = nn.Parameter(np.zeros(2)), nn.Parameter(np.ones(2))
    module.load_state_dict({"a": module.b.data, "b": module.a.data})
    assert module.a.tolist() == [1, 1]
    assert module.b.tolist() == [0, 0]


WRONG = {
    "missing": (lambda state: state.pop("scale"), ValueError, r"missing \['scale'\]"),
    "unexpected": (lambda state: state.update(extra=1.0), ValueError, r"unexpected \['extra'\]"),
    "shape": (lambda state: state.update(mean=np.zeros(4)), ValueError, r"mean has shape \(3,\), the value \(4,\)"),
    "text": (lambda state: state.update(mean="abc"), TypeError, "numeric"),
    "complex": (lambda state: state.update(mean=np.zeros(3, complex)), TypeError, "the value of complex128"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_failed_load_changes_nothing(net, name):
    spoil, kind, message = WRONG[name]
    before, state = net.state_dict(), {key: value + 1 for key, value in net.state_dict().items()}
    spoil(state)
    with pytest.raises(kind, match=message):
        net.load_state_dict(state)
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_loading_a_part(net):
    found = net.load_state_dict({"scale": np.array([3.0]), "extra": 1.0}, strict=False)
    assert found.unexpected_keys == ["extra"]
    assert set(found.missing_keys) == {*NAMES, "tied.weight", "mean"} - {"scale"}
    assert net.scale.tolist() == [3]


def test_hooks_see_and_replace():
    layer, calls = nn.ReLU(), []
    before = layer.register_forward_pre_hook(lambda module, args: calls.append((module, args)))
    doubled = layer.register_forward_pre_hook(lambda module, args: args[0] * 2)
    after = layer.register_forward_hook(lambda module, args, answer: calls.append((args, answer)))
    shifted = layer.register_forward_hook(lambda module, args, answer: answer + 1)
    x = np.array([1.0, -1.0])
    assert layer(x).tolist() == [3, 1]
    assert calls[0][0] is layer
    assert calls[0][1][0] is x
    assert calls[1][0][0].tolist() == [2, -2]
    assert calls[1][1].tolist() == [2, 0]
    assert nn.ReLU()(x).tolist() == [1, 0]  # another module of the class
    for handle in (before, doubled, after, shifted):
        handle.remove()
        handle.remove()
    assert layer(x).tolist() == [1, 0]
    with layer.register_forward_hook(lambda module, args, answer: 5):
        assert layer(x) == 5
    assert layer(x).tolist() == [1, 0]


class Scaled(nn.Module):
    def forward(self, x, *, scale=1):
        if scale == 0:
            raise ZeroDivisionError("scale")
        return x * scale


def test_hooks_in_an_order_of_ones_own():
    module, seen = Scaled(), []
    for name, prepend in (("b", False), ("a", True), ("c", False), ("first", True)):
        module.register_forward_pre_hook(lambda m, args, name=name: seen.append(f"before {name}"), prepend=prepend)
        module.register_forward_hook(lambda m, args, answer, name=name: seen.append(f"after {name}"), prepend=prepend)
    module(1)
    assert seen == [f"{when} {name}" for when in ("before", "after") for name in ("first", "a", "b", "c")]


def test_hooks_with_keyword_arguments():
    module, seen = Scaled(), []
    handle = module.register_forward_pre_hook(lambda m, args, kwargs: ((args[0] + 1,), {"scale": 10}), with_kwargs=True)
    module.register_forward_pre_hook(lambda m, args, kwargs: seen.append((args, kwargs)), with_kwargs=True)
    module.register_forward_hook(lambda m, args, kwargs, answer: answer + kwargs["scale"], with_kwargs=True)
    assert module(1, scale=3) == 30
    assert seen == [((2,), {"scale": 10})]
    handle.remove()
    assert module(1, scale=3) == 6
    with (
        module.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True),
        pytest.raises(
            RuntimeError, match=r"Scaled: a forward pre-hook with_kwargs must return None or \(args, kwargs\)"
        ),
    ):
        module(1, scale=3)


def test_hooks_that_are_always_called():
    module, seen = Scaled(), []
    module.register_forward_hook(lambda m, args, answer: seen.append("not this"))
    module.register_forward_hook(lambda m, args, answer: seen.append((args, answer)), always_call=True)
    with pytest.raises(ZeroDivisionError):
        module(1, scale=0)
    assert seen == [((1,), None)]
    module(2)
    assert seen == [((1,), None), "not this", ((2,), 2)]

    calls = []

    def fails(m, args, answer):
        calls.append(args)
        raise KeyError("hook")

    module.register_forward_hook(fails, always_call=True)
    with pytest.raises(KeyError, match="hook"):
        module(3)
    assert calls == [(3,)]  # not again for its own error
    with pytest.warns(UserWarning, match=r"Scaled: a forward hook with always_call raised KeyError\('hook'\)"):  # noqa: SIM117
        with pytest.raises(ZeroDivisionError):
            module(1, scale=0)


def test_hooks_inside_a_model(net):
    seen = []
    net.second.register_forward_hook(lambda module, args, answer: seen.append(answer.shape))
    net(INPUT)
    nn.Sequential(net)(INPUT)
    assert seen == [(4, 3), (4, 3)]


def add_one(module, args, answer):
    return answer + 1


class Double(nn.Module):
    def forward(self, x):
        return 2 * x


class Twice:
    def forward(self, x):
        return 2 * super().forward(x)


class TwiceDouble(Twice, Double):
    pass


class Called(nn.Module):
    def __call__(self, x):
        return ("called", self.forward(x))

    def forward(self, x):
        return x


class CalledToo(Called):
    def forward(self, x):
        return -x


def test_which_forward_a_call_goes_to():
    assert TwiceDouble()(3) == 12  # by the order of the base classes
    with TwiceDouble().register_forward_hook(add_one):
        assert TwiceDouble()(3) == 12
    assert Called()(3) == ("called", 3)
    assert CalledToo()(3) == ("called", -3)


def minus(x):
    return -x


def test_a_module_with_a_forward_of_its_own():
    class Fresh(Double):
        pass

    module, other = Fresh(), Fresh()
    module.forward = minus
    assert module(3) == copy.deepcopy(module)(3) == -3
    assert other(3) == 6
    del module.forward
    assert module(3) == 6
    changed = Double()
    changed.forward = minus
    assert pickle.loads(pickle.dumps(changed))(3) == -3


def test_a_class_whose_forward_is_replaced(monkeypatch):
    module = Double()
    monkeypatch.setattr(Double, "forward", lambda self, x: -x)
    assert module(3) == -3


def test_nothing_is_loaded_into_memory_that_is_read_only():
    layer = nn.Linear(1, 1)
    before = layer.state_dict()
    layer.bias.data.flags.writeable = False
    with pytest.raises(ValueError, match="load_state_dict: bias can't be written: its array is read-only"):
        layer.load_state_dict({"weight": [[5.0]], "bias": [3.0]})
    with pytest.raises(TypeError, match="load_state_dict: weight: tensor: data of type str gives no numeric array"):
        layer.load_state_dict({"weight": "x", "bias": [3.0]})
    assert {name: value.tolist() for name, value in layer.state_dict().items()} == {
        name: value.tolist() for name, value in before.items()
    }


def test_hooks_are_copied_and_pickled():
    module = Double()
    module.register_forward_hook(add_one)
    again = pickle.loads(pickle.dumps(module))
    assert again(3) == 7
    handle = copy.deepcopy(module).register_forward_hook(add_one)
    assert module(3) == 7
    handle.remove()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_independent(net, duplicate):
    net(INPUT).sum().backward()
    again = duplicate(net.eval())
    assert again.tied.weight is again.second.weight
    assert not again.first.training
    assert again.scratch.persistent is False
    assert isinstance(again.mean, nn.Buffer)
    np.testing.assert_array_equal(again(INPUT).numpy(), net(INPUT).numpy())
    np.testing.assert_array_equal(again.first.weight.grad.numpy(), net.first.weight.grad.numpy())
    with mg.no_grad():
        again.scale += 1.0
    assert net.scale.tolist() == [2]


def test_repr(net):
    assert repr(net).splitlines()[:2] == ["Net(", "  (first): Linear(in_features=2, out_features=3, bias=True)"]
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss(reduction='mean', ignore_index=-100, label_smoothing=0.0)"
    assert repr(nn.Embedding(5, 2, -1)) == "Embedding(5, 2, padding_idx=4)"
    assert repr(nn.Embedding(5, 2, max_norm=1.5)) == "Embedding(5, 2, max_norm=1.5)"
    assert repr(nn.MSELoss().eval()) == repr(nn.MSELoss()) == "MSELoss(reduction='mean')"
    assert repr(nn.ReLU(inplace=True)) == "ReLU(inplace=True)"
    assert repr(nn.ELU()) == "ELU(alpha=1.0)"
    assert repr(nn.LeakyReLU(0.1, True)) == "LeakyReLU(negative_slope=0.1, inplace=True)"
    assert repr(nn.Dropout(0.1, inplace=True)) == "Dropout(p=0.1, inplace=True)"
    for name in ("ELU", "GELU", "SiLU", "LeakyReLU", "Softplus", "Softmax", "LogSoftmax", "Identity", "KLDivLoss"):
        assert repr(getattr(nn, name)()).startswith(f"{name}(")


def test_settings_of_a_loss_may_change():
    loss, x, labels = nn.CrossEntropyLoss(), np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([0, 1])
    mean = loss(x, labels)
    loss.reduction = "sum"
    np.testing.assert_allclose(loss(x, labels), 2 * mean)
    loss.reduction, loss.ignore_index = "mean", 1
    np.testing.assert_allclose(loss(x, labels), loss(x[:1], labels[:1]))


def test_weights_of_a_loss_are_buffers():
    loss = nn.CrossEntropyLoss(np.array([1.0, 2.0]))
    assert set(loss.state_dict()) == {"weight"}
    assert loss.to(dtype=np.float32).weight.dtype == np.float32


def test_dropout_and_batch_norm_follow_the_mode():
    x = mg.tensor(np.random.default_rng(0).normal(size=(8, 3)))
    model = nn.Sequential(nn.BatchNorm1d(3, dtype=np.float64), nn.Dropout(0.5))
    mg.manual_seed(0)
    first, second = model(x).numpy(), model(x).numpy()
    assert (first != second).any()
    assert model[0].num_batches_tracked.item() == 2
    batch_mean = x.numpy().mean(0)
    np.testing.assert_allclose(model[0].running_mean.numpy(), 0.19 * batch_mean)
    np.testing.assert_allclose(model[0].running_var.numpy(), 0.81 + 0.19 * x.numpy().var(0, ddof=1))
    model.eval()
    np.testing.assert_array_equal(model(x).numpy(), model(x).numpy())
    assert model[0].num_batches_tracked.item() == 2


def test_an_embedding_from_rows():
    rows = np.arange(6.0).reshape(3, 2)
    before = mg.default_generator().bit_generator.state
    layer = nn.Embedding.from_pretrained(rows, padding_idx=0)
    assert mg.default_generator().bit_generator.state == before  # no random rows are drawn first
    rows[:] = 0
    assert layer(np.array([2, 0])).tolist() == [[4, 5], [0, 1]]
    assert not layer.weight.requires_grad
    assert nn.Embedding.from_pretrained(rows, freeze=False).weight.requires_grad
    assert not nn.Embedding(3, 2, _freeze=True).weight.requires_grad


def test_a_padding_row_starts_at_zero_and_stays():
    layer = nn.Embedding(4, 2, padding_idx=-1)
    assert layer.weight.numpy()[3].tolist() == [0, 0]
    layer(np.array([3, 1, 3])).sum().backward()
    assert layer.weight.grad.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0]]


def test_a_sparse_embedding_has_row_sparse_gradients():
    mg.manual_seed(0)
    sparse = nn.Embedding(6, 2, padding_idx=1, sparse=True)
    dense = nn.Embedding.from_pretrained(sparse.weight, freeze=False, padding_idx=1)
    chosen = np.array([[4, 1], [4, 0]])
    for layer in (sparse, dense):
        (layer(chosen) ** 2).sum().backward()
    assert isinstance(sparse.weight.grad, mg.RowSparse)
    assert sparse.weight.grad.rows.tolist() == [0, 4]
    np.testing.assert_allclose(sparse.weight.grad.numpy(), dense.weight.grad.numpy(), rtol=1e-6)
    assert repr(sparse) == "Embedding(6, 2, padding_idx=1, sparse=True)"
    sparse.to(dtype=np.float64)
    assert sparse.weight.grad.dtype == np.float64


def test_rows_that_are_looked_up_are_limited():
    rows = np.array([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0], [0.0, 0.0]])
    layer = nn.Embedding.from_pretrained(rows, freeze=False, max_norm=1.0)
    used = layer(np.array([1, 0, 0, 3]))
    np.testing.assert_allclose(used.numpy(), [[0.3, 0.4], [0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-7)
    np.testing.assert_allclose(layer.weight.numpy(), [[0.6, 0.8], [0.3, 0.4], [6.0, 8.0], [0, 0]], rtol=1e-7)
    used.sum().backward()
    assert layer.weight.grad.tolist() == [[2, 2], [1, 1], [0, 0], [1, 1]]
    with pytest.raises(IndexError):
        layer(np.array([2, 4]))
    assert layer.weight.numpy()[2].tolist() == [6, 8]  # an error changes nothing


def test_a_backward_that_needs_rows_as_they_were_before_they_were_limited():
    layer = nn.Embedding.from_pretrained(np.array([[3.0, 4.0]]), freeze=False, max_norm=1.0)
    square = (layer.weight * layer.weight).sum()
    layer(np.array([0]))
    with pytest.raises(RuntimeError, match="written in place"):
        square.backward()


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_by_frequency(sparse):
    layer = nn.Embedding(4, 1, padding_idx=3, scale_grad_by_freq=True, sparse=sparse, dtype=np.float64)
    factors = np.array([[1.0], [2.0], [6.0], [5.0], [9.0]])
    (layer(np.array([1, 2, 1, 1, 3])) * factors).sum().backward()
    assert layer.weight.grad.numpy().tolist() == [[0], [4], [2], [0]]


@pytest.mark.parametrize("kind", [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.Dropout])
def test_in_place_is_taken_and_changes_nothing(kind):
    x = mg.tensor([-1.0, 2.0], requires_grad=True)
    mg.manual_seed(0)
    wanted = kind()(x).tolist()
    mg.manual_seed(0)
    assert kind(inplace=True)(x).tolist() == wanted
    assert x.tolist() == [-1, 2]


def test_statistics_are_reset():
    norm = nn.BatchNorm1d(2)
    norm(np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32))
    norm.reset_running_stats()
    assert [buffer.tolist() for buffer in norm.buffers()] == [[0, 0], [1, 1], 0]
    nn.BatchNorm1d(2, track_running_stats=False).reset_running_stats()


def test_a_device_of_none_is_the_cpu():
    options = {"device": None, "dtype": None}
    for module in (nn.Linear(2, 2, **options), nn.LayerNorm(2, **options), nn.BatchNorm1d(2, **options)):
        assert {p.device for p in module.parameters()} == {"cpu"}
    assert nn.Embedding(2, 2, **options).weight.dtype == mg.get_default_dtype()
    assert len(nn.ModuleList(None)) == len(nn.ModuleDict(None)) == 0
