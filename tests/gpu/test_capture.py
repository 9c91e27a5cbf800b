"""A captured step does what the step does, one for one: same losses, same weights, whatever changes between calls."""

import doctest
import warnings

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from tests.optim.table import PUBLIC, ROWS

from .conftest import REASON

CAPTURED = [
    name for name in PUBLIC if not ROWS[name].closure and not ROWS[name].loss and ROWS[name].gradients == "dense"
]
LR = {"Adadelta": 1.0, "Rprop": 0.01}
SETTINGS = {
    "LAMB": {"weight_decay": 0.1},
    "LARS": {"weight_decay": 0.1, "lr": 1.0},
    "Adafactor": {"weight_decay": 0.1, "maximize": True},
    "Muon": {"nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
    "Prodigy": {"weight_decay": 0.1, "d0": 1e-3, "use_bias_correction": True, "growth_rate": 1.5},
}
REDUCING = tuple(SETTINGS)


def trained(captured, make, *, device="cuda", steps=12, sizes=(6,), change=None, drop=0.2):
    """Losses, weights and the optimizer of a run whose batches take these sizes in turn."""
    mg.manual_seed(3)
    model = nn.Sequential(
        nn.Linear(8, 16, device=device), nn.LayerNorm(16, device=device), nn.ReLU(), nn.Dropout(drop),
        nn.Linear(16, 4, device=device),
    )  # fmt: skip
    optimizer = make(model.parameters())

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = mg.cuda.capture(step, device=device) if captured else step
    rng = np.random.default_rng(0)
    losses = []
    for i in range(steps):
        n = sizes[i % len(sizes)]
        x = mg.tensor(rng.normal(size=(n, 8)).astype(np.float32), device=device)
        losses.append(run(x, mg.tensor(rng.integers(0, 4, n), device=device)))
        if change is not None:
            change(optimizer, i)
    return [float(loss.item()) for loss in losses], [p.numpy() for p in model.parameters()], optimizer


def check_same(make, **options):
    plain, captured = trained(False, make, **options), trained(True, make, **options)
    close = {"rtol": 0, "atol": 0} if REASON else {"rtol": 1e-3, "atol": 1e-4}  # cuBLAS may choose another algorithm
    np.testing.assert_allclose(captured[0], plain[0], **close)
    for ours, theirs in zip(captured[1], plain[1], strict=True):
        np.testing.assert_allclose(ours, theirs, **close)
    assert captured[2].steps_taken == plain[2].steps_taken
    states = [[{k: v for k, v in s.items() if isinstance(v, int | float)} for s in o.state.values()] for _, _, o in
              (plain, captured)]  # fmt: skip
    assert states[0] == states[1]
    return captured[2]


def maker(name, **settings):
    def make(params):
        params = [p for p in params if p.ndim == 2 or name != "Muon"]
        return getattr(optim, name)(params, **{"lr": LR.get(name, 0.01), **settings})

    return make


@pytest.mark.parametrize("name", CAPTURED)
def test_every_optimizer(name):
    check_same(maker(name))


def halved(optimizer, i):
    """As a scheduler does it, now and then."""
    if i % 3 == 2:
        for group in optimizer.param_groups:
            group["lr"] *= 0.5


def test_the_learning_rate_may_change_between_steps():
    check_same(lambda params: optim.Adam(params, lr=0.1), change=halved)


@pytest.mark.parametrize("name", REDUCING)
def test_reductions_with_settings_that_change_between_steps(name):
    def change(optimizer, i):
        halved(optimizer, i)
        optimizer.param_groups[0]["weight_decay"] = [0.1, 0.0, 0.05][i // 5]

    check_same(maker(name, **SETTINGS[name]), change=change)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("Muon", {"ns_steps": 2}),
        ("Muon", {"ns_coefficients": (2.0, -1.5, 0.5)}),
        ("Muon", {"adjust_lr_fn": "match_rms_adamw"}),
        ("Muon", {"nesterov": False, "momentum": 0.3, "eps": 10.0}),
        ("Adafactor", {"eps": (0.1, 0.2)}),
        ("Adafactor", {"d": 1.5, "beta2_decay": -0.1, "lr": 1}),
    ],
    ids=str,
)
def test_settings_of_any_kind_that_change_between_steps(name, changed):
    def change(optimizer, i):
        if i == 5:
            optimizer.param_groups[0].update(changed)

    check_same(maker(name), change=change)
    kept, other = (trained(True, maker(name), change=c)[1] for c in (None, change))
    assert any((a != b).any() for a, b in zip(kept, other, strict=True))


