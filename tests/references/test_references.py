"""The references against torch where torch has the algorithm, elsewhere against identities and numbers by hand."""

from __future__ import annotations

import math
import random

import pytest

from tests.golden.settings import SETTINGS
from tests.references import REFERENCES

STEPS = 50
SHAPES = {"SparseAdam": (5, 3), "Adafactor": (4, 3), "Muon": (4, 3)}
DENSE = [name for name in SETTINGS if name != "SparseAdam"]
BY_GRADIENT = [name for name in REFERENCES if name != "AdaHessian"]  # which takes curvature too
BEYOND_TORCH = [name for name in BY_GRADIENT if name not in SETTINGS]


@pytest.fixture
def torch():
    """torch with float64 as its default dtype, restored afterwards."""
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.fixture
def full_precision(torch, monkeypatch):
    """Muon's iteration in the parameter's own dtype."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


def draw(seed, size, steps=STEPS, decades=(-4.0, 2.0)):
    """A parameter and gradients over several decades, some entries exactly zero."""
    stream = random.Random(seed)

    def entry():
        return 0.0 if stream.random() < 0.1 else stream.gauss(0, 1) * 10 ** stream.uniform(*decades)

    return [stream.gauss(0, 1) for _ in range(size)], [[entry() for _ in range(size)] for _ in range(steps)]


def parameter(torch, values, shape):
    return torch.tensor(values).reshape(shape).requires_grad_()


def build(torch, name, p, settings):
    foreach = {} if name in ("SparseAdam", "Muon") else {"foreach": False}
    return getattr(torch.optim, name)([p], **settings, **foreach)


def distance(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def assert_close(a, b, bound):
    assert distance(a, b) <= bound


def paths(torch, name, settings, shape, grads, p0, lrs=None):
    """torch's and the reference's parameters after each step, and what both keep."""
    p = parameter(torch, p0, shape)
    optimizer = build(torch, name, p, settings)
    reference = REFERENCES[name](p0, shape=shape, **settings)
    theirs, ours = [], []
    for i, g in enumerate(grads):
        if lrs is not None:
            optimizer.param_groups[0]["lr"] = reference.lr = lrs[i]
        p.grad = None if g is None else torch.tensor(g).reshape(shape)
        optimizer.step()
        reference.step(g)
        theirs.append(p.detach().flatten().tolist())
        ours.append(list(reference.p))
    return theirs, ours, optimizer.state[p], reference


def assert_same_path(theirs, ours):
    bound = 1e-12 * max(abs(x) for p in theirs for x in p)
    for a, b in zip(theirs, ours, strict=True):
        assert_close(a, b, bound)


def assert_same_state(torch, state, reference):
    expected = {key: torch.as_tensor(value).flatten().tolist() for key, value in state.items() if value is not None}
    assert reference.state.keys() == expected.keys()
    for key, values in expected.items():
        found = reference.state[key]
        found = found if isinstance(found, list) else [found]
        assert_close(found, values, 1e-12 * max(map(abs, values)))


@pytest.mark.parity
@pytest.mark.parametrize(("name", "number"), [(name, i) for name in DENSE for i in range(len(SETTINGS[name]))])
def test_follows_torch(torch, full_precision, name, number):
    settings, shape = SETTINGS[name][number], SHAPES.get(name, (7,))
    p0, grads = draw(f"{name} {number}", math.prod(shape))
    theirs, ours, state, reference = paths(torch, name, settings, shape, grads, p0)
    assert_same_path(theirs, ours)
    assert_same_state(torch, state, reference)


@pytest.mark.parity
@pytest.mark.parametrize("name", DENSE)
def test_follows_torch_through_missing_gradients_and_another_lr(torch, full_precision, name):
    shape = SHAPES.get(name, (7,))
    p0, grads = draw(name, math.prod(shape))
    grads = [None if i in (0, 6, 7, 30) else g for i, g in enumerate(grads)]
    lrs = [0.05 * (1 + math.cos(i)) + 0.001 for i in range(STEPS)]
    theirs, ours, state, reference = paths(torch, name, {}, shape, grads, p0, lrs)
    assert_same_path(theirs, ours)
    assert_same_state(torch, state, reference)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(3,), (1,), (2, 3, 4), (2, 2, 3, 2), (1, 5), (5, 1)])
def test_adafactor_follows_torch_in_every_shape(torch, shape):
    p0, grads = draw(str(shape), math.prod(shape))
    theirs, ours, state, reference = paths(torch, "Adafactor", {"lr": 0.1, "weight_decay": 0.1}, shape, grads, p0)
    assert_same_path(theirs, ours)
    assert_same_state(torch, state, reference)


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (5, 1), (3, 3)])
def test_muon_follows_torch_in_every_shape(torch, full_precision, shape):
    p0, grads = draw(str(shape), math.prod(shape))
    theirs, ours, _, _ = paths(torch, "Muon", {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw"}, shape, grads, p0)
    assert_same_path(theirs, ours)


@pytest.mark.parity
@pytest.mark.parametrize("settings", SETTINGS["SparseAdam"])
def test_sparse_adam_follows_torch(torch, settings):
    stream = random.Random(0)
    p0, values = draw("SparseAdam", 15)
    p = parameter(torch, p0, (5, 3))
    optimizer = build(torch, "SparseAdam", p, settings)
    reference = REFERENCES["SparseAdam"](p0, shape=(5, 3), **settings)
    for v in values:
        rows = [stream.randrange(5) for _ in range(stream.randrange(6))]
        v = v[: 3 * len(rows)]
        indices = torch.tensor([rows], dtype=torch.long)
        entries = torch.tensor(v).reshape(len(rows), 3)
        p.grad = torch.sparse_coo_tensor(indices, entries, (5, 3), check_invariants=True)
        optimizer.step()
        reference.step(v, rows)
        assert_close(reference.p, p.detach().flatten().tolist(), 1e-12 * max(map(abs, p0)))
    assert_same_state(torch, optimizer.state[p], reference)


@pytest.mark.parity
@pytest.mark.parametrize("name", DENSE)
def test_nan_and_infinity_spread_as_in_torch(torch, full_precision, name):
    for bad in ([math.nan], [math.inf], [-math.inf], [math.nan, math.inf, -math.inf, 0.0], [1e300]):
        shape = (3, 2) if len(SHAPES.get(name, ())) == 2 else (6,)
        p0, grads = draw(f"{name} not finite", 6, steps=8)
        grads[2][: len(bad)] = bad
        theirs, ours, _, _ = paths(torch, name, {}, shape, grads, p0)
        for a, b in zip(theirs, ours, strict=True):
            assert list(map(math.isnan, a)) == list(map(math.isnan, b)), bad
            assert [x for x in a if math.isinf(x)] == [x for x in b if math.isinf(x)], bad
            assert all(math.isclose(x, y, rel_tol=1e-9) for x, y in zip(a, b, strict=True) if math.isfinite(x)), bad


@pytest.mark.parity
@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adagrad", "Adadelta"])
def test_zero_over_zero_is_as_in_torch(torch, name):
    theirs, ours, _, _ = paths(torch, name, {"eps": 0.0}, (2,), [[0.0, 1.0], [1.0, 0.0]], [1.0, 1.0])
    for a, b in zip(theirs, ours, strict=True):
        assert list(map(math.isnan, a)) == list(map(math.isnan, b))


# --- every reference


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_missing_gradient_changes_nothing(name):
    p0, grads = draw(name, 12, steps=4)
    reference, other = (REFERENCES[name](p0, shape=(4, 3)) for _ in range(2))
    for g in grads:
        reference.step(g)
        other.step(g)
        other.step(None)
    assert other.p == reference.p
    assert other.state == reference.state


@pytest.mark.parametrize("name", [name for name in BY_GRADIENT if name != "Muon"])
def test_maximize_is_the_step_with_the_negated_gradient(name):
    p0, grads = draw(name, 12, steps=10)
    decay = {"weight_decay": 0.1} if "weight_decay" in REFERENCES[name].defaults else {}
    up, down = (REFERENCES[name](p0, shape=(4, 3), maximize=m, **decay) for m in (True, False))
    for g in grads:
        up.step(g)
        down.step([-x for x in g])
    assert up.p == down.p


def test_an_unknown_setting_is_a_type_error():
    with pytest.raises(TypeError, match="Lion has no setting eps"):
        REFERENCES["Lion"]([1.0], eps=1e-8)


def follow(name, p0, grads, **settings):
    """The reference after these gradients."""
    reference = REFERENCES[name](p0, **settings)
    for g in grads:
        reference.step(g)
    return reference


def assert_agree(a, b):
    assert_close(a.p, b.p, 1e-12 * max(map(abs, a.p)))


# --- Nesterov and Adam's ε̂


def test_nesterovs_look_ahead_points_are_the_path_of_sgd():
    curvature = [0.1, 1.0, 3.0]
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}
    original = REFERENCES["Nesterov"]([1.0, -2.0, 0.5], **settings)
    shifted = REFERENCES["SGD"]([1.0, -2.0, 0.5], nesterov=True, **settings)
    for _ in range(STEPS):
        original.step([c * x for c, x in zip(curvature, original.look_ahead, strict=True)])
        shifted.step([c * x for c, x in zip(curvature, shifted.p, strict=True)])
        assert_close(original.look_ahead, shifted.p, 1e-12)


def test_nesterov_by_hand():
    # f = p²/2, so the gradient is the point: v = −0.1·1, p = 0.9; ahead 0.85; v = −0.05 − 0.085, p = 0.765
    reference = REFERENCES["Nesterov"]([1.0], lr=0.1, momentum=0.5)
    reference.step(reference.look_ahead)
    assert reference.p == pytest.approx([0.9])
    assert reference.look_ahead == pytest.approx([0.85])
    reference.step(reference.look_ahead)
    assert reference.p == pytest.approx([0.765])


def test_epsilon_hat_is_adam_with_a_scaled_epsilon():
    p0, grads = draw("epsilon", 5)
    hat, plain = REFERENCES["AdamEpsilonHat"](p0, eps=1e-3), REFERENCES["Adam"](p0)
    for t, g in enumerate(grads, 1):
        plain.eps = 1e-3 / math.sqrt(1 - 0.999**t)
        hat.step(g)
        plain.step(g)
        assert_agree(hat, plain)


def test_epsilon_hat_by_hand():
    # m = 0.2, √v = √0.004; lr_t = lr·√0.001/0.1
    reference = follow("AdamEpsilonHat", [1.0], [[2.0]], lr=0.01, eps=0.1)
    assert reference.p == pytest.approx([1 - 0.01 * math.sqrt(0.001) / 0.1 * 0.2 / (math.sqrt(0.004) + 0.1)])


# --- weight decay beyond torch


@pytest.mark.parametrize("name", ["AdamEpsilonHat", "AdaBelief", "Yogi", "ScheduleFreeSGD"])
def test_coupled_decay_is_part_of_the_gradient(name):
    reference_type = REFERENCES[name]
    coupled = {"decoupled_weight_decay": False} if "decoupled_weight_decay" in reference_type.defaults else {}
    p0, grads = draw(name, 5)
    with_decay = reference_type(p0, weight_decay=0.1, lr=0.1, **coupled)
    without = reference_type(p0, lr=0.1)
    for g in grads:
        without.step([g_i + 0.1 * p_i for g_i, p_i in zip(g, without.p, strict=True)])
        with_decay.step(g)
    assert with_decay.p == without.p


@pytest.mark.parametrize("name", ["AdamEpsilonHat", "AdaBelief", "Lion"])
def test_decoupled_decay_shrinks_first(name):
    reference_type = REFERENCES[name]
    decoupled = {"decoupled_weight_decay": True} if "decoupled_weight_decay" in reference_type.defaults else {}
    p0, grads = draw(name, 5)
    with_decay = reference_type(p0, weight_decay=0.1, lr=0.1, **decoupled)
    without = reference_type(p0, lr=0.1)
    for g in grads:
        without.p = [p_i * (1 - 0.1 * 0.1) for p_i in without.p]
        without.step(g)
        with_decay.step(g)
    assert_agree(with_decay, without)


# --- Lion


def test_lions_move_is_lr():
    p0, grads = draw("lion", 5)
    reference = REFERENCES["Lion"](p0, lr=0.25)
    for g in grads:
        before = list(reference.p)
        reference.step(g)
        assert all(abs(a - b) in (pytest.approx(0.25), 0.0) for a, b in zip(before, reference.p, strict=True))


def test_lion_by_hand():
    # step 1: c = 0.1·2 > 0, m = 0.02. Step 2: c = 0.9·0.02 − 0.1·0.1 = 0.008 > 0, m = 0.99·0.02 − 0.01·0.1 = 0.0188.
    # Step 3: c = 0.9·0.0188 − 0.1·1 < 0.
    reference = REFERENCES["Lion"]([1.0], lr=0.1, weight_decay=0.5)
    reference.step([2.0])
    assert reference.p == pytest.approx([1 - 0.1 * 1.5])
    reference.step([-0.1])
    assert reference.p == pytest.approx([0.85 - 0.1 * (1 + 0.425)])
    assert reference.exp_avg == pytest.approx([0.0188])
    reference.step([-1.0])
    assert reference.p == pytest.approx([0.7075 - 0.1 * (-1 + 0.5 * 0.7075)])


# --- AdaBelief and Yogi


def test_adabelief_by_hand():
    # m = 0.1·2 = 0.2; s = 0.001·(2 − 0.2)² + ε; m̂ = 2; ŝ = s/0.001
    reference = REFERENCES["AdaBelief"]([1.0], lr=0.1, eps=1e-3)
    reference.step([2.0])
    s = 0.001 * 1.8**2 + 1e-3
    p = 1 - 0.1 * 2 / (math.sqrt(s / 0.001) + 1e-3)
    assert reference.p == pytest.approx([p])
    # m = 0.9·0.2 − 0.1 = 0.08, and ε is added to s once more
    reference.step([-1.0])
    s = 0.999 * s + 0.001 * 1.08**2 + 1e-3
    p = p - 0.1 * (0.08 / (1 - 0.81)) / (math.sqrt(s / (1 - 0.999**2)) + 1e-3)
    assert reference.p == pytest.approx([p])


def test_adabelief_with_no_first_moment_is_blind():
    # β1 = 0 makes m = g: the surprise is 0, s the sum of ε alone, whatever the gradients.
    reference = follow("AdaBelief", [1.0], [[5.0], [-3.0]], betas=(0.0, 0.5), eps=1e-2)
    assert reference.exp_avg_var == pytest.approx([1.5e-2])


def test_adabelief_with_amsgrad_never_forgets_a_surprise():
    reference = REFERENCES["AdaBelief"]([1.0], betas=(0.5, 0.5), amsgrad=True)
    largest = 0.0
    for g in [1.0, -4.0, 0.1, 0.1, 0.1]:
        reference.step([g])
        largest = max(largest, reference.exp_avg_var[0])
        assert reference.max_exp_avg_var == [largest]


def test_yogi_by_hand():
    # v = 1 and g² = 4: v − 0.1·(−1)·4 = 1.4; then g² = 1: v − 0.1·1 = 1.3
    reference = REFERENCES["Yogi"]([1.0], lr=0.1, betas=(0.5, 0.9), eps=0.01, initial_accumulator_value=1.0)
    reference.step([2.0])
    assert reference.exp_avg_sq == pytest.approx([1.4])
    assert reference.p == pytest.approx([1 - 0.1 * 1.0 / (math.sqrt(1.4) + 0.01)])
    reference.step([1.0])
    assert reference.exp_avg_sq == pytest.approx([1.3])
    assert reference.exp_avg == pytest.approx([1.0])


def test_yogi_moves_v_by_the_square_of_g_alone():
    reference = REFERENCES["Yogi"]([0.0] * 5, betas=(0.9, 0.9))
    for g in draw("yogi", 5)[1]:
        before = list(reference.exp_avg_sq)
        reference.step(g)
        for a, b, x in zip(before, reference.exp_avg_sq, g, strict=True):
            assert abs(b - a) == pytest.approx(0.1 * x * x, abs=1e-12 * (1 + a))


def test_yogis_correction_makes_the_first_step_lr():
    settings = {"lr": 0.1, "eps": 0.0, "initial_accumulator_value": 0.0, "bias_correction": True}
    assert follow("Yogi", [1.0], [[3.0]], **settings).p == pytest.approx([0.9])


# --- LAMB and LARS


def test_lamb_with_ratio_1_is_adamw():
    p0, grads = draw("lamb", 5)
    settings = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    lamb = REFERENCES["LAMB"](p0, **settings)
    lamb.trust_ratio = lambda p_norm, u_norm: 1.0
    for g in grads:
        lamb.step(g)
    assert_agree(lamb, follow("AdamW", p0, grads, **settings))


def test_lambs_move_is_lr_of_the_parameters_norm():
    p0, grads = draw("lamb", 5)
    reference = REFERENCES["LAMB"](p0, lr=0.02, weight_decay=0.1)
    for g in grads:
        before = list(reference.p)
        reference.step(g)
        assert math.dist(before, reference.p) == pytest.approx(0.02 * math.hypot(*before))


def test_a_zero_parameter_leaves_zero():
    assert follow("LAMB", [0.0], [[3.0]], lr=0.1, eps=0.0).p == pytest.approx([-0.1])
    assert follow("LARS", [0.0], [[3.0]], lr=0.1).p == pytest.approx([-0.3])


def test_lars_by_hand():
    # ‖p‖ = 5, ‖g‖ = 10: κ = 0.01·5/(10 + 0.1·5), v = 0.2·κ·(g + 0.1p)
    settings = {"lr": 0.2, "momentum": 0.5, "weight_decay": 0.1, "trust_coefficient": 0.01}
    reference = follow("LARS", [3.0, 4.0], [[6.0, 8.0]], **settings)
    rate = 0.2 * 0.01 * 5 / 10.5
    v = [rate * 6.3, rate * 8.4]
    assert reference.p == pytest.approx([3 - v[0], 4 - v[1]])
    # Without a gradient κ is 1, and the velocity goes on by half
    p = list(reference.p)
    reference.step([0.0, 0.0])
    assert reference.p == pytest.approx([p[0] - 0.5 * v[0] - 0.02 * p[0], p[1] - 0.5 * v[1] - 0.02 * p[1]])


def test_lars_does_not_see_the_gradients_scale():
    p0, grads = draw("lars", 5)
    settings = {"lr": 0.1, "trust_coefficient": 0.1}
    scaled = [[1e6 * x for x in g] for g in grads]
    assert_agree(follow("LARS", p0, grads, **settings), follow("LARS", p0, scaled, **settings))


# --- Adan


def test_adan_by_hand():
    # Step 1: no difference: m̂ = g, v̂ = 0, √n̂ = |g|. Step 2: g = 1 after 2, Δ = −1.
    reference = REFERENCES["Adan"]([1.0], lr=0.1, betas=(0.5, 0.25, 0.75), eps=0.0, weight_decay=0.2)
    reference.step([2.0])
    assert reference.p == pytest.approx([0.9 / 1.02])
    reference.step([1.0])
    m_hat = (0.5 * 1.0 + 0.5 * 1.0) / 0.75
    v_hat = 0.75 * -1.0 / (1 - 0.0625)
    n_hat = (0.75 * 1.0 + 0.25 * (1 - 0.25) ** 2) / (1 - 0.5625)
    expected = (0.9 / 1.02 - 0.1 * (m_hat + 0.25 * v_hat) / math.sqrt(n_hat)) / 1.02
    assert reference.p == pytest.approx([expected])


def test_adan_without_the_difference_is_adamw():
    # β2 = 0 drops the difference from the step and from n.
    p0, grads = draw("adan", 5)
    adan = follow("Adan", p0, grads, lr=0.01, betas=(0.9, 0.0, 0.99), weight_decay=0.1, no_prox=True)
    assert_agree(adan, follow("AdamW", p0, grads, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1))


# --- schedule-free


def test_schedule_free_sgd_averages_the_path_of_sgd():
    # With z where the gradient is taken (β = 0), z is SGD's path and x its plain average.
    p0, grads = draw("schedule-free", 5)
    reference = REFERENCES["ScheduleFreeSGD"](p0, lr=0.1, momentum=0.0)
    sgd = REFERENCES["SGD"](p0, lr=0.1)
    path = []
    for g in grads:
        reference.step(g)
        sgd.step(g)
        path.append(list(sgd.p))
        assert_agree(reference, sgd)
        assert_close(reference.x, [math.fsum(column) / len(path) for column in zip(*path, strict=True)], 1e-9)


def test_schedule_free_sgd_with_momentum_1_is_primal_averaging():
    reference = REFERENCES["ScheduleFreeSGD"]([1.0, -1.0], lr=0.1, momentum=1.0)
    for g in draw("primal", 2)[1]:
        reference.step(g)
        assert reference.p == reference.x


def test_schedule_free_sgd_by_hand():
    # z = 0.8, x = z; then c = ½: z = 0.7, x = 0.75, y = 0.25·0.7 + 0.75·0.75
    reference = follow("ScheduleFreeSGD", [1.0], [[2.0], [1.0]], lr=0.1, momentum=0.75)
    assert reference.z == pytest.approx([0.7])
    assert reference.x == pytest.approx([0.75])
    assert reference.p == pytest.approx([0.7375])


def test_schedule_free_warmup_and_weights():
    # γ is 0.05 and 0.1, the weights γ²·t: 0.0025 and 0.02; z = 0.9 and 0.8
    settings = {"lr": 0.1, "momentum": 0.5, "warmup_steps": 2, "r": 1.0}
    reference = follow("ScheduleFreeSGD", [1.0], [[2.0], [1.0]], **settings)
    assert reference.z == pytest.approx([0.8])
    assert reference.x == pytest.approx([(0.0025 * 0.9 + 0.02 * 0.8) / 0.0225])


@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])
def test_schedule_free_weights_keep_the_largest_step(name):
    # x = Σw·z/Σw with w = t²·(the largest γ yet)³, while lr falls after a warm-up of three steps
    reference = REFERENCES[name]([1.0, -2.0], lr=0.1, warmup_steps=3, r=2.0, weight_lr_power=3.0)
    beta2 = 0.999 if name == "ScheduleFreeAdamW" else 0.0
    largest, weights, path = 0.0, [], []
    for t, g in enumerate(draw("weights", 2, decades=(-1.0, 0.0))[1], 1):
        reference.lr = 0.1 if t < 20 else 0.02
        reference.step(g)
        largest = max(largest, reference.lr * min(1.0, t / 3) * math.sqrt(1 - beta2**t))
        weights.append(t**2 * largest**3)
        path.append(list(reference.z))
        average = [sum(w * z[i] for w, z in zip(weights, path, strict=True)) / sum(weights) for i in range(2)]
        assert_close(reference.x, average, 1e-12)


def test_schedule_free_adamw_warms_up():
    # The first step moves z by lr/warmup_steps: √v = |g|·√(1 − β2) cancels the correction.
    reference = follow("ScheduleFreeAdamW", [1.0], [[2.0]], lr=0.1, eps=0.0, warmup_steps=4)
    assert reference.z == pytest.approx([1 - 0.1 / 4])


def test_schedule_free_adamw_without_averaging_is_adamw_without_a_first_moment():
    p0, grads = draw("schedule-free", 5)
    free = REFERENCES["ScheduleFreeAdamW"](p0, lr=0.01, betas=(0.0, 0.99), eps=0.01)
    adam = REFERENCES["AdamEpsilonHat"](p0, lr=0.01, betas=(0.0, 0.99), eps=0.01)
    for g in grads:
        free.step(g)
        adam.step(g)
        assert_agree(free, adam)


def test_schedule_free_adamw_by_hand():
    # √v = 2·√0.1, γ = 0.1·√0.1: the first z moves by 0.1 and the decay; x = y = z
    reference = follow("ScheduleFreeAdamW", [1.0], [[2.0]], lr=0.1, betas=(0.9, 0.9), eps=0.0, weight_decay=0.5)
    assert reference.p == pytest.approx([0.9 - 0.05 * math.sqrt(0.1)])
    assert reference.x == pytest.approx(reference.p)


# --- Prodigy


def test_prodigy_that_cannot_grow_is_adam_with_step_d():
    p0, grads = draw("prodigy", 5)
    prodigy = follow("Prodigy", p0, grads, d0=0.01, d_coef=1e-9, use_bias_correction=True, eps=1e-3)
    adam = follow("AdamEpsilonHat", p0, grads, lr=0.01, eps=1e-3)
    assert prodigy.d == 0.01
    assert_agree(prodigy, adam)


def test_prodigy_by_hand():
    # d = 0.1, β3 = ½. Step 1: r = 0; m = 0.1·0.1·2, √v = √0.75·0.1·2, so p moves by 0.1·0.1/√0.75.
    reference = REFERENCES["Prodigy"]([1.0], betas=(0.9, 0.25), d0=0.1, eps=0.0)
    reference.step([2.0])
    move = 0.1 * 0.1 / math.sqrt(0.75)
    assert reference.p == pytest.approx([1 - move])
    assert reference.d == 0.1
    # Step 2: r = ½·0.01·(50·move), s = ½·½·0.01·2 + ½·0.01·50
    reference.step([50.0])
    assert reference.d == 0.1
    assert reference.r == pytest.approx(0.005 * 50 * move)
    assert reference.s == pytest.approx([0.005 + 0.25])


def test_prodigys_safeguard_leaves_lr_out_of_s():
    # d = 0.1 and lr = 0.01: s = (1 − β3)·d²·g, with β3 = ½
    settings = {"lr": 0.01, "d0": 0.1, "beta3": 0.5}
    assert follow("Prodigy", [1.0], [[2.0]], **settings).s == pytest.approx([0.5 * 0.01 * 0.01 * 2])
    assert follow("Prodigy", [1.0], [[2.0]], safeguard_warmup=True, **settings).s == pytest.approx([0.5 * 0.01 * 2])


def test_prodigys_decay_by_hand():
    decoupled = follow("Prodigy", [2.0], [[0.0]], d0=0.1, weight_decay=0.5)
    assert decoupled.p == pytest.approx([2 - 0.1 * 0.5 * 2])
    coupled = follow("Prodigy", [2.0], [[0.01]], d0=0.1, weight_decay=0.5, decoupled_weight_decay=False)
    assert coupled.p == follow("Prodigy", [2.0], [[1.01]], d0=0.1).p


def test_prodigys_d_reaches_the_distance_and_never_falls():
    # |p − 3| from 0: the gradient is ±1 and the distance 3.
    reference = REFERENCES["Prodigy"]([0.0], use_bias_correction=True)
    before = reference.d
    for _ in range(2000):
        reference.step([1.0 if reference.p[0] > 3 else -1.0])
        assert reference.d >= before
        before = reference.d
    assert 0.3 < reference.d <= 3.0 + 1e-9


def test_prodigys_estimate_grows_by_d_coef():
    p0, grads = draw("prodigy", 5, decades=(-1.0, 1.0))
    assert follow("Prodigy", p0, grads, d0=1e-3, d_coef=4.0).d > follow("Prodigy", p0, grads, d0=1e-3).d


def test_prodigys_growth_rate_binds_once_d_has_left_its_start():
    reference = REFERENCES["Prodigy"]([0.0], d0=1e-3, growth_rate=1.01)
    for _ in range(100):
        before = reference.d
        reference.step([-1.0])
        assert reference.d <= 1.01 * before or before == 1e-3
    assert reference.d < reference.d_max


def test_every_algorithm_beyond_torch_goes_downhill():
    for name in BEYOND_TORCH:
        reference = REFERENCES[name]([3.0, -2.0], lr=0.02 if name != "Prodigy" else 1.0)
        for _ in range(300):
            at = reference.look_ahead if name == "Nesterov" else reference.p
            reference.step([at[0], 4 * at[1]])
        assert math.hypot(*reference.p) < math.hypot(3.0, 2.0), name
