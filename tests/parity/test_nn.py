"""Every layer and loss against PyTorch: value, gradient, second gradient, buffers, initial values, arguments."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import nn.functional as F
from tests.nn.module_table import TABLE, Sizes, built

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

CASES = [(name, i) for name, cases in sorted(TABLE.items()) for i in range(len(cases))]


def theirs_of(value):
    """An array or a setting as torch takes it."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return value


def twins(name, case, rng, sizes):
    """Our module and torch's, with the same settings and state."""
    positional, settings = case.arguments(rng, sizes)
    ours = built(name, (positional, settings)).train(case.training)
    settings = {key: theirs_of(value) for key, value in settings.items()}
    theirs = getattr(torch.nn, name)(*positional, **settings).double().train(case.training)
    theirs.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in ours.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize(("name", "i"), CASES, ids=[f"{name}-{TABLE[name][i]}" for name, i in CASES])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_value_gradient_and_second_gradient(name, i):
    case, rng = TABLE[name][i], np.random.default_rng(i)
    inputs = [np.asarray(x) for x in case.inputs(rng, Sizes())]
    ours, theirs = twins(name, case, rng, Sizes())
    xs = [mg.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    ts = [torch.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f") for x in inputs]
    out, wanted = ours(*xs), theirs(*ts)
    close(out, wanted)
    for buffer, expected in zip(ours.buffers(), theirs.buffers(), strict=True):
        close(buffer, expected)
    leaves = [x for x in [*xs, *ours.parameters()] if x.requires_grad]
    their_leaves = [t for t in [*ts, *theirs.parameters()] if t.requires_grad]
    seed = rng.normal(size=out.shape)
    if not wanted.requires_grad:
        assert not out.requires_grad
        return
    first = mg.grad(out, leaves, mg.tensor(seed), create_graph=True, allow_unused=True)
    their_first = torch.autograd.grad(wanted, their_leaves, torch.tensor(seed), create_graph=True, allow_unused=True)
    compare(first, their_first, leaves)
    pairs = [(g, h, rng.normal(size=g.shape)) for g, h in zip(first, their_first, strict=True) if h is not None]
    total = sum((g * mg.tensor(v)).sum() for g, _, v in pairs)
    their_total = sum((h * torch.tensor(v)).sum() for _, h, v in pairs)
    if their_total.requires_grad:
        second = mg.grad(total, leaves, allow_unused=True) if total.requires_grad else [None] * len(leaves)
        compare(second, torch.autograd.grad(their_total, their_leaves, allow_unused=True), leaves)


def close(ours, theirs):
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(force=True), rtol=1e-8, atol=1e-11)


def compare(ours, theirs, leaves):
    for g, h, leaf in zip(ours, theirs, leaves, strict=True):
        g = mg.Tensor(np.zeros(leaf.shape)) if g is None else g
        close(g, torch.zeros(leaf.shape, dtype=torch.float64) if h is None else h)


# --- edges


def both(call, *arrays):
    """Value and gradients by all arrays of floating point, ours and torch's."""
    xs = [mg.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    ts = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
    ours, theirs = call(F, *xs), call(torch.nn.functional, *ts)
    (mg.sum(ours)).backward()
    theirs.sum().backward()
    results = [ours, *(x.grad for x in xs if x.requires_grad)]
    return results, [theirs, *(t.grad for t in ts if t.requires_grad)]


EXTREME = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 3.0]])
TARGETS = np.array([0.0, 0.0, 1.0, 1.0, 0.0])
SURE = np.array([0.0, 1.0, 0.0, 1.0, 0.5])
EDGES = {
    "cross_entropy": (lambda f, x, y: f.cross_entropy(x, y, reduction="none"), EXTREME, np.array([0, 0])),
    "cross_entropy, smoothed": (lambda f, x, y: f.cross_entropy(x, y, label_smoothing=0.1), EXTREME, np.array([0, 0])),
    "cross_entropy, probabilities": (
        lambda f, x, y: f.cross_entropy(x, y), EXTREME, np.array([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])
    ),
    "cross_entropy, all ignored": (lambda f, x, y: f.cross_entropy(x, y), EXTREME, np.array([-100, -100])),
    "cross_entropy, all ignored, summed": (
        lambda f, x, y: f.cross_entropy(x, y, reduction="sum"), EXTREME, np.array([-100, -100])
    ),
    "nll_loss, all ignored": (lambda f, x, y: f.nll_loss(x, y, ignore_index=1), EXTREME, np.array([1, 1])),
    "logits": (
        lambda f, x, y: f.binary_cross_entropy_with_logits(x, y.detach(), reduction="none"),
        EXTREME, np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 1.0]]),
    ),
    "probabilities": (
        lambda f, x, y: f.binary_cross_entropy(x, y.detach(), reduction="none"), SURE, TARGETS
    ),
    "kl_div": (lambda f, x, y: f.kl_div(x, y.detach(), reduction="sum"), np.log(SURE + 0.1), SURE),
    "l1_loss at 0": (lambda f, x, y: f.l1_loss(x, y), np.array([0.0, 1.0]), np.array([0.0, 2.0])),
    "smooth_l1_loss at 0": (lambda f, x, y: f.smooth_l1_loss(x, y), np.array([0.0, 1.0]), np.array([0.0, 2.0])),
    "huber_loss, infinite": (lambda f, x, y: f.huber_loss(x, y.detach()), np.array([np.inf, -np.inf]), np.zeros(2)),
    "cosine, zero vector": (
        lambda f, x, y: f.cosine_embedding_loss(x, y, y.detach()[:, 0] * 0 + 1), np.zeros((1, 2)), np.ones((1, 2))
    ),
    "hinge, other targets": (
        lambda f, x, y: f.hinge_embedding_loss(x, y, reduction="none"), np.array([0.3, 2.0]), np.array([0, 0])
    ),
    "softplus": (lambda f, x: f.softplus(x), np.array([-1000.0, 0.0, 19.0, 20.5, 1000.0])),
    "log_softmax": (lambda f, x: f.log_softmax(x, 1), EXTREME),
    "softmax in another type": (lambda f, x: f.softmax(x, 1), EXTREME),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges(name):
    call, *arrays = EDGES[name]
    for ours, theirs in zip(*both(call, *arrays), strict=True):
        if theirs is None:
            assert ours is None
        else:
            close(ours, theirs)