@pytest.mark.parametrize("name", REDUCING)
def test_reductions_in_float64(name):
    p = [mg.tensor(np.arange(1.0, 7.0).reshape(2, 3), device="cuda", requires_grad=True) for _ in range(2)]
    optimizers = [maker(name, **SETTINGS[name])([q]) for q in p]

    def steps(i, x):
        optimizers[i].zero_grad()
        (p[i] * p[i] * x).sum().backward()
        optimizers[i].step()

    run = mg.cuda.capture(lambda x: steps(1, x))
    for k in range(6):
        x = mg.tensor(np.full(3, 1.0 + k), device="cuda")
        steps(0, x)
        run(x)
    np.testing.assert_array_equal(*(q.numpy() for q in p))


@pytest.mark.parametrize("name", REDUCING)
def test_a_loaded_state_is_recorded_anew(name):
    step = model_step(maker(name))
    run, x = mg.cuda.capture(step), mg.tensor(np.ones(4, np.float32), device="cuda")
    other = model_step(maker(name))
    for _ in range(4):
        run(x)
        other(x)
    for _ in range(2):
        step.optimizer.load_state_dict(step.optimizer.state_dict())
        for _ in range(3):
            run(x)
            other(x)
    np.testing.assert_array_equal(step.p.numpy(), other.p.numpy())


@pytest.mark.parametrize(("name", "key"), [("Adafactor", "row_var"), ("Muon", "momentum_buffer"), ("LAMB", "exp_avg")])
def test_a_state_array_that_was_replaced_is_the_one_that_counts(name, key):
    paths = []
    for captured in (False, True):
        step, x = model_step(maker(name)), mg.tensor(np.ones(4, np.float32), device="cuda")
        run = mg.cuda.capture(step) if captured else step
        for i in range(9):
            if i == 5:
                state = step.optimizer.state[step.p]
                state[key] = state[key].copy()
                state[key][0] *= 7  # other than a factor of the whole, which Muon and Adafactor take out
            run(x)
        paths.append(step.p.numpy())
    np.testing.assert_array_equal(*paths)


@pytest.mark.parametrize("name", REDUCING)
def test_reductions_are_recorded_once(simulated, name):
    trained(True, maker(name), steps=5)
    before = len(simulated.launches)
    trained(True, maker(name), steps=20)
    names = [name for name, *_ in simulated.launches[before:]]
    assert names.count("store") == 18
    assert {names.count(n) for n in ("lamb", "lamb_direction", "lars")} <= {0, 3}, "one for all tensors, in 3 steps"


@pytest.mark.filterwarnings("ignore:lr_scheduler.step")
def test_a_scheduler_between_steps():
    schedules = {}

    def change(optimizer, i):
        if id(optimizer) not in schedules:
            schedules[id(optimizer)] = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
        schedules[id(optimizer)].step()

    check_same(lambda params: optim.AdamW(params, lr=0.1), change=change)


def test_a_setting_that_changes_the_plan():
    def change(optimizer, i):
        optimizer.param_groups[0]["weight_decay"] = 0.1 if i >= 6 else 0.0

    check_same(lambda params: optim.Adam(params, lr=0.01), change=change)


def test_the_step_at_which_radam_begins_to_rectify_comes_after_the_capture():
    check_same(lambda params: optim.RAdam(params, lr=0.01, betas=(0.9, 0.99)), steps=14)


