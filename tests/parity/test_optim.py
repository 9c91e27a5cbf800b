"""torch.optim and optim side by side: every documented setting, non-finite gradients, names, defaults and state."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import optim
from tests.golden.settings import SETTINGS
from tests.optim.paths import Walk, compare, examples, numbers, walk, walks
from tests.optim.table import ROWS, TESTED

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

OF_TORCH = [name for name in TESTED if ROWS[name].torch]
DENSE = [name for name in OF_TORCH if ROWS[name].gradients == "dense"]
IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable"}
"""Settings of torch's that choose how it computes."""
EVERY_SETTING = [(name, settings) for name in DENSE for settings in SETTINGS[name]]


@pytest.fixture(autouse=True, scope="module")
def exact():
    """float64 by default, since step counts have the default dtype, and no bfloat16 in Muon's iteration."""
    before, bfloat16 = torch.get_default_dtype(), torch.Tensor.bfloat16
    torch.set_default_dtype(torch.float64)
    torch.Tensor.bfloat16 = torch.Tensor.clone
    yield
    torch.set_default_dtype(before)
    torch.Tensor.bfloat16 = bfloat16


def parameters_of(cls):
    """Argument names and defaults, without what chooses torch's implementation."""
    parameters = list(inspect.signature(cls).parameters.values())
    return [(p.name, p.default) for p in parameters if p.name not in IMPLEMENTATION and p.kind is not p.VAR_KEYWORD]


def build(name, params, settings):
    cls = getattr(torch.optim, name)
    plain = {"foreach": False} if "foreach" in inspect.signature(cls).parameters else {}
    return cls(params, **settings, **plain)


def torch_gradient(g, p):
    if isinstance(g, dict):
        rows, values = torch.tensor(g["rows"])[None], torch.tensor(g["values"], dtype=p.dtype)
        return torch.sparse_coo_tensor(rows, values.reshape(-1, *p.shape[1:]), p.shape, check_invariants=True)
    return None if g is None else torch.tensor(g, dtype=p.dtype).reshape(p.shape)


def torch_walk(name, drawn, dtype=torch.float64):
    """Where torch goes, with an optimizer for each parameter: for each the values after each step."""
    path = []
    for settings, lrs, p0, grads in drawn.parameters():
        p = torch.tensor(p0, dtype=dtype, requires_grad=True)
        optimizer = build(name, [p], settings)
        values = []
        for t, g in enumerate(grads):
            if lrs is not None:
                optimizer.param_groups[0]["lr"] = lrs[t]
            p.grad = torch_gradient(g, p)
            optimizer.step()
            state = {k: numbers(v) for k, v in optimizer.state.get(p, {}).items() if v is not None}
            values.append({"p": numbers(p.detach())} | state)
        path.append(values)
    return path


