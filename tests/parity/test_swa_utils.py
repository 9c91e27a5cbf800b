"""Averages against PyTorch's."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import optim
from optim import swa_utils as ours_utils

torch = pytest.importorskip("torch")
theirs_utils = torch.optim.swa_utils
pytestmark = pytest.mark.parity

FUNCTIONS = {
    "equal": lambda utils, decay: {},
    "swa": lambda utils, decay: {"avg_fn": utils.get_swa_avg_fn()},
    "ema": lambda utils, decay: {"avg_fn": utils.get_ema_avg_fn(decay)},
    "ema, lists": lambda utils, decay: {"multi_avg_fn": utils.get_ema_multi_avg_fn(decay)},
    "own": lambda utils, decay: {"avg_fn": lambda averaged, current, n: averaged + decay * (current - averaged) / n},
}


def ours_of():
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).to(dtype=np.float64)


def theirs_of(state):
    L, B = torch.nn.Linear, torch.nn.BatchNorm1d
    model = torch.nn.Sequential(L(3, 3), B(3), L(3, 1)).double()
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    return model


def same(ours, theirs, off=0):
    """The same state; integers may be `off`."""
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.numpy().dtype
        integer = ours[name].dtype.kind == "i"
        np.testing.assert_allclose(ours[name], value.numpy(), rtol=1e-9, atol=off if integer else 1e-10, err_msg=name)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("use_buffers", [False, True])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(0, 8), decay=st.floats(0, 1))
def test_averages(name, use_buffers, seed, steps, decay):
    rng = np.random.default_rng(seed)
    ours = ours_of()
    theirs = theirs_of(ours.state_dict())
    averaged = ours_utils.AveragedModel(ours, **FUNCTIONS[name](ours_utils, decay), use_buffers=use_buffers)
    expected = theirs_utils.AveragedModel(theirs, **FUNCTIONS[name](theirs_utils, decay), use_buffers=use_buffers)
    for step in range(steps):
        state = {
            key: np.array(step) if value.dtype.kind == "i" else rng.normal(size=value.shape)
            for key, value in ours.state_dict().items()
        }
        ours.load_state_dict(state)
        theirs.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
        averaged.update_parameters(ours)
        expected.update_parameters(theirs)
        # torch averages integers in float32 before it cuts them: 0.1 · 10 is 1 there, and just below 1 in float64
        same(averaged, expected, off=0 if name in ("equal", "swa") else 1)


def test_the_state_is_torchs():
    ours = ours_of()
    theirs = theirs_utils.AveragedModel(theirs_of(ours.state_dict()))
    for _ in range(3):
        theirs.update_parameters(theirs_of(ours_of().state_dict()))
    averaged = ours_utils.AveragedModel(ours_of())
    averaged.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    assert averaged.n_averaged == 3
    same(averaged, theirs)


@pytest.mark.parametrize("mode", [True, False])
def test_statistics_of_batch_norm(mode):
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(n, 3)) for n in (4, 4, 3)]
    ours = ours_of().train(mode)
    theirs = theirs_of(ours.state_dict()).train(mode)
    ours_utils.update_bn([(mg.tensor(x), 0) for x in batches], ours)
    theirs_utils.update_bn([(torch.from_numpy(x), 0) for x in batches], theirs)
    same(ours, theirs)
    assert ours.training == theirs.training


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@settings(max_examples=40, deadline=None)
@given(
    lrs=st.lists(st.floats(1e-4, 10), min_size=1, max_size=3),
    swa_lr=st.floats(0, 5),
    n=st.integers(0, 12),
    edits=st.lists(st.one_of(st.none(), st.floats(0.1, 2)), min_size=1, max_size=20),
)
def test_learning_rates(strategy, lrs, swa_lr, n, edits):
    optimizers, schedulers = [], []
    for optim_package, utils, one in (
        (optim, ours_utils, lambda: mg.tensor([1.0], requires_grad=True)),
        (torch.optim, theirs_utils, lambda: torch.ones(1, requires_grad=True)),
    ):
        optimizer = optim_package.SGD([{"params": [one()], "lr": lr} for lr in lrs])
        for group in optimizer.param_groups:
            group["params"][0].grad = group["params"][0].detach() * 0
        optimizers.append(optimizer)
        schedulers.append(utils.SWALR(optimizer, swa_lr, anneal_epochs=n, anneal_strategy=strategy))
    for edit in edits:
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            if edit is not None:
                optimizer.param_groups[0]["lr"] = edit
            optimizer.step()
            scheduler.step()
        found, wanted = ([group["lr"] for group in o.param_groups] for o in optimizers)
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-10)
    ours, theirs = (scheduler.state_dict() for scheduler in schedulers)
    assert set(ours) == set(theirs)
    schedulers[0].load_state_dict(theirs)
    assert schedulers[0].last_epoch == len(edits)


def test_arguments_are_torchs():
    more = {"warmup", "bias_correction"}
    for name in theirs_utils.__all__:
        ours, theirs = (inspect.signature(getattr(utils, name)) for utils in (ours_utils, theirs_utils))
        found = [(p.name, p.default, p.kind) for p in ours.parameters.values() if p.name not in more]
        assert found == [(p.name, p.default, p.kind) for p in theirs.parameters.values()]