# --- training and initial values


def test_running_statistics_over_several_batches():
    rng = np.random.default_rng(0)
    for momentum in (0.1, None):
        ours, theirs = (
            nn.BatchNorm1d(3, momentum=momentum, dtype=np.float64),
            torch.nn.BatchNorm1d(3, momentum=momentum),
        )
        theirs.double()
        for _ in range(4):
            x = rng.normal(size=(5, 3))
            close(ours(mg.tensor(x)), theirs(torch.tensor(x)))
        for name, value in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[name], value.numpy())


def test_state_dicts_have_the_same_keys():
    ours = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ModuleList([nn.LayerNorm(3), nn.Embedding(5, 2)]))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 3),
        torch.nn.BatchNorm1d(3),
        torch.nn.ModuleList([torch.nn.LayerNorm(3), torch.nn.Embedding(5, 2)]),
    )
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]


INITS = [
    ("uniform_", (-1.0, 3.0)), ("normal_", (2.0, 0.5)), ("trunc_normal_", (0.5, 1.0, -1.0, 0.7)),
    ("xavier_uniform_", (2.0,)), ("xavier_normal_", (0.5,)), ("kaiming_uniform_", (0.3, "fan_out")),
    ("kaiming_normal_", (0, "fan_in", "relu")), ("kaiming_uniform_", (5**0.5,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments"), INITS)
def test_initial_values_are_of_the_same_distribution(name, arguments):
    ours = nn.Parameter(np.empty((100, 300)))
    theirs = torch.empty(100, 300, dtype=torch.float64)
    getattr(nn.init, name)(ours, *arguments, generator=np.random.default_rng(0))
    getattr(torch.nn.init, name)(theirs, *arguments, generator=torch.Generator().manual_seed(0))
    levels = np.linspace(0.02, 0.98, 25)
    spread = float(theirs.std())
    np.testing.assert_allclose(
        np.quantile(ours.numpy(), levels), np.quantile(theirs.numpy(), levels), atol=0.06 * spread, rtol=0
    )


def test_gains():
    for name in ("linear", "conv2d", "conv_transpose1d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_every_layer_and_loss_is_compared():
    assert {name for name, _ in CASES} == set(TABLE)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_of_elements(reduction):
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.uniform(0.5, 2, (4, 3))
    for name in ("mse_loss", "l1_loss", "huber_loss"):
        call = lambda f, *xs, name=name: getattr(f, name)(*xs[:2], weight=xs[2], reduction=reduction)
        for ours, theirs in zip(*both(call, x, y, w), strict=True):
            close(ours, theirs)


# --- clipping


@st.composite
def gradients(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes = draw(st.lists(st.sampled_from([(), (1,), (4,), (2, 3)]), min_size=1, max_size=4))
    made = [np.array(rng.normal(size=shape), draw(st.sampled_from([np.float64, np.float32]))) for shape in shapes]
    if draw(st.booleans()):
        made[0].reshape(-1)[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.0]))
    return made


def with_gradients(arrays):
    ours, theirs = [], []
    for g in arrays:
        ours.append(mg.tensor(np.zeros_like(g), requires_grad=True))
        ours[-1].grad = g.copy()
        theirs.append(torch.zeros(g.shape, dtype=torch.from_numpy(g).dtype, requires_grad=True))
        theirs[-1].grad = torch.from_numpy(g.copy())
    return ours, theirs


@settings(max_examples=80, deadline=None)
@given(gradients(), st.sampled_from([1, 2, 2.0, 3, 0.5, float("inf"), "inf"]), st.sampled_from([0.0, 0.3, 2.0, 1e3]))
def test_clipping(arrays, norm_type, limit):
    tolerance = {"rtol": 1e-5 if any(g.dtype == np.float32 for g in arrays) else 1e-12, "atol": 1e-12}

    def same(ours, theirs):
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), **tolerance)

    ours, theirs = with_gradients(arrays)
    norm = nn.utils.clip_grad_norm_(ours, limit, norm_type)
    wanted = torch.nn.utils.clip_grad_norm_(theirs, limit, norm_type)
    np.testing.assert_allclose(norm.item(), wanted.item(), **tolerance)
    assert norm.dtype == wanted.numpy().dtype
    assert norm.shape == tuple(wanted.shape)
    same(ours, theirs)
    ours, theirs = with_gradients(arrays)
    nn.utils.clip_grad_value_(ours, limit)
    torch.nn.utils.clip_grad_value_(theirs, limit)
    same(ours, theirs)
    for package, parameters in ((nn, ours), (torch.nn, theirs)):
        norm = package.utils.get_total_norm([p.grad for p in parameters])
        package.utils.clip_grads_with_norm_(parameters, 0.1, norm)
    same(ours, theirs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_errors_of_clipping(value):
    for package, parameters in zip((nn, torch.nn), with_gradients([np.array([1.0, value])]), strict=True):
        with pytest.raises(RuntimeError, match="norm"):
            package.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
        np.testing.assert_array_equal(parameters[0].grad.numpy(), [1.0, value])


# --- hooks


def trace(package, fails):
    """What hooks of all kinds see, and what comes out."""
    seen = []

    class Scaled(package.Module):
        def forward(self, x, scale=1):
            if fails:
                raise ZeroDivisionError("scale")
            return x * scale

    module = Scaled()

    def before(name, changed=None):
        def hook(module, args, *kwargs):
            seen.append((f"before {name}", args, *map(dict, kwargs)))
            return changed

        return hook

    def after(name, changed=None):
        def hook(module, args, *kwargs_and_answer):
            seen.append((f"after {name}", args, *kwargs_and_answer))
            return changed

        return hook

    module.register_forward_pre_hook(before("a", 5))
    module.register_forward_pre_hook(before("b", ((7,), {"scale": 3})), prepend=True, with_kwargs=True)
    module.register_forward_pre_hook(before("c"), with_kwargs=True)
    module.register_forward_hook(after("a"), always_call=True)
    module.register_forward_hook(after("b", 100), prepend=True, with_kwargs=True)
    module.register_forward_hook(after("c"), always_call=True, with_kwargs=True)
    try:
        seen.append(module(1, scale=2))
    except ZeroDivisionError as error:
        seen.append(str(error))
    return seen


@pytest.mark.parametrize("fails", [False, True])
def test_hooks_are_called_alike(fails):
    assert trace(nn, fails) == trace(torch.nn, fails)


def backward_trace(package, tensor, case):
    """What full backward hooks of nested modules see in a backward, what they replace, and the gradients at the end."""
    seen = []

    class Product(package.Module):
        def forward(self, x, y):
            return x * y, x + y

    class Outer(package.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.tanh = Product(), package.Tanh()

        def forward(self, x, y):
            product, total = self.inner(self.tanh(x), y)
            return (product * total).sum()

    def hook(name, factor):
        def note(module, *gradients):
            seen.append((name, [[None if g is None else g.tolist() for g in side] for side in gradients]))
            return None if factor is None else tuple(g * factor for g in gradients[0])

        return note

    outer = Outer()
    for i, (kind, where, factor, prepend) in enumerate(case):
        module = {"outer": outer, "inner": outer.inner, "tanh": outer.tanh}[where]
        getattr(module, f"register_full_backward_{kind}")(hook(i, factor), prepend=prepend)
    x, y = tensor([0.0, 1.0]), tensor([2.0, 3.0])
    outer(x, y).backward()
    outer(x, y).backward()
    return seen, x.grad.tolist(), y.grad.tolist()


backward_hooks = st.tuples(
    st.sampled_from(["hook", "pre_hook"]),
    st.sampled_from(["outer", "inner", "tanh"]),
    st.sampled_from([None, 2.0, -0.5]),
    st.booleans(),
)


@given(st.lists(backward_hooks, min_size=1, max_size=5))
@settings(max_examples=40)
def test_full_backward_hooks_are_called_alike(case):
    ours = backward_trace(nn, lambda values: mg.tensor(np.array(values), requires_grad=True), case)
    theirs = backward_trace(
        torch.nn, lambda values: torch.tensor(values, dtype=torch.float64, requires_grad=True), case
    )
    assert [name for name, _ in ours[0]] == [name for name, _ in theirs[0]]
    for (_, found), (_, wanted) in zip(ours[0], theirs[0], strict=True):
        for side, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(side, other, rtol=1e-14)
    np.testing.assert_allclose(ours[1:], theirs[1:], rtol=1e-14)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_full_backward_hooks_where_no_input_wants_a_gradient():
    seen = []
    for package, x in ((nn, mg.tensor([[1.0, 2.0]])), (torch.nn, torch.tensor([[1.0, 2.0]]))):
        layer = package.Linear(2, 1)
        layer.register_full_backward_hook(lambda module, ins, outs: seen.append((ins, [g.tolist() for g in outs])))
        layer(x).sum().backward()
        assert layer.weight.grad.tolist() == [[1, 2]]
    assert seen == [((None,), [[[1]]])] * 2


# --- arguments

DROPPED = {"size_average", "reduce", "foreach", "_stacklevel"}
"""Arguments of torch's that are left out: deprecated, choosing an implementation, or internal."""

UNLIKE = {
    "Module.to": "device and dtype; torch takes them in any order, or another tensor",
    "Module.state_dict": "a copy; torch can also write into a dictionary of the caller's",
    "Module.load_state_dict": "it copies; torch can also take the tensors themselves",
    "Parameter": "torch's has no signature",
    "Buffer": "torch's has no signature",
}
WITHOUT_SIGNATURE = {
    "F.gelu": "x, approximate='none'",
    "F.linear": "x, weight, bias=None",
    "F.softplus": "input, beta=1.0, threshold=20.0",
}
"""Functions whose arguments torch only documents; `functional_call` is in torch.func, and its `params` come first."""
IN_PLACE = {"F.relu", "F.leaky_relu", "F.elu", "F.silu", "F.dropout"}
"""Functions without `inplace`: code that counts on the input being overwritten has to see that it is not."""
OPERATIONS = {"F.relu", "F.leaky_relu", "F.elu", "F.silu", "F.sigmoid", "F.tanh"}
"""minigrad's own operations: their `input` is called `x`."""
MISSING = {
    "T_destination", "bfloat16", "call_super_init", "compile", "cpu", "cuda", "double", "dump_patches", "float",
    "get_extra_state", "half", "ipu", "mtia", "register_backward_hook",
    "register_load_state_dict_post_hook", "register_load_state_dict_pre_hook",
    "register_state_dict_post_hook", "register_state_dict_pre_hook", "set_extra_state", "set_submodule",
    "share_memory", "to_empty", "type", "xpu",
}  # fmt: skip
"""Methods of torch's Module that ours has not."""


def public():
    """(name, ours, torch's) of every class, function and method that has arguments."""
    for name in nn.__all__:
        ours = getattr(nn, name)
        if inspect.isclass(ours):
            yield name, ours.__init__, getattr(torch.nn, name).__init__
    for name in dir(nn.Module):
        if name[0] != "_" and callable(getattr(nn.Module, name)) and hasattr(torch.nn.Module, name):
            yield f"Module.{name}", getattr(nn.Module, name), getattr(torch.nn.Module, name)
    yield "Embedding.from_pretrained", nn.Embedding.from_pretrained, torch.nn.Embedding.from_pretrained
    for prefix, package, theirs in (
        ("F", F, torch.nn.functional), ("init", nn.init, torch.nn.init), ("utils", nn.utils, torch.nn.utils)
    ):  # fmt: skip
        for name in package.__all__:
            if hasattr(theirs, name):
                yield f"{prefix}.{name}", getattr(package, name), getattr(theirs, name)


PUBLIC = {name: (ours, theirs) for name, ours, theirs in public()}


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - UNLIKE.keys() - WITHOUT_SIGNATURE.keys()))
def test_arguments_are_torchs(name):
    """The same names and defaults, in an order in which no value can be taken for another."""
    ours, theirs = (list(inspect.signature(f).parameters.values()) for f in PUBLIC[name])
    dropped = DROPPED | ({"inplace"} if name in IN_PLACE else set())
    places = {p.name: i for i, p in enumerate(theirs)}
    if name in OPERATIONS:
        places["x"] = places["input"]
    plain = lambda kind: [p for p in kind if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    wanted = {p.name: p.default for p in plain(theirs) if p.name not in dropped}
    if name in OPERATIONS:
        wanted = {"x" if key == "input" else key: value for key, value in wanted.items()}
    assert {p.name: p.default for p in plain(ours)} == wanted
    for i, p in enumerate(plain(ours)):
        assert p.kind is p.KEYWORD_ONLY or places[p.name] == i


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_unlike_is_so(name):
    with pytest.raises(AssertionError):
        test_arguments_are_torchs(name)


@pytest.mark.parametrize("name", WITHOUT_SIGNATURE)
def test_arguments_are_as_torch_documents_them(name):
    ours, theirs = PUBLIC[name]
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(theirs)
    plain = [str(p.replace(annotation=p.empty)) for p in inspect.signature(ours).parameters.values()]
    assert ", ".join(plain) == WITHOUT_SIGNATURE[name]


def test_methods_that_are_missing():
    assert {name for name in dir(torch.nn.Module) if name[0] != "_"} - set(dir(nn.Module)) == MISSING


# --- containers

places = st.integers(-4, 4)
changes_of_both = (
    st.tuples(st.just("insert"), places)
    | st.tuples(st.sampled_from(["append", "extend", "+=", "+"]), st.none())
    | st.tuples(st.sampled_from(["pop", "del", "set"]), places)
    | st.tuples(st.just("del slice"), st.slices(4))
)
changes_of_sequential = changes_of_both | st.tuples(st.sampled_from(["*", "r*", "*="]), st.integers(1, 2))


def changed(package, container, how, at, size):
    """A container after one change; the layers that it brings have `size` inputs, by which they are known."""
    kind, layer = getattr(package.nn, type(container).__name__), package.nn.Linear(size, 1)
    match how:
        case "insert":
            container.insert(at, layer)
        case "append":
            container.append(layer)
        case "extend":
            container.extend([layer, layer])
        case "+=":
            container += kind(layer) if kind is package.nn.Sequential else [layer]
        case "+":
            container = container + (kind(layer) if kind is package.nn.Sequential else [layer])
        case "pop":
            container.pop(at)
        case "del" | "del slice":
            del container[at]
        case "set":
            container[at] = layer
        case "*":
            container = container * at
        case "r*":
            container = at * container
        case "*=":
            container *= at
    return container


def followed(package, container, steps):
    """What is in a container after each change, or which error there was."""
    seen = []
    for size, (how, at) in enumerate(steps, 1):
        try:
            container = changed(package, container, how, at, size)
        except IndexError:
            seen.append(IndexError)
        seen.append({name: tuple(value.shape) for name, value in container.state_dict().items()})
    return seen


class Ours:
    nn = nn


@given(st.lists(changes_of_sequential, max_size=6))
@settings(max_examples=60)
def test_a_sequential_changes_as_torchs(steps):
    assert followed(Ours, nn.Sequential(), steps) == followed(torch, torch.nn.Sequential(), steps)


@given(st.lists(changes_of_both.filter(lambda step: step[0] != "insert"), max_size=6))
@settings(max_examples=60)
def test_a_module_list_changes_as_torchs(steps):
    assert followed(Ours, nn.ModuleList(), steps) == followed(torch, torch.nn.ModuleList(), steps)


@given(st.lists(places.map(abs), min_size=1, max_size=4))
def test_a_module_list_inserts_as_torchs(at):
    steps = [("insert", min(place, i)) for i, place in enumerate(at)]  # beyond the end torch fails, a list does not
    assert followed(Ours, nn.ModuleList(), steps) == followed(torch, torch.nn.ModuleList(), steps)


@given(st.slices(4))
def test_slices_have_the_same_names(part):
    for name in ("Sequential", "ModuleList"):
        names = []
        for package in (nn, torch.nn):
            layers = [package.Linear(i, 1) for i in range(1, 5)]
            container = getattr(package, name)(*([layers] if name == "ModuleList" else layers))
            names.append([(key, tuple(value.shape)) for key, value in container[part].state_dict().items()])
        assert names[0] == names[1]


def test_a_dictionary_changes_as_torchs():
    for modules in (d.ModuleDict({"a": d.Linear(1, 1)}) for d in (nn, torch.nn)):
        package = nn if isinstance(modules, nn.Module) else torch.nn
        modules.update([("b", package.Linear(2, 1)), ("a", package.Linear(3, 1))])
        modules.update(package.ModuleDict({"c": package.ReLU()}))
        assert [(key, tuple(value.shape)) for key, value in modules.state_dict().items()] == [
            ("a.weight", (1, 3)),
            ("a.bias", (1,)),
            ("b.weight", (1, 2)),
            ("b.bias", (1,)),
        ]
        assert list(modules.keys()) == ["a", "b", "c"]
        assert [list(pair) for pair in modules.items()] == [[key, modules[key]] for key in modules]
        assert "c" in modules
        assert isinstance(modules.pop("c"), package.ReLU)
        assert len(list(modules.values())) == 2
        modules.clear()
        assert len(modules) == 0
        with pytest.raises(TypeError):
            modules | {"a": package.ReLU()}
