"""The contract that every optimizer keeps: parameters and groups, steps, hooks, saved state, and what is refused."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from optim.formula import execution

from .table import ROWS, TESTED

EXECUTIONS = ["eager", "blocked", "numba"]
OPTIMIZERS = {
    "SGD": lambda params, **options: optim.SGD(params, **{"lr": 0.1, **options}),
    "SGD with momentum": lambda params, **options: optim.SGD(params, **{"lr": 0.1, "momentum": 0.9, **options}),
    "Adam": lambda params, **options: optim.Adam(params, **{"lr": 0.1, **options}),
    "AMSGrad": lambda params, **options: optim.Adam(params, **{"lr": 0.1, "amsgrad": True, **options}),
}
every = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def parameter(data, dtype=np.float64):
    return nn.Parameter(np.array(data, dtype))


def with_gradient(data, gradient=None, dtype=np.float64):
    p = parameter(data, dtype)
    p.grad = np.ones_like(p.data) if gradient is None else np.array(gradient, dtype)
    return p


def snapshot(optimizer):
    """All that a step or a load can change, as bytes and values."""
    state = {
        i: {k: v.tobytes() if hasattr(v, "tobytes") else v for k, v in optimizer.state[p].items()}
        for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])
        if p in optimizer.state
    }
    groups = [
        {k: [(id(p), p.data.tobytes()) for p in v] if k == "params" else copy.deepcopy(v) for k, v in group.items()}
        for group in optimizer.param_groups
    ]
    return {"state": state, "groups": groups, "steps": optimizer.steps_taken}


def take_steps(optimizer, n, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = rng.normal(size=p.shape).astype(p.dtype)
        optimizer.step()


# --- parameters and groups


def forms():
    p, q = parameter([1.0]), parameter([2.0])
    return {
        "list": [p, q],
        "tuple": (p, q),
        "generator": (x for x in (p, q)),
        "names": [("p", p), ("q", q)],
        "generator of names": (x for x in (("p", p), ("q", q))),
        "groups": [{"params": [p]}, {"params": [q]}],
        "tuple of groups": ({"params": (p,)}, {"params": (q,)}),
        "groups of generators": [{"params": (x for x in (p, q))}],
        "groups of one tensor": [{"params": p}, {"params": q}],
        "groups with names": [{"params": [("p", p)]}, {"params": [("q", q)]}],
        "an empty group": [{"params": []}, {"params": [p, q]}],
        "dictionary's values": {"p": p, "q": q}.values(),
        "ordinary tensors": [mg.tensor([1.0], requires_grad=True), mg.tensor([1.0])],
    }


@pytest.mark.parametrize("form", forms())
def test_parameters_come_in_many_forms(form):
    optimizer = optim.SGD(forms()[form], lr=0.5)
    params = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(params) == 2
    take_steps(optimizer, 1)
    assert ("param_names" in optimizer.param_groups[-1]) == ("names" in form)


def test_a_modules_parameters():
    model = nn.Linear(2, 1)
    assert optim.SGD(model.parameters()).param_groups[0]["params"] == [model.weight, model.bias]
    assert optim.SGD(model.named_parameters()).param_groups[0]["param_names"] == ["weight", "bias"]


def used_up():
    generator = (p for p in [parameter([1.0])])
    list(generator)
    return generator


def twice():
    p = parameter([1.0])
    return [{"params": [p]}, {"params": [p]}]


@pytest.mark.parametrize(
    ("params", "kind", "words"),
    [
        (list, ValueError, "params: got no parameters"),
        (used_up, ValueError, "params: .*used up"),
        (lambda: parameter([1.0]), TypeError, "params .*single.*list"),
        (lambda: {parameter([1.0]), parameter([2.0])}, TypeError, "params: a set has no order.*list"),
        (lambda: frozenset([parameter([1.0])]), TypeError, "set"),
        (lambda: [{"params": {parameter([1.0])}}], TypeError, "params: a set has no order"),
        (list, ValueError, "params: .*nn.ModuleList"),
        (lambda: nn.Linear(1, 1), TypeError, r"params .*Linear; pass its parameters\(\)"),
        (lambda: nn.Linear(1, 1).parameters, TypeError, "params .*method; call it"),
        (lambda: nn.Sequential(nn.Linear(1, 1)), TypeError, r"params: .*Linear; pass the model's parameters\(\)"),
        (lambda: [np.ones(2)], TypeError, r"params: .*ndarray; minigrad.tensor\(array, requires_grad=True\)"),
        (lambda: None, TypeError, "params .*NoneType"),
        (lambda: 3, TypeError, "params .*int"),
        (lambda: [1.0, 2.0], TypeError, "params: .*float"),
        (lambda: np.ones(2), TypeError, "params: .*float"),
        (lambda: "abc", TypeError, "params: .*str"),
        (lambda: [parameter([1.0]), np.ones(2)], TypeError, "params: .*ndarray"),
        (lambda: [parameter([1.0]), {"params": []}], TypeError, "params: .*dict"),
        (lambda: [{"params": []}, parameter([1.0])], TypeError, "group.*Parameter"),
        (lambda: {"params": [parameter([1.0])]}, TypeError, "params"),
        (lambda: [{"lr": 0.1}], ValueError, "'params'.*lr"),
        (lambda: [parameter([1.0]) * 2.0], ValueError, r"params: a tensor of shape \(1,\).*leaves"),
        (lambda: [mg.tensor([1, 2])], TypeError, "params: expected floating-point.*int64"),
        (twice, ValueError, "params: .*more than one group"),
        (lambda: [("p", parameter([1.0])), parameter([2.0])], ValueError, "names"),
        (lambda: [{"params": [("p", parameter([1.0]))]}, {"params": [parameter([2.0])]}], ValueError, "names"),
        (lambda: [("p", parameter([1.0])), ("p", parameter([2.0]))], ValueError, "params: .*name.*'p'"),
        (lambda: [("p", np.ones(2))], TypeError, "params: .*ndarray"),
    ],
)
def test_what_is_no_parameter_is_refused(params, kind, words):
    with pytest.raises(kind, match=words):
        optim.SGD(params(), lr=0.1)


def test_a_duplicate_warns():
    p = with_gradient([1.0])
    with pytest.warns(UserWarning, match="twice"):
        optim.SGD([p, p], lr=0.1)


@pytest.mark.parametrize("name", EXECUTIONS)
@every
def test_a_duplicate_is_updated_twice_a_step(make, name):
    p, q = with_gradient([1.0]), with_gradient([1.0])
    with pytest.warns(UserWarning, match="twice"):
        both = make([p, p])
    single = make([q])
    with execution(name):
        both.step()
        single.step()
        single.step()
    np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_groups_have_their_own_settings_and_share_the_rest():
    p, q = with_gradient([1.0]), with_gradient([1.0])
    optimizer = optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.5, "initial_lr": 3.0}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
    assert optimizer.param_groups[1]["initial_lr"] == 3.0
    optimizer.step()
    np.testing.assert_allclose([p.item(), q.item()], [0.9, 0.5])


@pytest.mark.parametrize(("name", "key"), [("Adagrad", "sum"), ("Yogi", "exp_avg_sq")])
def test_a_group_may_have_a_start_of_its_own(name, key):
    p, q = with_gradient([1.0], [0.0]), with_gradient([1.0], [0.0])
    groups = [{"params": [p], "initial_accumulator_value": 0.5}, {"params": [q]}]
    optimizer = getattr(optim, name)(groups, initial_accumulator_value=0.25)
    optimizer.step()
    assert [optimizer.state[x][key].item() for x in (p, q)] == [0.5, 0.25]


@every
@pytest.mark.parametrize("name", EXECUTIONS)
def test_settings_may_change_between_steps(make, name):
    """A step with settings that were changed is the step of an optimizer that always had them."""
    changes = [{"lr": 0.01}, {"weight_decay": 0.3}, {"maximize": True}, {"lr": 0.2, "weight_decay": 0.0}]
    p, q = parameter([1.0, -2.0]), parameter([1.0, -2.0])
    optimizer = make([p])
    settings, state = {}, None
    with execution(name):
        for i, change in enumerate([{}, *changes]):
            optimizer.param_groups[0].update(change)
            settings |= change
            fresh = make([q], **settings)
            if state is not None:
                saved = fresh.state_dict()
                fresh.load_state_dict({"state": state["state"], "param_groups": saved["param_groups"]})
            take_steps(fresh, 1, seed=i)
            take_steps(optimizer, 1, seed=i)
            state = fresh.state_dict()
            np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_add_param_group_leaves_the_callers_dictionary_alone():
    optimizer = optim.Adam([with_gradient([1.0])])
    p = with_gradient([1.0])
    given = {"params": p, "lr": np.float64(0.5), "betas": [0.5, 0.6]}
    before = dict(given)
    optimizer.add_param_group(given)
    assert given == before
    assert given["params"] is p
    assert type(given["lr"]) is np.float64
    added = optimizer.param_groups[1]
    assert added["params"] == [p]
    assert added["eps"] == 1e-8
    optimizer.param_groups[1]["lr"] = 7.0
    assert given["lr"] == 0.5


def test_groups_given_at_construction_are_left_alone():
    groups = [{"params": with_gradient([1.0]), "betas": [0.5, 0.6]}]
    keys = list(groups[0])
    optimizer = optim.Adam(groups)
    optimizer.param_groups[0]["lr"] = 3.0
    assert list(groups[0]) == keys
    assert isinstance(groups[0]["params"], mg.Tensor)


def test_groups_do_not_share_lists():
    p = parameter([1.0])
    params = [p]
    optimizer = optim.SGD(params)
    params.append(parameter([2.0]))
    assert len(optimizer.param_groups[0]["params"]) == 1


def test_the_optimizers_order_of_defaults_is_not_changed_by_groups():
    optimizer = optim.SGD([{"params": with_gradient([1.0]), "lr": 5.0}], lr=0.1)
    assert optimizer.defaults["lr"] == 0.1


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ([1], TypeError), (None, TypeError), ({}, ValueError), ({"params": [3.0]}, TypeError),
        ({"params": mg.tensor([1.0]), "lr": -1.0}, ValueError), ({"params": {mg.tensor([1.0])}}, TypeError),
    ],
)  # fmt: skip
def test_a_group_that_is_refused_is_not_added(group, kind):
    optimizer = optim.SGD([with_gradient([1.0])], lr=0.1)
    before = snapshot(optimizer)
    with pytest.raises(kind):
        optimizer.add_param_group(group)
    assert snapshot(optimizer) == before


def test_an_empty_group_can_be_added_and_stepped():
    optimizer = optim.Adam([with_gradient([1.0])])
    optimizer.add_param_group({"params": []})
    optimizer.step()


# --- settings: see also test_settings


def test_a_setting_that_was_deleted_is_named():
    optimizer = optim.SGD([with_gradient([1.0])])
    del optimizer.param_groups[0]["lr"]
    with pytest.raises((ValueError, KeyError), match=r"SGD.*lr"):
        optimizer.step()


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize("number", [np.float64, np.float32, np.array, mg.tensor, np.int64])
@pytest.mark.parametrize("cls", [optim.SGD, optim.Adam])
def test_numbers_of_any_kind_keep_float32_parameters(cls, number, name):
    p, q = with_gradient([1.0, 2.0], dtype=np.float32), with_gradient([1.0, 2.0], dtype=np.float32)
    ours, plain = cls([p], lr=number(2)), cls([q], lr=2)
    with execution(name):
        for _ in range(2):
            ours.step()
            plain.step()
        ours.param_groups[0]["lr"] = ours.param_groups[0]["weight_decay"] = number(1)
        plain.param_groups[0]["lr"] = plain.param_groups[0]["weight_decay"] = 1
        ours.step()
        plain.step()
    assert p.dtype == np.float32
    assert {v.dtype for v in ours.state[p].values() if hasattr(v, "dtype")} <= {np.dtype(np.float32)}
    np.testing.assert_array_equal(p.numpy(), q.numpy())


# --- steps


@every
def test_a_missing_gradient_skips_the_parameter_without_counting(make):
    p, q = with_gradient([1.0]), parameter([2.0])
    optimizer = make([p, q], weight_decay=0.1)
    optimizer.step()
    assert q.item() == 2.0
    assert not optimizer.state.get(q)
    q.grad, p.grad = np.ones(1), None
    optimizer.step()
    steps = [optimizer.state[x].get("step") for x in (p, q)]
    assert steps in ([1, 1], [None, None])
    alone = make([single := with_gradient([2.0])], weight_decay=0.1)
    alone.step()
    np.testing.assert_array_equal(q.numpy(), single.numpy())


@every
def test_a_zero_gradient_is_a_full_step(make):
    p = with_gradient([2.0], [0.0])
    optimizer = make([p], weight_decay=0.1)
    optimizer.step()
    assert p.item() < 2.0
    assert optimizer.state[p].get("step") in (1, None)


@every
def test_step_before_backward_is_refused(make):
    p, q = parameter([2.0]), parameter([3.0])
    optimizer = make([p, q])
    with pytest.raises(RuntimeError, match=r"step: no parameter has a gradient; call backward\(\)"):
        optimizer.step()
    with pytest.raises(RuntimeError, match=r"step: no parameter has a gradient.*closure"):
        optimizer.step(lambda: 1.0)
    assert p.item() == 2.0
    assert optimizer.state_dict()["state"] == {}
    p.grad = np.ones(1)
    optimizer.step()
    p.grad = None
    optimizer.step()  # later on, as in torch, there may be nothing to do
    assert q.item() == 3.0


@every
@pytest.mark.parametrize("settings", [{}, {"decoupled_weight_decay": True}])
def test_maximize_negates_the_gradient_before_decay(make, settings):
    try:
        p, q = parameter([1.0, -2.0]), parameter([1.0, -2.0])
        up, down = make([p], weight_decay=0.1, maximize=True, **settings), make([q], weight_decay=0.1, **settings)
    except TypeError:
        pytest.skip("SGD has no decoupled decay")
    for seed in range(3):
        g = np.random.default_rng(seed).normal(size=2)
        p.grad, q.grad = g, -g
        up.step()
        down.step()
    np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_zero_grad():
    p, q = with_gradient([1.0]), parameter([2.0])
    optimizer = optim.SGD([p, q])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.item() == 0.0
    assert q.grad is None
    optimizer.zero_grad()
    assert p.grad is None


def test_zeros_are_written_into_the_gradient_that_there_is():
    p = parameter([1.0, 2.0])
    g = mg.tensor([3.0, 4.0], dtype=p.dtype)
    p.grad = g
    optim.SGD([p]).zero_grad(set_to_none=False)
    assert g.tolist() == [0.0, 0.0]


def test_a_step_is_counted_before_the_hooks_after_it():
    p = parameter([1.0])
    p.grad = mg.tensor([1.0], dtype=p.dtype)
    optimizer = optim.SGD([p], lr=0.5)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.register_step_post_hook(lambda *_: scheduler.step())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)

    def fail(*_):
        raise ZeroDivisionError

    optimizer.register_step_post_hook(fail)
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    assert optimizer.steps_taken == 2


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda p: optim.Adam(nn.Linear(2, 2)), r"got a Linear; pass its parameters\(\)"),
        (lambda p: optim.Adam({"weight": p}), r"got a str; of a dictionary of parameters, pass values\(\)"),
        (lambda p: optim.Adam([p], fused=True), r"unknown argument fused; .* by `with optim.execution\(\.\.\.\)`$"),
        (
            lambda p: optim.Adam([p], foreach=True, fused=False),
            r"foreach, fused; [^;]*; [^;]* by `with optim.execution",
        ),
        (
            lambda p: optim.Adam([p], capturable=True),
            r"unknown argument capturable; [^;]*; minigrad.cuda.capture [^;]*$",
        ),
        (
            lambda p: optim.Adam([p], differentiable=True),
            r"argument differentiable; [^;]*; optim.functional.pure [^;]*$",
        ),
        (
            lambda p: optim.Adam([p], lr=mg.tensor(0.1, requires_grad=True)),
            "lr requires a gradient, .* optim.functional",
        ),
    ],
)
def test_usual_mistakes_are_told_what_to_do(call, words):
    with pytest.raises(TypeError, match=words):
        call(parameter([1.0]))


def test_zero_grad_does_not_keep_the_graph():
    p = parameter([2.0])
    (p * p * p).backward(create_graph=True)
    optim.SGD([p]).zero_grad(set_to_none=False)
    assert not p.grad.requires_grad


@every
def test_a_closure_computes_the_loss_once_and_its_gradients(make):
    p = parameter([2.0])
    optimizer = make([p])
    calls = []

    def closure():
        calls.append(None)
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        loss = optimizer.step(closure)
    assert len(calls) == 1
    assert loss.item() == 4.0
    assert p.item() != 2.0
    assert optimizer.step() is None


def test_a_closure_that_raises_changes_nothing():
    p = with_gradient([2.0])
    optimizer = optim.Adam([p])
    optimizer.step()
    before = snapshot(optimizer)
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: 1 / 0)
    assert snapshot(optimizer) == before
    optimizer.step()
    assert optimizer.state[p]["step"] == 2


def test_a_loss_in_place_of_a_closure_is_refused():
    with pytest.raises(TypeError, match=r"step: closure must be a function, got a Tensor"):
        optim.SGD([with_gradient([1.0])]).step(mg.tensor(1.0))


# --- gradients that are not finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", [name for name in TESTED if not (ROWS[name].closure or ROWS[name].loss)])
def test_a_step_with_a_gradient_that_is_not_finite_can_be_skipped(name, bad):
    shape = (2, 2)
    p, q = parameter(np.ones(shape)), parameter(np.ones(shape))
    optimizer = getattr(optim, name)([p, q], skip_nonfinite=True)
    rows = ROWS[name].gradients == "rows"

    def put(values):
        for x, value in zip((p, q), values, strict=True):
            g = np.full(shape, 0.5)
            g[1, 0] = value
            x.grad = mg.RowSparse([0, 1], g, shape) if rows else g

    put([1.0, 2.0])
    optimizer.step()
    before = snapshot(optimizer)
    put([1.0, bad])
    optimizer.step()
    after = snapshot(optimizer)
    assert (after["state"], after["groups"], optimizer.skipped) == (before["state"], before["groups"], 1)
    put([1.0, 2.0])
    optimizer.step()
    assert snapshot(optimizer) != before
    assert optimizer.skipped == 1
    optimizer.skip_nonfinite = False
    put([1.0, bad])
    optimizer.step()
    assert optimizer.skipped == 1


def test_skip_nonfinite_is_pickled_but_no_part_of_the_state():
    optimizer = optim.Adam([with_gradient([1.0])], skip_nonfinite=True)
    optimizer.step()
    assert pickle.loads(pickle.dumps(optimizer)).skip_nonfinite is True
    assert copy.deepcopy(optimizer).skip_nonfinite is True
    saved = optimizer.state_dict()
    assert "skip_nonfinite" not in saved["param_groups"][0]
    other = optim.Adam([parameter([1.0])])
    other.load_state_dict(saved)
    assert other.skip_nonfinite is False


def test_unknown_arguments_are_named():
    with pytest.raises(TypeError, match="Adam: unknown argument learning_rate; it has lr, betas"):
        optim.Adam([parameter([1.0])], learning_rate=0.1)
    with pytest.raises(TypeError, match="Adam: skip_nonfinite must be True or False, got 'no'"):
        optim.Adam([parameter([1.0])], skip_nonfinite="no")


# --- hooks


def test_hooks_run_around_the_step_in_their_order():
    seen = []
    p = with_gradient([1.0])
    optimizer = optim.SGD([p], lr=0.5)
    optimizer.register_step_pre_hook(lambda *given: seen.append(("pre", p.item(), *given)))
    optimizer.register_step_post_hook(lambda *given: seen.append(("post", p.item(), *given)))
    last = optimizer.register_step_post_hook(lambda *given: seen.append("last"))
    optimizer.step(closure=None)
    given = (optimizer, (optimizer,), {"closure": None})
    assert seen == [("pre", 1.0, *given), ("post", 0.5, *given), "last"]
    last.remove()
    optimizer.step()
    assert seen[-1] != "last"


def test_a_pre_hook_may_change_the_arguments():
    p = with_gradient([1.0])
    optimizer = optim.SGD([p])
    optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: ((optimizer, lambda: 7.0), {}))
    assert optimizer.step() == 7.0


@pytest.mark.parametrize("answer", [3, (1,), (1, 2, 3), "no", ((), {}), (None, None)])
def test_a_pre_hook_that_returns_something_else_is_refused(answer):
    p = with_gradient([1.0])
    optimizer = optim.SGD([p])
    optimizer.register_step_pre_hook(lambda *_: answer)
    with pytest.raises((RuntimeError, TypeError, ValueError), match="hook"):
        optimizer.step()
    assert p.item() == 1.0


def test_a_pre_hook_may_change_gradients_and_settings():
    p = with_gradient([1.0])
    optimizer = optim.SGD([p], lr=0.5)

    def halve(optimizer, args, kwargs):
        p.grad = p.grad * 0.5
        optimizer.param_groups[0]["lr"] = 1.0

    optimizer.register_step_pre_hook(halve)
    optimizer.step()
    assert p.item() == 0.5


def test_a_pre_hook_that_raises_changes_nothing():
    p = with_gradient([1.0])
    optimizer = optim.Adam([p])
    optimizer.register_step_pre_hook(lambda *_: 1 / 0)
    before = snapshot(optimizer)
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    assert snapshot(optimizer) == before


class Twice(optim.SGD):
    """A step that calls its parent's twice."""

    def step(self, closure=None):
        loss = super().step(closure)
        super().step()
        return loss