def test_batches_of_two_shapes():
    check_same(lambda params: optim.Adam(params, lr=0.01), sizes=(6, 6, 6, 6, 3), steps=25)


def test_several_groups():
    def make(params):
        first, *rest = params
        return optim.Adam([{"params": [first], "lr": 0.1}, {"params": rest, "weight_decay": 0.1}], lr=0.01)

    check_same(make, change=halved)


def test_most_steps_are_one_graph(simulated):
    before = len(simulated.launches)
    trained(True, lambda params: optim.Adam(params), steps=20)
    names = [name for name, *_ in simulated.launches[before:]]
    assert names.count("store") == 18, "a launch of host values for each replay, and nothing else of ours"
    assert names.count("adam_kernel") == 3, "two steps as they are, and one recording"


def test_the_first_gradient_is_nobodys_but_the_callers():
    for device in ("cuda", "cpu"):
        x = mg.tensor([[2.0]], device=device, requires_grad=True)
        y = x.sum()
        for output, wanted in ((x, x), (y, y), (y, x)):
            (mine,) = mg.grad(output, [wanted], retain_graph=True)
            assert mine.item() == 1
            mine.data[...] = 5
    x.backward()
    assert x.grad.item() == 1


def test_ones_are_made_once_but_not_kept_from_a_recording(simulated):
    like = mg.tensor(np.ones(2, np.float32), device="cuda").data
    held = []

    @mg.cuda.capture
    def step(x):
        if mg.backend.thread.recording is not None:
            held.append(mg.backend.ones(77, like))

    for _ in range(3):
        step(like)
    made = mg.backend.ones(77, like)
    assert made is not held[0]
    assert made is mg.backend.ones(77, like)
    assert made.get().tolist() == [1.0] * 77
    for n in range(100):
        assert mg.backend.ones(n, like).shape == (n,)
    assert len(mg.backend._device_ones) <= 64


def test_what_the_groups_of_prodigy_share_stays_on_the_device(gpu):
    params = [mg.tensor(np.ones(3, np.float32), device="cuda", requires_grad=True) for _ in range(2)]
    optimizer = optim.Prodigy(params, d0=0.1)

    def step():
        for p in params:
            p.grad = mg.Tensor(2 * p.data)
        optimizer.step()

    for _ in range(3):
        step()
    group = optimizer.param_groups[0]
    assert {mg.backend.device_of(group[key]) for key in ("d", "d_max", "d_numerator")} == {"cuda:0"}
    saved = optimizer.state_dict()["param_groups"][0]
    assert {type(saved[key]) for key in ("d", "d_max", "d_numerator")} == {float}
    assert saved["d"] == float(group["d"]) > 0.1
    for p in params:  # as Module.to does
        p.data = mg.backend.to_numpy(p.data)
        for key in ("exp_avg", "exp_avg_sq", "s", "p0"):
            optimizer.state[p][key] = mg.backend.to_numpy(optimizer.state[p][key])
    step()
    assert type(group["d"]) is float
    assert group["d"] >= saved["d"]


def test_a_d_that_was_set_between_steps_of_prodigy_counts():
    paths = []
    for captured in (False, True):
        step, x = (
            model_step(lambda params: optim.Prodigy(params, d0=1e-3)),
            mg.tensor(np.ones(4, np.float32), device="cuda"),
        )
        run = mg.cuda.capture(step) if captured else step
        for i in range(9):
            if i == 5:
                step.optimizer.param_groups[0]["d"] = 0.5
            run(x)
        paths.append(step.p.numpy())
    np.testing.assert_array_equal(*paths)


