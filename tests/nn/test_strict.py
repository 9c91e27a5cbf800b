"""Every layer and loss on an array that refuses what CuPy refuses, beside the same on NumPy's."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend
from tests.nn.module_table import TABLE, Sizes, built
from tests.strict_array import DEVICE, StrictArray, strict


@pytest.fixture(autouse=True)
def strict_devices(monkeypatch):
    """Let tensors move to the pretended device, as they do to "cuda:0"."""
    elsewhere = backend.to_device

    def to_device(array, device):
        if not device.startswith("strict"):
            return elsewhere(array, device)
        return array if backend.device_of(array) == device else strict(backend.to_numpy(array), device=device)

    monkeypatch.setattr(backend, "to_device", to_device)


def outcome(name, case, make, device):
    """Value, gradients, and gradients of their squares, as arrays."""
    rng = np.random.default_rng(3)
    inputs = [np.asarray(x) for x in case.inputs(rng, Sizes())]
    module = built(name, case.arguments(rng, Sizes())).train(case.training).to(device=device)
    xs = [mg.tensor(make(x), requires_grad=x.dtype.kind == "f") for x in inputs]
    out = module(*xs)
    leaves = [x for x in [*xs, *module.parameters()] if x.requires_grad]
    gradients = mg.grad((out * out).sum(), leaves, create_graph=True, allow_unused=True) if out.requires_grad else []
    recorded = [g for g in gradients if g is not None and g.requires_grad]
    second = mg.grad(sum((g * g).sum() for g in recorded), leaves, allow_unused=True) if recorded else []
    return [t for t in [out, *gradients, *second, *module.buffers()] if t is not None]


@pytest.mark.parametrize("name", sorted(TABLE))
def test_on_strict_arrays(name):
    for case in TABLE[name]:
        wanted = outcome(name, case, np.array, "cpu")
        found = outcome(name, case, strict, DEVICE)
        assert len(found) == len(wanted)
        for ours, theirs in zip(found, wanted, strict=True):
            assert isinstance(ours.data, StrictArray), case
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-10, atol=1e-13, err_msg=str(case))