def test_a_step_that_calls_its_parents_is_one_step():
    seen = []
    p = with_gradient([1.0])
    optimizer = Twice([p], lr=0.25)
    optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    optimizer.step()
    assert p.item() == 0.5
    assert seen == ["pre", "post"]
    assert optimizer.steps_taken == 1


def test_steps_are_counted_where_they_succeed():
    optimizer = optim.SGD([with_gradient([1.0])])
    optimizer.step()
    optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr"):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 1.0
    optimizer.step()
    assert optimizer.steps_taken == 2


# --- a subclass in torch's style


class Heavy(optim.Optimizer):
    """Momentum, written as torch's users write it."""

    def __init__(self, params, lr=0.1, momentum=0.9):
        super().__init__(params, dict(lr=lr, momentum=momentum))  # noqa: C408

    @mg.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with mg.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["buffer"] = mg.zeros_like(p)
                state["step"] += 1
                state["buffer"] = group["momentum"] * state["buffer"] + p.grad
                p.data -= group["lr"] * state["buffer"].data
        return loss


class InPlace(Heavy):
    """The same, through the tensor."""

    @mg.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                buffer = state.setdefault("buffer", np.zeros_like(p.data))
                buffer *= group["momentum"]
                buffer += p.grad.data
                p -= group["lr"] * buffer


