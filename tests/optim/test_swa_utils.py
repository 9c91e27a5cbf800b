"""Averages of parameters: closed forms, resuming, swapping in and out, batch norm's statistics."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import optim
from minigrad import backend
from optim.swa_utils import (
    SWALR,
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
    swapped,
    update_bn,
)
from tests.strict_array import StrictArray, strict

quick = settings(max_examples=30, deadline=None)


class Net(nn.Module):
    """Tied and frozen parameters, running statistics, buffers of several types."""

    def __init__(self):
        self.first, self.second = nn.Linear(3, 3, dtype=np.float64), nn.Linear(3, 3, dtype=np.float64)
        self.second.weight = self.first.weight
        self.first.bias.requires_grad = False
        self.norm = nn.BatchNorm1d(3, dtype=np.float64)
        self.mask = nn.Buffer(np.array([True, False]))
        self.count = nn.Buffer(np.array(7, np.uint8), persistent=False)

    def forward(self, x):
        return self.second(self.norm(self.first(x)))


def net(seed=0):
    mg.manual_seed(seed)
    return Net()


def values(model):
    return [t.numpy().copy() for t in (*model.parameters(), *model.buffers())]


def train(model, rng):
    """One step of some training: parameters and running statistics move."""
    x = mg.tensor(rng.normal(size=(5, 3)))
    model.zero_grad()
    (model(x) ** 2).mean().backward()
    with mg.no_grad():
        for p in model.parameters():
            p -= 0.1 * (p if p.grad is None else p.grad)


class One(nn.Module):
    """A single parameter."""

    def __init__(self, value):
        self.p = nn.Parameter(np.array(value))


def average_of(sequence, **options):
    averaged = AveragedModel(One(np.zeros_like(sequence[0])), **options)
    for value in sequence:
        averaged.update_parameters(One(value))
    return averaged.module.p.numpy()


@st.composite
def sequences(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(), (0,), (3,), (2, 1, 3)]))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    return [
        np.array(rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4), dtype) for _ in range(draw(st.integers(1, 9)))
    ]


decays = st.floats(0, 0.999)
TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-4}


def close(found, wanted, scale):
    assert found.dtype == scale[0].dtype
    bound = TOLERANCE[found.dtype] * max(abs(value).max(initial=0) for value in scale)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=bound)


# --- closed forms


@quick
@given(sequences())
def test_swa_is_the_mean(sequence):
    for options in ({}, {"avg_fn": get_swa_avg_fn()}, {"multi_avg_fn": get_swa_multi_avg_fn()}):
        close(average_of(sequence, **options), np.mean(np.array(sequence, np.float64), axis=0), sequence)


@quick
@given(sequences(), decays)
def test_ema_weighs_by_age(sequence, decay):
    n = len(sequence)
    weights = [decay ** (n - 1)] + [(1 - decay) * decay ** (n - 1 - i) for i in range(1, n)]
    wanted = sum(w * value.astype(np.float64) for w, value in zip(weights, sequence, strict=True))
    for options in ({"avg_fn": get_ema_avg_fn(decay)}, {"multi_avg_fn": get_ema_multi_avg_fn(decay)}):
        close(average_of(sequence, **options), wanted, sequence)


@quick
@given(sequences(), decays)
def test_bias_correction_is_adams(sequence, decay):
    m = 0.0
    for value in sequence:
        m = decay * m + (1 - decay) * value.astype(np.float64)
    wanted = m / (1 - decay ** len(sequence))
    for make, kind in ((get_ema_avg_fn, "avg_fn"), (get_ema_multi_avg_fn, "multi_avg_fn")):
        close(average_of(sequence, **{kind: make(decay, bias_correction=True)}), wanted, sequence)


@quick
@given(sequences(), decays)
def test_warmup_forgets_the_beginning(sequence, decay):
    wanted = sequence[0].astype(np.float64)
    for n, value in enumerate(sequence[1:], 1):
        d = min(decay, (1 + n) / (10 + n))
        wanted = d * wanted + (1 - d) * value
    for make, kind in ((get_ema_avg_fn, "avg_fn"), (get_ema_multi_avg_fn, "multi_avg_fn")):
        close(average_of(sequence, **{kind: make(decay, warmup=True)}), wanted, sequence)


def test_a_constant_stays():
    for decay in (0.0, 0.9, 0.999):
        for options in ({}, {"warmup": True}, {"bias_correction": True}):
            found = average_of([np.float64([0.1, -3.7])] * 40, multi_avg_fn=get_ema_multi_avg_fn(decay, **options))
            np.testing.assert_allclose(found, [0.1, -3.7], rtol=1e-14)
    assert average_of([np.float64([0.1, -3.7])] * 40).tolist() == [0.1, -3.7]
    assert average_of([np.float64(5), np.float64(6)], avg_fn=get_ema_avg_fn(1.0)) == 5


def test_infinities_and_nan_go_into_the_average_without_a_warning():
    sequence = [np.array([1.0, np.inf, np.nan, -np.inf])] * 2
    for options in ({}, {"multi_avg_fn": get_ema_multi_avg_fn(0.5)}, {"avg_fn": get_swa_avg_fn()}):
        found = average_of(sequence, **options)
        assert found[0] == 1
        assert not np.isfinite(found[1:]).any()


def test_a_function_of_ones_own():
    largest = lambda averaged, current, n: mg.maximum(averaged, current * n)
    assert average_of([np.float64([1, 9]), np.float64([4, 2])], avg_fn=largest).tolist() == [4, 9]
    seen = []

    def keep_the_first(averaged, current, n):
        seen.append((len(averaged), len(current), n))

    sequence = [np.float64([1, 9]), np.float64([4, 2])]
    assert average_of(sequence, multi_avg_fn=keep_the_first).tolist() == [1, 9]
    assert seen == [(1, 1, 1)]


# --- what is averaged, and where


@pytest.mark.parametrize("use_buffers", [False, True])
def test_parameters_and_buffers(use_buffers):
    model, rng = net(), np.random.default_rng(0)
    averaged = AveragedModel(model, use_buffers=use_buffers)
    assert averaged.module.second.weight is averaged.module.first.weight
    assert not averaged.module.first.bias.requires_grad
    kept = []
    for _ in range(4):
        train(model, rng)
        averaged.update_parameters(model)
        kept.append(values(model))
    n = len(list(model.parameters()))
    for i, found in enumerate(values(averaged)):
        stack = np.array([step[i] for step in kept])
        wanted = stack.mean(0) if i < n or (use_buffers and stack.dtype.kind == "f") else stack[-1]
        if use_buffers and stack.dtype == np.int64:  # batches counted, 1 to 4: cut to an integer with every update
            assert found == 1
        else:
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)
        assert found.dtype == stack.dtype


def test_integers_of_any_type():
    module = nn.Module()
    module.a, module.b = nn.Buffer(np.array([9], np.uint8)), nn.Buffer(np.array([-4], np.int8))
    averaged = AveragedModel(module, use_buffers=True)
    averaged.update_parameters(module)
    module.a[...], module.b[...] = 4, -7
    averaged.update_parameters(module)
    assert [t.tolist() for t in averaged.buffers()] == [[6], [-5]]  # 6.5 and -5.5, towards 0


def test_the_copy_is_independent_and_keeps_its_memory():
    model = net()
    train(model, np.random.default_rng(0))
    averaged = AveragedModel(model)
    assert all(p.grad is None for p in averaged.parameters())
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    arrays = [t.data for t in (*averaged.parameters(), *averaged.buffers())]
    for _ in range(3):
        train(model, np.random.default_rng(1))
        averaged.update_parameters(model)
    assert all(t.data is a for t, a in zip((*averaged.parameters(), *averaged.buffers()), arrays, strict=True))


def test_averages_of_a_wider_type():
    model = nn.Linear(2, 1, dtype=np.float16)
    averaged = AveragedModel(model).to(dtype=np.float32)
    for value in (1.0, 1.001, 1.003):
        nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
    assert averaged.module.weight.dtype == np.float32
    wanted = np.mean(np.array([1.0, 1.001, 1.003], np.float16).astype(np.float64))
    np.testing.assert_allclose(averaged.module.weight.numpy(), wanted, rtol=1e-6)


def test_strict_arrays_and_two_devices(monkeypatch):
    elsewhere = backend.to_device
    moved = lambda array, device: (
        strict(backend.to_numpy(array), device=device) if device.startswith("strict") else elsewhere(array, device)
    )
    monkeypatch.setattr(backend, "to_device", moved)
    for device in (None, "cpu"):
        rng, results = np.random.default_rng(0), []
        for home in ("cpu", "strict:0"):
            model = nn.Linear(3, 2, dtype=np.float64).to(home)
            rng = np.random.default_rng(0)
            averaged = AveragedModel(model, device=device, multi_avg_fn=get_ema_multi_avg_fn(0.9, warmup=True))
            for _ in range(3):
                for p in model.parameters():
                    p.data = moved(rng.normal(size=p.shape), home)
                averaged.update_parameters(model)
            with averaged.swapped_into(model):
                assert model.weight.device == home
                results.append([p.numpy().copy() for p in (*averaged.parameters(), *model.parameters())])
        assert isinstance(model.weight.data, StrictArray)
        assert isinstance(averaged.module.weight.data, StrictArray) == (device is None)
        for one, other in zip(*results, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_graph_through_an_average_that_was_written_since_is_refused():
    model = nn.Linear(2, 1)
    averaged = AveragedModel(model)
    loss = averaged(mg.tensor([[1.0, 2.0]], requires_grad=True)).sum()
    averaged.update_parameters(model)
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


def test_it_behaves_as_a_module():
    model = net()
    averaged = AveragedModel(model).eval()
    assert not averaged.training
    assert not averaged.module.norm.training
    assert averaged.train() is averaged
    assert averaged.training
    assert model.training
    assert "(module): Net(" in repr(averaged)
    x = mg.tensor(np.random.default_rng(0).normal(size=(4, 3)))
    np.testing.assert_array_equal(averaged.eval()(x).numpy(), model.eval()(x).numpy())
    assert [type(m) for m in averaged.modules()] == [type(m) for m in model.modules()]
    again = copy.deepcopy(averaged)
    again.update_parameters(model)
    assert (averaged.n_averaged, again.n_averaged) == (0, 1)


# --- resuming


FUNCTIONS = {
    "swa": dict,
    "ema": lambda: {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
    "warmup": lambda: {"avg_fn": get_ema_avg_fn(0.9, warmup=True)},
    "corrected": lambda: {"multi_avg_fn": get_ema_multi_avg_fn(0.9, bias_correction=True), "use_buffers": True},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_run_that_was_stopped_anywhere_ends_with_the_same_bits(name):
    steps = 6

    def run(stop=None):
        model, rng = net(), np.random.default_rng(0)
        averaged = AveragedModel(model, **FUNCTIONS[name]())
        for i in range(steps):
            if i == stop:
                state, weights = averaged.state_dict(), model.state_dict()
                model, averaged = net(1), AveragedModel(net(2), **FUNCTIONS[name]())
                model.load_state_dict(weights)
                averaged.load_state_dict(state)
            train(model, rng)
            averaged.update_parameters(model)
        return averaged.state_dict()

    straight = run()
    assert straight["n_averaged"] == steps
    for stop in range(steps):
        resumed = run(stop)
        assert list(resumed) == list(straight)
        for key, value in straight.items():
            np.testing.assert_array_equal(resumed[key], value)


def test_a_state_is_a_copy():
    model = net()
    averaged = AveragedModel(model)
    averaged.update_parameters(model)
    state = averaged.state_dict()
    before = copy.deepcopy(state)
    train(model, np.random.default_rng(0))
    averaged.update_parameters(model)
    for key in state:
        np.testing.assert_array_equal(state[key], before[key])


WRONG_STATES = {
    "no count": (lambda s: s.pop("n_averaged"), ValueError, "no 'n_averaged' among"),
    "count": (lambda s: s.update(n_averaged=-1), ValueError, "n_averaged must be a whole number from 0, got -1"),
    "missing": (lambda s: s.pop("module.norm.weight"), ValueError, r"missing \['norm.weight'\]"),
    "other names": (lambda s: s.update(weight=np.ones(3)), ValueError, r"unexpected \['weight'\]; names start with"),
    "shape": (lambda s: s.update({"module.norm.weight": np.ones(4)}), ValueError, r"norm.weight has shape \(3,\)"),
}


@pytest.mark.parametrize("name", WRONG_STATES)
def test_a_failed_load_changes_nothing(name):
    spoil, kind, message = WRONG_STATES[name]
    averaged = AveragedModel(net())
    averaged.update_parameters(net())
    before = averaged.state_dict()
    state = {key: value + 1 if value.dtype.kind == "f" else value for key, value in averaged.state_dict().items()}
    state["n_averaged"] = np.array(5)
    spoil(state)
    with pytest.raises(kind, match=message):
        averaged.load_state_dict(state)
    for key, value in averaged.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    with pytest.raises(TypeError, match="expected a dictionary, got a list"):
        averaged.load_state_dict([])


# --- swapping


def trained(steps=3):
    model, rng = net(), np.random.default_rng(0)
    averaged = AveragedModel(model)
    for _ in range(steps):
        train(model, rng)
        averaged.update_parameters(model)
    return model, averaged


def test_averages_come_and_go():
    model, averaged = trained()
    tensors = [*model.parameters(), *model.buffers()]
    arrays, before = [t.data for t in tensors], values(model)
    x = mg.tensor(np.random.default_rng(0).normal(size=(4, 3)))
    with averaged.swapped_into(model) as lent:
        assert lent is model
        assert [*map(id, (*model.parameters(), *model.buffers()))] == [*map(id, tensors)]
        for found, wanted in zip(values(model), values(averaged), strict=True):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(model.eval()(x).numpy(), averaged.eval()(x).numpy())
    assert all(t.data is array for t, array in zip(tensors, arrays, strict=True))
    for found, wanted in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_brings_the_models_own_back(error):
    model, averaged = trained()
    before, averages = values(model), values(averaged)
    with pytest.raises(error), averaged.swapped_into(model):
        raise error
    for found, wanted in zip([*values(model), *values(averaged)], [*before, *averages], strict=True):
        np.testing.assert_array_equal(found, wanted)
    with averaged.swapped_into(model):  # and another block may follow
        pass


def test_nesting_is_refused():
    model, averaged = trained()
    other, before = AveragedModel(model), values(model)
    other.update_parameters(model)
    with averaged.swapped_into(model):
        for one in (averaged, other):
            with pytest.raises(RuntimeError, match="swapped_into: the model holds averages already"):
                one.swapped_into(model).__enter__()
            with pytest.raises(RuntimeError, match="update_parameters: the model holds averages already"):
                one.update_parameters(model)
        with pytest.raises(RuntimeError, match="a tensor holds other values already"):
            swapped([model.first.bias], [np.zeros(3)]).__enter__()
        with other.swapped_into(net()):  # another model
            pass
    assert averaged.n_averaged == 3
    for found, wanted in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_training_goes_on_with_the_same_bits():
    def run(look):
        mg.manual_seed(0)
        model, rng = net(), np.random.default_rng(0)
        optimizer, averaged = optim.Adam(model.parameters(), lr=0.01), AveragedModel(model)
        for _ in range(4):
            optimizer.zero_grad()
            (model.train()(mg.tensor(rng.normal(size=(4, 3)))) ** 2).mean().backward()
            optimizer.step()
            averaged.update_parameters(model)
            if look:
                with averaged.swapped_into(model):
                    model.eval()(mg.tensor(np.ones((2, 3))))
        return values(model)

    for one, other in zip(run(False), run(True), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_types_are_converted_on_the_way_in():
    model = nn.Linear(2, 1)
    averaged = AveragedModel(model).to(dtype=np.float64)
    with pytest.raises(RuntimeError, match=r"nothing is averaged yet; call update_parameters\(model\)"):
        averaged.swapped_into(model).__enter__()
    averaged.update_parameters(model)
    with averaged.swapped_into(model):
        assert model.weight.dtype == np.float32
        assert model.weight.data is not averaged.module.weight.data


def test_schedule_free_averages_are_swapped_in():
    p = nn.Parameter(np.array([1.0, -2.0]))
    optimizer = optim.ScheduleFreeSGD([p], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
    own = p.numpy().copy()
    with swapped([p], [optimizer.state[p]["x"]]):
        np.testing.assert_array_equal(p.numpy(), optimizer.state[p]["x"])
        assert not np.array_equal(p.numpy(), own)
    np.testing.assert_array_equal(p.numpy(), own)


# --- batch norm


def normed():
    mg.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2, dtype=np.float64), nn.BatchNorm1d(2, dtype=np.float64), nn.Dropout(0.5))


BATCHES = [np.random.default_rng(i).normal(size=(n, 3)) for i, n in enumerate((4, 4, 6))]


@pytest.mark.parametrize("form", [mg.tensor, lambda x: (mg.tensor(x), 0), lambda x: [mg.tensor(x)]])
def test_statistics_are_means_over_the_batches(form):
    model = normed()
    model(mg.tensor(BATCHES[2]))  # what was counted before is forgotten
    model[2].eval()
    averaged = AveragedModel(model)
    for each in (model, averaged):
        update_bn(map(form, BATCHES), each, device="cpu")
    for norm in (model[1], averaged.module[1]):
        inner = [model[0](mg.tensor(x)).numpy() for x in BATCHES]
        np.testing.assert_allclose(norm.running_mean.numpy(), np.mean([x.mean(0) for x in inner], axis=0))
        np.testing.assert_allclose(norm.running_var.numpy(), np.mean([x.var(0, ddof=1) for x in inner], axis=0))
        assert norm.num_batches_tracked.item() == 3
        assert norm.momentum == 0.1
    assert [module.training for module in model] == [True, True, False]


def failing():
    yield mg.tensor(BATCHES[0])
    raise OSError("the disk is gone")


def test_when_it_fails_the_statistics_are_as_before():
    model = normed().eval()
    model[1].running_mean[...] = 9.0
    before = values(model)
    for loader, error, message in (
        (failing(), OSError, "disk"),
        ([], ValueError, "update_bn: the loader gave no batch"),
    ):
        with pytest.raises(error, match=message):
            update_bn(loader, model)
        for found, wanted in zip(values(model), before, strict=True):
            np.testing.assert_array_equal(found, wanted)
        assert model[1].momentum == 0.1
        assert not any(module.training for module in model.modules())


def test_without_batch_norm_nothing_is_read():
    update_bn(failing(), nn.Linear(3, 2))
    update_bn(
        [mg.tensor(BATCHES[0])],
        nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False)).to(dtype=np.float64),
    )


# --- wrong input

other = lambda: nn.Linear(3, 3)
WRONG = [
    (lambda: get_ema_avg_fn(1.5), ValueError, r"EMA: decay must be in \[0.0, 1.0\], got 1.5"),
    (lambda: get_ema_multi_avg_fn(-0.1), ValueError, "EMA: decay must be in"),
    (lambda: AveragedModel(nn.Linear(1, 1), avg_fn=3), TypeError, "AveragedModel: avg_fn must be a function, got 3"),
    (lambda: AveragedModel(nn.Linear(1, 1), multi_avg_fn="x"), TypeError, "multi_avg_fn must be a function, got 'x'"),
    (lambda: get_ema_avg_fn("0.9"), TypeError, "EMA: decay must be a number"),
    (lambda: get_ema_avg_fn(0.9, warmup=True, bias_correction=True), ValueError, "choose one"),
    (lambda: get_ema_multi_avg_fn(1.0, bias_correction=True), ValueError, "needs a decay below 1"),
    (
        lambda: AveragedModel(other(), avg_fn=get_swa_avg_fn(), multi_avg_fn=get_swa_multi_avg_fn()),
        ValueError, "expected avg_fn or multi_avg_fn, got both",
    ),
    (
        lambda: AveragedModel(other()).update_parameters(nn.Linear(3, 2)),
        ValueError, r"update_parameters: expected .* parameters of shapes \[\(3, 3\), \(3,\)\], got \[\(2, 3\)",
    ),
    (
        lambda: AveragedModel(other()).update_parameters(nn.Sequential(other(), nn.ReLU(), other())),
        ValueError, "expected a model with parameters of shapes",
    ),
    (
        lambda: AveragedModel(net()).swapped_into(other()).__enter__(),
        ValueError, "swapped_into: expected a model with parameters",
    ),
    (lambda: swapped([other().bias], [np.ones(2)]).__enter__(), ValueError, r"of shapes \[\(3,\)\], got \[\(2,\)\]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_wrong_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_an_avg_fn_that_fails_changes_nothing():
    model, answers = net(), iter([mg.tensor(np.ones((3, 3))), mg.tensor(np.ones(4))])
    averaged = AveragedModel(model, avg_fn=lambda averaged, current, n: next(answers))
    averaged.update_parameters(model)
    before = values(averaged)
    with pytest.raises(ValueError, match=r"avg_fn gave shape \(4,\) for an average of \(3,\)"):
        averaged.update_parameters(model)
    assert averaged.n_averaged == 1
    for found, wanted in zip(values(averaged), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


# --- the learning rate


def optimizer_of(*lrs):
    groups = [{"params": [mg.tensor([1.0], requires_grad=True)], "lr": lr} for lr in lrs]
    for group in groups:
        group["params"][0].grad = mg.tensor([0.0])
    return optim.SGD(groups)


def lrs_of(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def advance(optimizer, scheduler, steps):
    for _ in range(steps):
        optimizer.step()
        scheduler.step()


@settings(quick, max_examples=60)
@given(
    st.lists(st.floats(1e-4, 10), min_size=1, max_size=3),
    st.floats(0, 5),
    st.integers(0, 12),
    st.sampled_from(["cos", "linear"]),
    st.integers(0, 15),
)
def test_the_lr_is_the_closed_form(lrs, swa_lr, n, strategy, steps):
    optimizer = optimizer_of(*lrs)
    scheduler = SWALR(optimizer, swa_lr, n, strategy)
    advance(optimizer, scheduler, steps)
    x = min(1.0, steps / n) if n else 1.0
    alpha = (1 - np.cos(np.pi * x)) / 2 if strategy == "cos" else x
    np.testing.assert_allclose(lrs_of(optimizer), [lr + (swa_lr - lr) * alpha for lr in lrs], rtol=1e-9, atol=1e-12)
    if steps == 0 and n:
        assert lrs_of(optimizer) == lrs
    if steps >= n:
        assert lrs_of(optimizer) == [swa_lr] * len(lrs)
    jumped = optimizer_of(*lrs)
    scheduler = SWALR(jumped, swa_lr, n, strategy)
    jumped.step()
    scheduler.step(steps)
    np.testing.assert_allclose(lrs_of(optimizer), lrs_of(jumped), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("stop", range(7))
def test_a_schedule_that_was_stopped_anywhere_goes_on_with_the_same_bits(stop):
    def start():
        optimizer = optimizer_of(0.7, 0.3)
        return optimizer, SWALR(optimizer, [0.1, 0.2], anneal_epochs=5)

    straight, scheduler = start()
    advance(straight, scheduler, 7)
    optimizer, scheduler = start()
    advance(optimizer, scheduler, stop)
    saved = optimizer.state_dict(), scheduler.state_dict()
    optimizer, scheduler = start()
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    advance(optimizer, scheduler, 7 - stop)
    assert lrs_of(optimizer) == lrs_of(straight)
    continued = optimizer_of(0.7, 0.3)
    for group in continued.param_groups:
        group["initial_lr"] = group["lr"]
    scheduler = SWALR(continued, [0.1, 0.2], anneal_epochs=5, last_epoch=stop)
    advance(continued, scheduler, 6 - stop)
    np.testing.assert_allclose(lrs_of(continued), lrs_of(straight), rtol=1e-12)


def test_it_starts_from_what_another_scheduler_has_left():
    optimizer = optimizer_of(1.0)
    first = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    last = SWALR(optimizer, 0.05, anneal_epochs=2, anneal_strategy="linear")
    advance(optimizer, first, 3)
    advance(optimizer, last, 1)
    np.testing.assert_allclose(lrs_of(optimizer), [(0.125 + 0.05) / 2])
    advance(optimizer, last, 1)
    assert lrs_of(optimizer) == [0.05]


def test_a_group_that_is_added():
    optimizer = optimizer_of(1.0)
    scheduler = SWALR(optimizer, 0.2, anneal_epochs=4, anneal_strategy="linear")
    advance(optimizer, scheduler, 1)
    optimizer.add_param_group({"params": [mg.tensor([1.0], requires_grad=True)], "lr": 0.6})
    advance(optimizer, scheduler, 1)
    np.testing.assert_allclose(lrs_of(optimizer), [0.6, 0.4])
    optimizer = optimizer_of(1.0, 1.0)
    scheduler = SWALR(optimizer, [0.2, 0.3])
    optimizer.add_param_group({"params": [mg.tensor([1.0], requires_grad=True)], "lr": 0.6})
    optimizer.step()
    with pytest.raises(ValueError, match="SWALR: swa_lr was given for each group, and a parameter group was added"):
        scheduler.step()
    assert lrs_of(optimizer) == [1.0, 1.0, 0.6]
    optimizer.param_groups[2]["swa_lr"] = 0.1
    scheduler.step()
    np.testing.assert_allclose(
        lrs_of(optimizer)[1:], [0.3 + 0.7 * (1 + np.cos(0.1 * np.pi)) / 2, 0.1 + 0.5 * (1 + np.cos(0.1 * np.pi)) / 2]
    )


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"swa_lr": [0.1]}, ValueError, "SWALR: swa_lr must have one value for each parameter group: got 1 for 2"),
        ({"swa_lr": "0.1"}, TypeError, "SWALR: swa_lr must be a number, got '0.1'"),
        ({"swa_lr": [0.1, -1]}, ValueError, r"SWALR: swa_lr must be in \[0.0, inf\), got -1"),
        (
            {"swa_lr": 0.1, "anneal_epochs": -1},
            ValueError,
            "SWALR: anneal_epochs must be a whole number from 0, got -1",
        ),
        (
            {"swa_lr": 0.1, "anneal_strategy": "poly"},
            ValueError,
            "SWALR: anneal_strategy must be one of 'cos', 'linear'",
        ),
        ({"swa_lr": 0.1, "last_epoch": 3}, ValueError, "'initial_lr'"),
    ],
)
def test_wrong_settings_leave_the_groups_alone(settings, kind, message):
    optimizer = optimizer_of(1.0, 2.0)
    before = copy.deepcopy([{**group, "params": None} for group in optimizer.param_groups])
    with pytest.raises(kind, match=message):
        SWALR(optimizer, **settings)
    assert [{**group, "params": None} for group in optimizer.param_groups] == before


@pytest.mark.parametrize(
    "functions",
    [
        {},
        {"avg_fn": optim.swa_utils.get_swa_avg_fn()},
        {"avg_fn": optim.swa_utils.get_ema_avg_fn(0.9, warmup=True)},
        {"multi_avg_fn": optim.swa_utils.get_ema_multi_avg_fn(0.9, bias_correction=True)},
    ],
)
def test_an_average_can_be_pickled(functions):
    model = nn.Linear(2, 3)
    averaged = optim.swa_utils.AveragedModel(model, **functions)
    averaged.update_parameters(model)
    again = pickle.loads(pickle.dumps(averaged))
    for one in (averaged, again):
        one.update_parameters(model)
    assert again.n_averaged == 2
    np.testing.assert_array_equal(again.module.weight.numpy(), averaged.module.weight.numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AveragedModel(3), r"AveragedModel: expected a model, with parameters\(\), .* got a int"),
        (lambda: AveragedModel(nn.Linear), "AveragedModel: expected a model, .* got a type"),
        (lambda: AveragedModel(nn.Linear(1, 1), use_buffers="no"), "AveragedModel: use_buffers must be True or False"),
        (lambda: AveragedModel(nn.Linear(1, 1)).update_parameters(3), "update_parameters: expected a model"),
        (lambda: update_bn([], 3), r"update_bn: expected a model, with modules\(\), train\(\), got a int"),
        (lambda: get_ema_avg_fn(warmup="a"), "EMA: warmup must be True or False, got 'a'"),
        (lambda: swapped([3], [np.ones(1)]).__enter__(), "swapped: expected Tensors, got a int"),
    ],
)
def test_what_is_no_model_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(("name", "key"), [("ASGD", "ax"), ("ScheduleFreeSGD", "x"), ("ScheduleFreeAdamW", "x")])
def test_the_line_that_evaluates_with_an_optimizers_average(name, key):
    """As it stands in the docstring; it works before the first step too, and where not all parameters are stepped."""
    params = [mg.tensor([1.0], requires_grad=True), mg.tensor([2.0], requires_grad=True)]
    optimizer = getattr(optim, name)(params)
    (line,) = [line.strip() for line in type(optimizer).__doc__.splitlines() if "swapped(" in line]

    def evaluated():
        scope = {"optim": optim, "optimizer": optimizer, "params": params, "seen": []}
        exec(f"{line}\n    seen.extend(p.item() for p in params)", scope)
        return scope["seen"]

    assert evaluated() == [1.0, 2.0]
    for _ in range(3):
        params[0].grad = mg.tensor([0.5])
        optimizer.step()
    assert evaluated() == [optimizer.state[params[0]][key].item(), 2.0]
    assert params[0].item() != 1.0 and optimizer.state_dict()["state"].keys() == {0}
