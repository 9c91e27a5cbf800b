"""A captured step does what the step does, one for one: same losses, same weights, whatever changes between calls."""

import warnings

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from optim.elementwise import ElementwiseOptimizer
from tests.optim.table import PUBLIC, ROWS

CAPTURED = [
    name
    for name in PUBLIC
    if issubclass(getattr(optim, name), ElementwiseOptimizer)
    and not getattr(optim, name).reduces
    and not ROWS[name].closure
    and ROWS[name].gradients == "dense"
    and name != "Prodigy"
]
LR = {"Adadelta": 1.0, "Rprop": 0.01}


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
    assert captured[0] == plain[0]
    for ours, theirs in zip(captured[1], plain[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert captured[2].steps_taken == plain[2].steps_taken
    states = [[{k: v for k, v in s.items() if isinstance(v, int | float)} for s in o.state.values()] for _, _, o in
              (plain, captured)]  # fmt: skip
    assert states[0] == states[1]
    return captured[2]


@pytest.mark.parametrize("name", CAPTURED)
def test_every_optimizer_that_is_one_formula(name):
    check_same(lambda params: getattr(optim, name)(params, lr=LR.get(name, 0.01)))


def halved(optimizer, i):
    """As a scheduler does it, now and then."""
    if i % 3 == 2:
        for group in optimizer.param_groups:
            group["lr"] *= 0.5


def test_the_learning_rate_may_change_between_steps():
    check_same(lambda params: optim.Adam(params, lr=0.1), change=halved)


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
    assert names.count("adam") == 3, "two steps as they are, and one recording"


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


def test_random_numbers_of_the_host():
    refused(lambda x: x * float(mg.default_generator().random()), "capture: drawing random numbers on the host")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda params: optim.LAMB(params), "capture: .*LAMB"),
        (lambda params: optim.LARS(params), "capture: .*LARS"),
        (lambda params: optim.Prodigy(params), "capture: .*"),
        (lambda params: optim.Adafactor(params), "capture: .*Adafactor"),
        (lambda params: optim.Muon(params), "capture: .*Muon"),
    ],
)
def test_optimizers_with_reductions(make, match):
    refused(model_step(make), match)


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