@pytest.mark.parametrize("cls", [Heavy, InPlace])
def test_a_subclass_in_torchs_style_works_unchanged(cls):
    p, q = parameter([1.0, -2.0]), parameter([1.0, -2.0])
    mine, ours = cls([p]), optim.SGD([q], lr=0.1, momentum=0.9)
    seen = []
    mine.register_step_post_hook(lambda *_: seen.append(1))
    for optimizer in (mine, ours):
        take_steps(optimizer, 4)
    np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)
    assert len(seen) == mine.steps_taken == 4
    again = cls([r := parameter(p.numpy())])
    again.load_state_dict(pickle.loads(pickle.dumps(mine.state_dict())))
    for optimizer in (mine, again):
        take_steps(optimizer, 2)
    np.testing.assert_array_equal(p.numpy(), r.numpy())


def test_a_subclass_may_keep_what_belongs_to_no_parameter_in_its_state():
    optimizer = Heavy([parameter([1.0])])
    optimizer.state["calls"] = 3
    again = Heavy([parameter([1.0])])
    saved = optimizer.state_dict()
    assert saved["state"]["calls"] == 3
    again.load_state_dict(saved)
    assert again.state["calls"] == 3


def test_the_base_class_has_no_step():
    with pytest.raises(NotImplementedError, match="Optimizer has no step"):
        optim.Optimizer([parameter([1.0])], {}).step()


