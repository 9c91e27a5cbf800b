"""torch's state without torch: what is stored of it, as anything that can become an array."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import minigrad as mg
import optim
from optim.convert import to_torch_state
from tests.golden import NAMES, load

BOTH = [name for name in NAMES if hasattr(optim, name) and name != "SparseAdam"]


class ArrayLike:
    """Knows nothing but how to become an array, as torch's tensors do."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def dense_cases(name):
    """The stored paths with dense gradients."""
    return [case for case in load(name) if not any(isinstance(g, dict) for g in case["grads"])]


def made(name, case, values):
    p = mg.tensor(np.reshape(values, case["shape"]), requires_grad=True)
    return p, getattr(optim, name)([p], **case["settings"])


def walk(p, optimizer, case, steps):
    """Those steps of the stored path."""
    for i in steps:
        if case["lrs"] is not None:
            optimizer.param_groups[0]["lr"] = case["lrs"][i]
        p.grad = None if case["grads"][i] is None else np.reshape(case["grads"][i], case["shape"])
        optimizer.step()


def torch_state(optimizer, case):
    """The stored end of torch's state in torch's layout, beside settings that torch alone has."""
    shape = case["shape"]
    entry = {
        k: ArrayLike(v if np.ndim(v) == 0 else np.reshape(v, shape) if np.size(v) == np.prod(shape) else v)
        for k, v in case["state"].items()
    }
    group = optimizer.state_dict()["param_groups"][0]
    extra = {"foreach": False, "fused": None, "capturable": False, "differentiable": False}
    return {"state": {0: entry} if entry else {}, "param_groups": [group | extra]}


@pytest.mark.parametrize("name", [name for name in BOTH if name not in ("Adafactor", "Muon")])
def test_the_stored_state_of_torch_goes_on_as_ours(name):
    for case in dense_cases(name):
        steps = range(len(case["grads"]))
        p, straight = made(name, case, case["p0"])
        walk(p, straight, case, steps)
        q, loaded = made(name, case, case["trajectory"][-1])
        loaded.load_state_dict(torch_state(straight, case))
        walk(p, straight, case, steps)
        walk(q, loaded, case, steps)
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=0, atol=1e-10 * np.abs(p.numpy()).max())
        assert loaded.param_groups[0]["fused"] is None and loaded.param_groups[0]["foreach"] is False


@pytest.mark.parametrize("name", BOTH)
def test_the_keys_are_torch_s(name):
    for case in dense_cases(name):
        p, optimizer = made(name, case, case["p0"])
        walk(p, optimizer, case, range(len(case["grads"])))
        entry = optimizer.state_dict()["state"].get(0, {})
        assert {k for k, v in entry.items() if v is not None} == case["state"].keys()


@pytest.mark.parametrize("name", ["NAdam", "ASGD", "Adam"])
def test_numbers_of_a_parameter_without_dimensions(name):
    p = mg.tensor(np.float32(1.0), requires_grad=True)
    optimizer = getattr(optim, name)([p])
    p.grad = np.array(0.5, np.float32)
    optimizer.step()
    saved = optimizer.state_dict()
    numbers = {k: v for k, v in saved["state"][0].items() if not isinstance(v, np.ndarray)}
    assert numbers
    saved["state"][0] = {k: ArrayLike(v) for k, v in saved["state"][0].items()}
    optimizer.load_state_dict(saved)
    for key, value in numbers.items():
        found = optimizer.state[p][key]
        assert isinstance(found, int | float) and found == value, key


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RuntimeError, match="torch is not installed"):
        to_torch_state(optim.SGD([mg.tensor([1.0], requires_grad=True)]))


def test_loading_does_not_import_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    case = dense_cases("Adam")[0]
    p, optimizer = made("Adam", case, case["p0"])
    optimizer.load_state_dict(torch_state(optimizer, case))
    assert optimizer.state[p]["step"] == 12