@pytest.mark.parametrize("name", OF_TORCH)
@examples(60)
@given(data=st.data())
def test_follows_torch(name, data):
    drawn = data.draw(walks(name, most_steps=60))
    with optim.execution("blocked"):
        ours, theirs = walk(name, drawn), torch_walk(name, drawn)
    compare(name, drawn, ours, theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a[-1].keys() == b[-1].keys()


@pytest.mark.parametrize("name", DENSE)
@examples(15)
@given(data=st.data())
def test_follows_torch_in_float32(name, data):
    drawn = data.draw(walks(name, most_steps=30))
    with optim.execution("blocked"):
        ours = walk(name, drawn, "float32")
    compare(name, drawn, ours, torch_walk(name, drawn, torch.float32), tolerance=1e-4, ulp=2.0**-23)


BAD = [[math.nan], [math.inf], [-math.inf], [math.nan, math.inf, -math.inf, 0.0], [1e300]]


@pytest.mark.parametrize(("name", "settings"), [(name, settings) for name in OF_TORCH for settings in SETTINGS[name]])
@pytest.mark.parametrize("bad", BAD, ids=str)
@pytest.mark.parametrize("at", [0, 2])
def test_what_is_not_finite_spreads_as_in_torch(name, settings, bad, at):
    if settings.get("centered") and bad == [1e300]:
        pytest.skip("v - ḡ² is inf - inf, or inf where the processor's fused multiply-add spares ḡ² the overflow")
    stream = np.random.default_rng(0)
    grads = list(stream.standard_normal((8, 3, 2)))
    grads[at].reshape(-1)[: len(bad)] = bad
    if ROWS[name].gradients == "rows":
        grads = [{"rows": np.array([2, 0]), "values": g[:2]} for g in grads]
    drawn = Walk([(settings, 1)], [stream.standard_normal((3, 2))], [grads], [None])
    with optim.execution("blocked"):
        (ours,) = walk(name, drawn)
    (theirs,) = torch_walk(name, drawn)
    for t, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        np.testing.assert_allclose(a["p"], b["p"], rtol=1e-9, atol=1e-12, err_msg=f"p after step {t + 1}")
        for key in b:  # torch's lerp turns an infinite mean into NaN a step later, which p does not see
            np.testing.assert_array_equal(np.isfinite(a[key]), np.isfinite(b[key]), f"{key} after step {t + 1}")


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax"])
def test_zero_over_zero_is_as_in_torch(name):
    drawn = Walk([({"eps": 0.0}, 1)], [np.ones(2)], [[np.array([0.0, 1.0]), np.array([1.0, 0.0])]], [None])
    (ours,), (theirs,) = walk(name, drawn), torch_walk(name, drawn)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a["p"], b["p"], rtol=1e-12)


def test_a_mean_that_keeps_nothing_new_is_as_in_torch():
    """α = 1: v stays 0."""
    drawn = Walk(
        [({"alpha": 1.0, "eps": 0.5}, 1)], [np.ones(2)], [[np.array([0.0, 1.0]), np.array([1.0, 0.0])]], [None]
    )
    (ours,), (theirs,) = walk("RMSprop", drawn), torch_walk("RMSprop", drawn)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a["p"], b["p"], rtol=1e-12)
        assert not a["square_avg"].any() and not b["square_avg"].any()


def test_torch_ignores_the_start_of_adagrads_groups_and_we_do_not():
    sums = []
    for package, tensor in ((optim, mg.tensor([1.0], dtype="float64")), (torch.optim, torch.ones(1))):
        adagrad = package.Adagrad(
            [{"params": [tensor], "initial_accumulator_value": 0.5}], initial_accumulator_value=0.1
        )
        sums.append(float(adagrad.state[tensor]["sum"][0]))
    assert sums == [0.5, pytest.approx(0.1)]


@pytest.mark.parametrize("name", OF_TORCH)
def test_arguments_and_defaults_are_torchs(name):
    ours, theirs = parameters_of(getattr(optim, name)), parameters_of(getattr(torch.optim, name))
    assert ours == theirs


@pytest.mark.parametrize(("name", "settings"), EVERY_SETTING)
def test_the_state_has_torchs_keys_and_shapes(name, settings):
    value, g = np.ones((4, 3)), np.full((4, 3), 0.5)
    p, q = mg.tensor(value, dtype="float64", requires_grad=True), torch.tensor(value, requires_grad=True)
    ours, theirs = getattr(optim, name)([p], **settings), build(name, [q], settings)
    for _ in range(2):
        p.grad, q.grad = mg.Tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    entries = [{k: np.shape(v) for k, v in s["state"].get(0, {}).items() if v is not None} for s in (ours, theirs)]
    assert entries[0] == entries[1]
    (group,), (torch_group,) = ours["param_groups"], theirs["param_groups"]
    assert {k: group.get(k) for k in torch_group.keys() - IMPLEMENTATION} == {
        k: v for k, v in torch_group.items() if k not in IMPLEMENTATION
    }