# --- text and copies


def test_repr_is_torchs():
    optimizer = optim.SGD([{"params": [parameter([1.0])]}, {"params": [parameter([1.0])], "lr": 0.5}], lr=0.1)
    group = "Parameter Group {}\n    dampening: 0.0\n    lr: {}\n    maximize: False\n    momentum: 0.0\n" + (
        "    nesterov: False\n    weight_decay: 0.0\n"
    )
    assert repr(optimizer) == f"SGD (\n{group.format(0, 0.1)}{group.format(1, 0.5)})"


@every
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_copies_continue_alike_and_apart(make, copied):
    p = parameter([1.0, -2.0])
    optimizer = make([p])
    take_steps(optimizer, 2)
    hooked = []
    optimizer.register_step_pre_hook(lambda *_: hooked.append(1))
    q_holder = copied({"model": p, "optimizer": optimizer})
    q, again = q_holder["model"], q_holder["optimizer"]
    assert again.param_groups[0]["params"][0] is q
    assert again.steps_taken == 2
    take_steps(again, 3)
    assert not hooked
    kept = p.numpy().copy()
    take_steps(optimizer, 3)
    assert not np.array_equal(kept, p.numpy())
    np.testing.assert_array_equal(p.numpy(), q.numpy())
    take_steps(again, 1)
    assert not np.array_equal(p.numpy(), q.numpy())