def test_only_what_changed_of_a_group_is_looked_up_anew(gpu):
    """Other gradients, fewer of them, other state arrays and data: each step finds what stands there now."""
    paths = []
    for device in ("cpu", "cuda"):
        params = [mg.tensor(np.full(n, 2.0), device=device, requires_grad=True) for n in (3, 0, 5000, 7)]
        optimizer = optim.Adam(params, lr=0.1)
        for i in range(8):
            for k, p in enumerate(params):
                p.grad = None if i == 3 and k == 2 else mg.Tensor((i + k) * p.data)
            if i == 5:
                optimizer.load_state_dict(optimizer.state_dict())
            if i == 6:
                params[0].data = params[0].data * 2
            with optim.formula.execution("blocked" if device == "cpu" else "cuda"):
                optimizer.step()
        paths.append([p.numpy() for p in params])
    for ours, theirs in zip(*paths, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_host_waits_for_nothing(simulated):
    mg.manual_seed(0)
    p = mg.tensor(np.ones(4, np.float32), device="cuda", requires_grad=True)
    optimizer = optim.Adam([p])

    def step(x):
        optimizer.zero_grad()
        (p * x).sum().backward()
        optimizer.step()

    run = mg.cuda.capture(step)
    x = mg.tensor(np.ones(4, np.float32), device="cuda")
    for _ in range(4):
        run(x)
    before = simulated.synchronisations
    for _ in range(5):
        run(x)
    assert simulated.synchronisations == before


def test_answers_are_left_alone_by_later_steps():
    losses, *_ = trained(True, lambda params: optim.SGD(params, lr=0.1))
    assert len(set(losses)) > 6


def test_on_the_cpu_it_is_the_step_itself():
    plain, captured = (trained(flag, lambda params: optim.Adam(params), device="cpu") for flag in (False, True))
    assert plain[0] == captured[0]


def test_the_example_of_the_docstring():
    """Elsewhere it runs on the CPU."""
    text = mg.cuda.capture.__doc__.replace('device = "cpu"  # or "cuda"', 'device = "cuda"')
    assert 'device = "cuda"\n' in text
    example = doctest.DocTestParser().get_doctest(text, {}, "capture", None, None)
    assert doctest.DocTestRunner().run(example) == (0, len(example.examples))


def test_as_a_decorator():
    total = mg.tensor(np.zeros(2), device="cuda")

    @mg.cuda.capture
    def add(x):
        """Add it."""
        total.data[...] += x.data
        return total

    assert add.__doc__ == "Add it."
    for i in range(6):
        answer = add(mg.tensor(np.full(2, float(i)), device="cuda"))
    assert answer.tolist() == [15.0, 15.0]


# --- what can't be captured


def refused(step, match, error=RuntimeError, warm=2):
    run = mg.cuda.capture(step)
    x = mg.tensor(np.ones(4, np.float32), device="cuda")
    for _ in range(warm):
        run(x)
    with pytest.raises(error, match=match):
        run(x)


def model_step(make, before=lambda loss: None, after=lambda optimizer: None):
    p = mg.tensor(np.ones((4, 4), np.float32), device="cuda", requires_grad=True)
    optimizer = make([p])

    def step(x):
        optimizer.zero_grad()
        loss = ((p @ x) ** 2).sum()
        loss.backward()
        before(loss)
        optimizer.step()
        after(optimizer)

    step.p, step.optimizer = p, optimizer
    return step


@pytest.mark.parametrize("reading", [lambda t: t.item(), float, bool, lambda t: t.numpy(), repr])
def test_reading_a_value(reading):
    step = model_step(optim.Adam, before=reading)
    refused(step, "capture: the step did something that a graph can't record.*must not read values")


def test_an_array_from_the_host():
    refused(lambda x: x * mg.tensor(np.ones(4, np.float32), device="cuda"), "capture: bringing an array from the host")


def test_many_arrays_joined_to_one():
    """CuPy takes a table of more than eight addresses from the host."""
    refused(lambda x: mg.concatenate([x] * 9), "capture: the step did something that a graph can't record")


def test_recordings_give_their_memory_back(real):
    import cupy

    step, x = model_step(optim.Adam), mg.tensor(np.ones(4, np.float32), device="cuda")
    run, used = mg.cuda.capture(step), []
    for _ in range(6):
        step.optimizer.load_state_dict(step.optimizer.state_dict())  # what was recorded does not hold any more
        for _ in range(3):
            run(x)
        used.append(cupy.get_default_memory_pool().used_bytes())
    assert used[2] == used[-1]


def test_random_numbers_of_the_host():
    refused(lambda x: x * float(mg.default_generator().random()), "capture: drawing random numbers on the host")


@pytest.mark.filterwarnings("ignore:a parameter stands twice")
@pytest.mark.parametrize("name", ["Adafactor", "Adam"])
def test_a_parameter_that_stands_twice(name):
    step = model_step(lambda params: getattr(optim, name)(params * 2))
    refused(step, f"capture: {name} has a parameter that stands")


@pytest.mark.parametrize("name", ["Adafactor", "Muon", "LAMB"])
def test_a_parameter_without_state(name):
    late = mg.tensor(np.ones((2, 2), np.float32), device="cuda", requires_grad=True)

    def before(loss):
        if mg.backend.thread.recording is not None:
            late.grad = mg.Tensor(late.data * 1)

    step = model_step(maker(name), before)
    step.optimizer.add_param_group({"params": [late]})
    refused(step, f"capture: {name} has no state yet for a parameter of shape")


def test_hooks():
    step = model_step(optim.Adam)
    step.optimizer.register_step_post_hook(lambda *_: None)
    refused(step, "capture: .*hooks")


def test_skipping_what_is_not_finite():
    step = model_step(optim.Adam)
    step.optimizer.skip_nonfinite = True
    refused(step, "capture: ")


def test_a_scheduler_inside():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        step = model_step(optim.Adam, after=lambda optimizer: schedule.step())
        schedule = optim.lr_scheduler.ExponentialLR(step.optimizer, 0.9)
        refused(step, "capture: .*scheduler")


def test_a_refusal_leaves_parameters_and_state_as_they_were():
    def late(optimizer):
        if optimizer.steps_taken >= 2 and mg.backend.thread.recording is not None:
            raise KeyError("late")

    step = model_step(optim.Adam, after=late)
    run = mg.cuda.capture(step)
    x = mg.tensor(np.ones(4, np.float32), device="cuda")
    for _ in range(2):
        run(x)
    weights, state = step.p.numpy().copy(), step.optimizer.state_dict()
    with pytest.raises(KeyError, match="late"):
        run(x)
    np.testing.assert_array_equal(step.p.numpy(), weights)
    after = step.optimizer.state_dict()
    assert after["state"][0]["step"] == state["state"][0]["step"] == 2
    np.testing.assert_array_equal(after["state"][0]["exp_avg"], state["state"][0]["exp_avg"])
    assert step.optimizer.steps_taken == 2


def test_a_wrong_setting_between_steps_is_an_error_and_changes_nothing():
    step = model_step(optim.Adam)
    run = mg.cuda.capture(step)
    x = mg.tensor(np.ones(4, np.float32), device="cuda")
    for _ in range(4):
        run(x)
    weights = step.p.numpy().copy()
    step.optimizer.param_groups[0]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"lr.*-1\.0"):
        run(x)
    np.testing.assert_array_equal(step.p.numpy(), weights)
    assert step.optimizer.state[step.p]["step"] == step.optimizer.steps_taken == 4
    step.optimizer.param_groups[0]["lr"] = 0.1
    run(x)
    assert step.optimizer.state[step.p]["step"] == 5


@pytest.mark.parametrize("given", [3, 2.5, [1.0], None])
def test_a_batch_of_anything_else(given):
    with pytest.raises(TypeError, match="argument 0 must be an array or a Tensor, got a"):
        mg.cuda.capture(lambda x: x)(given)


def test_what_is_no_function():
    with pytest.raises(TypeError, match="capture: expected a function, got a int"):
        mg.cuda.capture(3)