# --- saved state


@every
def test_state_is_copied_both_ways(make):
    p, q = parameter([1.0, -2.0]), parameter([1.0, -2.0])
    optimizer, other = make([p]), make([q])
    take_steps(optimizer, 2)
    saved = optimizer.state_dict()
    other.load_state_dict(saved)
    arrays = [v for entry in saved["state"].values() for v in entry.values() if isinstance(v, np.ndarray)]
    kept = [a.copy() for a in arrays]
    take_steps(optimizer, 1)
    take_steps(other, 1)
    for a, b in zip(arrays, kept, strict=True):
        np.testing.assert_array_equal(a, b)
        a[...] = np.nan
    saved["param_groups"][0]["lr"] = np.nan
    saved["param_groups"][0]["params"].append(5)
    take_steps(optimizer, 1)
    take_steps(other, 1)
    assert np.isfinite(p.numpy()).all()
    assert np.isfinite(q.numpy()).all()


@every
def test_a_loaded_optimizer_continues_with_the_same_bits(make):
    p = parameter(np.linspace(-1, 1, 6).reshape(2, 3), np.float32)
    optimizer = make([p], weight_decay=0.1)
    take_steps(optimizer, 3)
    q = parameter(p.numpy(), np.float32)
    other = make([q], lr=5.0)
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    for seed in range(2):
        take_steps(optimizer, 1, seed)
        take_steps(other, 1, seed)
    np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_the_layout_is_torchs():
    params = [parameter([1.0]), parameter([2.0]), parameter([3.0])]
    optimizer = optim.Adam([{"params": params[:2]}, {"params": params[2:], "lr": 0.5, "initial_lr": 7.0}])
    for p in params[1:]:
        p.grad = np.ones(1)
    optimizer.step()
    saved = optimizer.state_dict()
    assert set(saved) == {"state", "param_groups"}
    assert [group["params"] for group in saved["param_groups"]] == [[0, 1], [2]]
    assert set(saved["state"]) == {1, 2}
    assert set(saved["state"][1]) == {"step", "exp_avg", "exp_avg_sq"}
    assert saved["state"][1]["step"] == 1
    assert saved["param_groups"][1]["initial_lr"] == 7.0
    assert "params" in optimizer.param_groups[0]


def test_state_is_loaded_by_position():
    p, q = parameter([1.0]), parameter([2.0])
    optimizer = optim.SGD([p, q], momentum=0.9)
    p.grad, q.grad = np.array([1.0]), np.array([10.0])
    optimizer.step()
    a, b = parameter([1.0]), parameter([2.0])
    other = optim.SGD([a, b], momentum=0.9)
    other.load_state_dict(optimizer.state_dict())
    assert other.state[b]["momentum_buffer"].item() == 10.0


def test_state_is_loaded_by_name_where_both_sides_have_names():
    p, q = parameter([1.0]), parameter([2.0])
    optimizer = optim.SGD([("p", p), ("q", q)], momentum=0.9)
    p.grad, q.grad = np.array([1.0]), np.array([10.0])
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["param_names"] == ["p", "q"]
    a, b = parameter([1.0]), parameter([2.0])
    other = optim.SGD([("q", b), ("p", a)], momentum=0.9)
    other.load_state_dict(saved)
    assert other.state[b]["momentum_buffer"].item() == 10.0
    assert other.param_groups[0]["param_names"] == ["q", "p"]
    unnamed = optim.SGD([a, b], momentum=0.9)
    unnamed.load_state_dict(saved)
    assert unnamed.state[b]["momentum_buffer"].item() == 10.0


def test_state_takes_the_parameters_type():
    p = parameter([1.0])
    optimizer = optim.Adam([p])
    take_steps(optimizer, 1)
    narrow = parameter([1.0], np.float32)
    other = optim.Adam([narrow])
    other.load_state_dict(optimizer.state_dict())
    take_steps(other, 1)
    assert other.state[narrow]["exp_avg"].dtype == np.float32
    assert other.state[narrow]["step"] == 2


@pytest.mark.parametrize("data", [1.0, [1.0, 2.0], [[1.0]]])
@pytest.mark.parametrize("step", [3, 3.0, np.float32(3), np.array(3.0, np.float32), mg.tensor(3.0)])
def test_a_step_count_of_any_kind_is_loaded_as_a_number(data, step):
    p = parameter(data, np.float32)
    optimizer = optim.Adam([p])
    take_steps(optimizer, 3)
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = step
    q = parameter(p.numpy(), np.float32)
    other = optim.Adam([q])
    other.load_state_dict(saved)
    assert type(other.state[q]["step"]) in (int, float)
    for o in (optimizer, other):
        take_steps(o, 1)
    np.testing.assert_array_equal(p.numpy(), q.numpy())


def removed(saved):
    del saved["state"][0]["exp_avg_sq"]


def no_step(saved):
    del saved["state"][0]["step"]


def emptied(saved):
    saved["state"][0] = {}


def other_shape(saved):
    saved["state"][1]["exp_avg"] = np.ones((2, 1))


def scalar_in_place_of_an_array(saved):
    saved["state"][1]["exp_avg"] = 0.5


def none_in_place_of_an_array(saved):
    saved["state"][1]["exp_avg"] = None


def array_in_place_of_the_step(saved):
    saved["state"][1]["step"] = np.ones(2)


def negative_step(saved):
    saved["state"][1]["step"] = -1


def unknown_id(saved):
    saved["state"][7] = saved["state"][0]


def no_groups(saved):
    del saved["param_groups"]


def no_state(saved):
    del saved["state"]


def another_group(saved):
    saved["param_groups"].append({"params": []})


def longer_group(saved):
    saved["param_groups"][0]["params"].append(2)


@pytest.mark.parametrize(
    "spoil",
    [
        removed, no_step, emptied, other_shape, scalar_in_place_of_an_array, none_in_place_of_an_array,
        array_in_place_of_the_step, negative_step, unknown_id, no_groups, no_state, another_group, longer_group,
    ],
    ids=lambda spoil: spoil.__name__,
)  # fmt: skip
@pytest.mark.parametrize("stepped", [False, True])
def test_a_state_that_does_not_fit_is_refused_and_nothing_has_changed(spoil, stepped):
    params = [parameter([1.0]), parameter([2.0, 3.0])]
    optimizer = optim.Adam(params, lr=0.5)
    take_steps(optimizer, 2)
    saved = optimizer.state_dict()
    spoil(saved)
    other = optim.Adam([parameter([1.0]), parameter([2.0, 3.0])])
    take_steps(other, int(stepped))
    before = snapshot(other)
    with pytest.raises((ValueError, TypeError), match="load_state_dict"):
        other.load_state_dict(saved)
    assert snapshot(other) == before
    take_steps(other, 1)


def test_a_state_with_what_no_optimizer_keeps_is_refused():
    """Whatever other classes keep, or are defined at all."""
    optimizer = optim.SGD([parameter([1.0])], momentum=0.5)
    saved = optimizer.state_dict()
    for extra in ("exp_avg", "of_no_class"):
        saved["state"] = {0: {"momentum_buffer": np.ones(1), extra: np.ones(1)}}
        with pytest.raises(ValueError, match=f"has {extra}, which SGD does not keep. Is it of another optimizer"):
            optimizer.load_state_dict(saved)
        assert not optimizer.state


def test_what_a_subclass_keeps_beside_is_loaded_where_it_says_so():
    class Counting(optim.SGD):
        also_kept = ("largest",)

    optimizer = Counting([p := parameter([1.0])], momentum=0.5)
    take_steps(optimizer, 1)
    optimizer.state[p]["largest"] = np.array(3.0)
    other = Counting([q := parameter([1.0])], momentum=0.5)
    other.load_state_dict(optimizer.state_dict())
    assert other.state[q]["largest"] == 3.0
    with pytest.raises(ValueError, match=r"has largest, which SGD does not keep.*`also_kept`"):
        optim.SGD([parameter([1.0])], momentum=0.5).load_state_dict(optimizer.state_dict())


def test_a_group_that_is_refused_changes_nothing():
    p = parameter([1.0])
    optimizer = optim.SGD([p])
    with pytest.raises(ValueError, match=r"lr must be in \[0.0, inf\), got -1"):
        optimizer.add_param_group({"params": [q := parameter([2.0]), q], "lr": -1})
    assert (len(optimizer.param_groups), optimizer.repeats) == (1, False)


def test_integer_state_becomes_the_parameters_type_or_is_refused():
    p = parameter([2.0, 3.0])
    optimizer = optim.Adam([p])
    take_steps(optimizer, 1)
    saved = optimizer.state_dict()
    saved["state"][0]["exp_avg"] = np.ones(2, np.int64)
    try:
        optimizer.load_state_dict(saved)
    except (ValueError, TypeError) as error:
        assert "load_state_dict" in str(error)
    else:
        assert optimizer.state[p]["exp_avg"].dtype == np.float64


GROUP = {"params": [0]}


@pytest.mark.parametrize(
    "saved",
    [
        None,
        3,
        [],
        {"state": None, "param_groups": None},
        {"state": {}, "param_groups": [3]},
        {"state": {}, "param_groups": [{}]},
        {"state": {}, "param_groups": [{"params": 3}]},
        {"state": {}, "param_groups": [{"params": [[]]}]},
        {"state": {0: 3}, "param_groups": [GROUP]},
        {"state": {0: {0: {}}}, "param_groups": [GROUP]},
    ],
)
def test_what_is_no_state_is_refused(saved):
    optimizer = optim.SGD([parameter([1.0])])
    with pytest.raises((ValueError, TypeError), match="load_state_dict"):
        optimizer.load_state_dict(saved)


def test_unknown_names_are_refused():
    saved = optim.SGD([("p", parameter([1.0]))]).state_dict()
    with pytest.raises(ValueError, match=r"load_state_dict.*'p'.*'q'"):
        optim.SGD([("q", parameter([1.0]))]).load_state_dict(saved)


def test_a_parameter_that_the_state_does_not_know_is_fresh():
    p, q = parameter([1.0]), parameter([1.0])
    optimizer = optim.Adam([p, q])
    p.grad = np.ones(1)
    optimizer.step()
    other = optim.Adam([parameter([1.0]), fresh := parameter([1.0])])
    take_steps(other, 3)
    other.load_state_dict(optimizer.state_dict())
    assert not other.state.get(fresh)
    fresh.grad = np.ones(1)
    other.step()
    assert other.state[fresh]["step"] == 1


def test_adam_that_loads_adamws_state_becomes_decoupled():
    saved = optim.Adam([parameter([1.0])], weight_decay=0.1, decoupled_weight_decay=True).state_dict()
    optimizer = optim.Adam([parameter([1.0])])
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_torchs_unknown_keys_are_kept():
    saved = optim.Adam([parameter([1.0])]).state_dict()
    saved["param_groups"][0] |= {"foreach": None, "fused": None, "capturable": False, "differentiable": False}
    optimizer = optim.Adam([with_gradient([1.0])])
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.state_dict()["param_groups"][0]["capturable"] is False


# --- arrays of all kinds

LAYOUTS = {
    "C": lambda a: a.copy(),
    "Fortran": lambda a: np.asfortranarray(a),
    "transposed": lambda a: a.T.copy().T,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "a part": lambda a: np.pad(a, 1)[1:-1, 1:-1],
    "unaligned": lambda a: np.frombuffer(bytearray(b"x" + a.tobytes()), np.uint8)[1:].view(a.dtype).reshape(a.shape),
}


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


GRADIENT_LAYOUTS = LAYOUTS | {"read-only": read_only, "broadcast": lambda a: np.broadcast_to(a[:1, :1], a.shape)}


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradient_layout", GRADIENT_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_and_gradients_in_any_layout(layout, gradient_layout, name, dtype):
    rng = np.random.default_rng(0)
    data, gradients = rng.normal(size=(3, 4)).astype(dtype), rng.normal(size=(3, 3, 4)).astype(dtype)
    for make in (OPTIMIZERS["SGD with momentum"], OPTIMIZERS["AMSGrad"]):
        p, q = nn.Parameter(LAYOUTS[layout](data)), nn.Parameter(data.copy())
        array, strides = p.data, p.data.strides
        ours, plain = make([p]), make([q])
        with execution(name):
            for g in gradients:
                p.grad = GRADIENT_LAYOUTS[gradient_layout](g)
                q.grad = p.grad.data.copy()
                ours.step()
                plain.step()
        assert p.data is array
        assert p.data.strides == strides
        np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("name", EXECUTIONS)
@every
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (1, 1, 1)])
def test_parameters_of_any_shape(make, name, shape):
    p = with_gradient(np.ones(shape), dtype=np.float32)
    optimizer = make([p, with_gradient([1.0])])
    with execution(name):
        for _ in range(3):
            optimizer.step()
    assert p.shape == shape
    assert (p.numpy() < 1).all()
    assert isinstance(p.data, np.ndarray)


@pytest.mark.parametrize("name", EXECUTIONS)
@every
@pytest.mark.parametrize("shape", [(), (3,)])
def test_an_array_that_was_replaced_between_steps_is_the_one_that_is_updated(make, name, shape):
    p, q = with_gradient(np.ones(shape)), with_gradient(np.ones(shape))
    ours, plain = make([p]), make([q])
    with execution(name):
        for _ in range(3):
            p.data = p.data * 1.0  # of shape () this is a NumPy scalar
            ours.step()
            plain.step()
            np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("name", EXECUTIONS)
def test_state_that_was_replaced_between_steps_is_the_one_that_counts(name):
    p = with_gradient([1.0])
    optimizer = optim.SGD([p], lr=1.0, momentum=1.0)
    with execution(name):
        optimizer.step()
        optimizer.step()
        assert p.item() == -2.0
        optimizer.state[p]["momentum_buffer"] = np.array([10.0])
        optimizer.step()
        assert p.item() == -13.0
        optimizer.state[p] = {"momentum_buffer": np.array([100.0])}
        optimizer.step()
        assert p.item() == -114.0
        optimizer.state.clear()
        optimizer.step()
        assert p.item() == -115.0
        del optimizer.state[p]["momentum_buffer"]
        optimizer.step()
        assert p.item() == -116.0


@pytest.mark.parametrize("name", EXECUTIONS)
@every
def test_arrays_are_bound_once_for_each_execution(make, name):
    p = with_gradient([1.0, 2.0])
    optimizer = make([p])
    with execution(name):
        optimizer.step()
        optimizer.step()  # that of a momentum's second step is another formula than the first's
        bound = optimizer._bindings[p]
        optimizer.step()
        assert optimizer._bindings[p] is bound
    with execution("blocked" if name == "eager" else "eager"):
        optimizer.step()
        assert optimizer._bindings[p].run is not bound.run


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_gradient_that_is_the_parameters_own_array(name, momentum):
    """p.grad = p is the gradient of p²/2."""
    p, q = parameter([1.0, -2.0]), parameter([1.0, -2.0])
    ours, plain = optim.SGD([p], lr=0.1, momentum=momentum), optim.SGD([q], lr=0.1, momentum=momentum)
    with execution(name):
        for _ in range(3):
            p.grad, q.grad = p.detach(), q.numpy().copy()
            ours.step()
            plain.step()
    np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("name", EXECUTIONS)
def test_amsgrad_and_momentum_switched_on_later_start_fresh(name):
    p = with_gradient([1.0])
    adam = optim.Adam([p])
    sgd = optim.SGD([q := with_gradient([1.0])], lr=0.1)
    with execution(name):
        adam.step()
        adam.param_groups[0]["amsgrad"] = True
        adam.step()
        sgd.step()
        sgd.param_groups[0]["momentum"] = 0.9
        sgd.step()
    assert adam.state[p]["step"] == 2
    np.testing.assert_array_equal(adam.state[p]["max_exp_avg_sq"], adam.state[p]["exp_avg_sq"])
    assert sgd.state[q]["momentum_buffer"].item() == 1.0


@pytest.mark.parametrize("name", [None, "eager", "blocked"])
@every
def test_float16_parameters(make, name):
    p = with_gradient([1.0, -2.0], [0.5, 0.25], np.float16)
    optimizer = make([p], eps=1e-3) if "eps" in make([p]).defaults else make([p])
    for _ in range(3):
        if name is None:
            optimizer.step()
        else:
            with execution(name):
                optimizer.step()
    assert p.dtype == np.float16
    assert np.isfinite(p.numpy()).all()
    assert p.numpy()[0] < 1


def big_endian():
    p = nn.Parameter(np.array([1.0, 2.0], ">f4"))
    p.grad = np.ones(2, ">f4")
    return p


def half():
    return with_gradient([1.0, 2.0], dtype=np.float16)


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize("second", [big_endian, half, lambda: with_gradient([1.0, 2.0], dtype=np.longdouble)])
def test_a_type_that_an_execution_has_not_is_stepped_or_refused_before_anything_changed(second, name):
    p, q = with_gradient([1.0, 2.0]), second()
    optimizer = optim.SGD([p, q], lr=0.5, momentum=0.9)
    before = snapshot(optimizer)
    try:
        with execution(name):
            optimizer.step()
    except (TypeError, ValueError, RuntimeError) as error:
        assert not isinstance(error, NotImplementedError)
        assert "SGD" in str(error) or "execution" in str(error)
        assert snapshot(optimizer) == before
    else:
        np.testing.assert_array_equal(q.numpy(), [0.5, 1.5])


def test_complex_parameters_are_two_real_ones():
    z = nn.Parameter(np.array([1 + 2j, -1j]))
    x = nn.Parameter(z.numpy().view(np.float64).copy())
    for make in OPTIMIZERS.values():
        ours, real = make([z]), make([x])
        for seed in range(3):
            g = np.random.default_rng(seed).normal(size=4)
            z.grad, x.grad = g.view(np.complex128), g
            ours.step()
            real.step()
        np.testing.assert_array_equal(z.numpy().view(np.float64), x.numpy())


# --- all or nothing


def wrong_setting(optimizer, q):
    optimizer.param_groups[1]["lr"] = -1.0


def overflowing_setting(optimizer, q):
    optimizer.param_groups[1]["betas"] = (0.9, 1.0 - 1e-17)


def gradient_of_another_shape(optimizer, q):
    q._grad = mg.tensor(np.ones(3))


def gradient_of_another_type(optimizer, q):
    q._grad = mg.tensor(np.ones(2, np.float32))


def state_of_another_shape(optimizer, q):
    optimizer.state[q]["exp_avg"] = np.ones(3)


def state_without_step(optimizer, q):
    del optimizer.state[q]["step"]


def read_only_parameter(optimizer, q):
    q.data = read_only(q.data)


def read_only_strided_parameter(optimizer, q):
    q.data = np.broadcast_to(np.ones(1), (2,))


def read_only_state(optimizer, q):
    optimizer.state[q]["exp_avg"] = read_only(optimizer.state[q]["exp_avg"])


def parameter_of_another_type(optimizer, q):
    q.data = q.data.astype(np.float32)


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize(
    "spoil",
    [
        wrong_setting, overflowing_setting, gradient_of_another_shape, gradient_of_another_type, state_of_another_shape,
        state_without_step, read_only_parameter, read_only_strided_parameter, read_only_state,
        parameter_of_another_type,
    ],
    ids=lambda spoil: spoil.__name__,
)  # fmt: skip
def test_a_step_that_raises_has_changed_nothing(spoil, name):
    p, q = with_gradient([1.0, 2.0]), with_gradient([3.0, 4.0])
    optimizer = optim.Adam([{"params": [p]}, {"params": [q]}], weight_decay=0.1)
    with execution(name):
        optimizer.step()
        spoil(optimizer, q)
        before = snapshot(optimizer)
        with pytest.raises((ValueError, TypeError, RuntimeError, ZeroDivisionError), match=r"Adam|division"):
            optimizer.step()
    assert snapshot(optimizer) == before


def test_executions_can_be_chosen_by_name_only():
    with (
        pytest.raises(ValueError, match=r"execution: expected one of eager, blocked, numba.*'fast'"),
        execution("fast"),
    ):
        pass


def test_executions_nest():
    p = with_gradient([1.0])
    optimizer = optim.SGD([p], lr=0.25)
    with execution("eager"):
        optimizer.step()
        with execution("blocked"):
            optimizer.step()
        optimizer.step()
    optimizer.step()
    assert p.item() == 0.0
