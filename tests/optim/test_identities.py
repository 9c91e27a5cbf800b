"""What must hold between algorithms, and of each by itself, whatever the numbers."""

import math

import numpy as np
import pytest

import minigrad as mg
import optim

from .paths import take_step
from .table import ROWS, TESTED

STEPS = 30
SIZE = 6
STREAM = np.random.default_rng(0)
P0 = STREAM.standard_normal(SIZE)
GRADS = list(STREAM.standard_normal((STEPS, SIZE)) * 10.0 ** STREAM.uniform(-3, 2, (STEPS, SIZE)))
DENSE = [name for name in TESTED if ROWS[name].gradients == "dense" and ROWS[name].shapes is ROWS["Adam"].shapes]


@pytest.fixture(autouse=True)
def uncompiled():
    with optim.execution("blocked"):
        yield


class Run:
    """An optimizer of one parameter, and what its steps make of it."""

    def __init__(self, name, p0=P0, **settings):
        self.name = name
        self.p = mg.tensor(p0, dtype="float64", requires_grad=True)
        self.optimizer = getattr(optim, name)([self.p], **settings)

    @property
    def values(self):
        return self.p.numpy().copy()

    @property
    def state(self):
        return self.optimizer.state[self.p]

    def step(self, g, **settings):
        """One step with gradient g, after a change of settings."""
        self.optimizer.param_groups[0].update(settings)
        take_step(self.name, self.optimizer, [self.p], [g])
        return self.values

    def steps(self, grads=GRADS):
        """All of the path."""
        return np.array([self.step(g) for g in grads])


def path(name, p0=P0, grads=GRADS, **settings):
    return Run(name, p0, **settings).steps(grads)


def agree(a, b, tolerance=1e-12):
    a, b = np.asarray(a), np.asarray(b)
    assert np.abs(a - b).max() <= tolerance * np.abs(a).max()


def needs(*names):
    """Skip what compares with an algorithm that is not there."""
    missing = [name for name in names if name not in TESTED]
    return pytest.mark.skipif(bool(missing), reason=f"optim has no {', '.join(missing)}")


def settings_of(name, **wanted):
    """Those of the settings that the algorithm has."""
    return {k: v for k, v in wanted.items() if k in ROWS[name].settings}


# --- of every algorithm


@pytest.mark.parametrize(
    "name", [name for name in DENSE if "maximize" in ROWS[name].settings and not ROWS[name].closure]
)
def test_to_maximize_is_to_minimize_with_the_negated_gradient(name):
    settings = settings_of(name, weight_decay=0.1)
    up = path(name, maximize=True, **settings)
    np.testing.assert_array_equal(up, path(name, grads=[-g for g in GRADS], **settings))


@pytest.mark.parametrize("name", [name for name in DENSE if name not in ("Prodigy", "LAMB", "LARS", "Adafactor")])
def test_elements_do_not_know_of_each_other(name):
    together = path(name)
    order = STREAM.permutation(SIZE)
    np.testing.assert_array_equal(path(name, P0[order], [g[order] for g in GRADS]), together[:, order])
    np.testing.assert_array_equal(path(name, P0[:1], [g[:1] for g in GRADS]), together[:, :1])


@pytest.mark.parametrize("name", DENSE)
def test_the_mirror_image_takes_the_mirrored_path(name):
    settings = settings_of(name, weight_decay=0.1)
    np.testing.assert_array_equal(path(name, -P0, [-g for g in GRADS], **settings), -path(name, **settings))


@pytest.mark.parametrize("name", [name for name in DENSE if name not in ("Rprop", "Prodigy", "LAMB", "LARS")])
def test_without_a_learning_rate_nothing_moves(name):
    np.testing.assert_allclose(path(name, lr=0.0, **settings_of(name, weight_decay=0.1))[-1], P0, rtol=1e-14)


SCALE_FREE = {
    "Adam": {"eps": 0.0}, "AdamEpsilonHat": {"eps": 0.0}, "AdamW": {"eps": 0.0}, "Adamax": {"eps": 0.0},
    "NAdam": {"eps": 0.0}, "Adagrad": {"eps": 0.0}, "RMSprop": {"eps": 0.0}, "AdaBelief": {"eps": 0.0}, "Rprop": {},
    "Lion": {}, "Adan": {"eps": 0.0}, "ScheduleFreeAdamW": {"eps": 0.0}, "LAMB": {"eps": 0.0}, "LARS": {},
    "Yogi": {"eps": 0.0, "initial_accumulator_value": 0.0},
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in TESTED if name in SCALE_FREE])
def test_the_scale_of_the_loss_does_not_matter(name):
    for scale in (1e-4, 1e5):
        agree(path(name, **SCALE_FREE[name]), path(name, grads=[scale * g for g in GRADS], **SCALE_FREE[name]))


@pytest.mark.parametrize("name", ["SGD", "ASGD", "ScheduleFreeSGD"])
def test_the_scale_of_the_loss_is_a_learning_rate(name):
    settings = {"lambd": 0.0} if name == "ASGD" else {"momentum": 0.5}
    agree(path(name, lr=0.3, **settings), path(name, lr=0.03, grads=[10 * g for g in GRADS], **settings))


@pytest.mark.parametrize("name", [name for name in DENSE if "decoupled_weight_decay" in ROWS[name].settings])
@pytest.mark.parametrize("decoupled", [False, True])
def test_decay_by_hand(name, decoupled):
    if name == "Prodigy":
        pytest.skip("its decay is scaled by d too")
    settings = {"lr": 0.05, "decoupled_weight_decay": decoupled}
    automatic, by_hand = Run(name, weight_decay=0.1, **settings), Run(name, weight_decay=0.0, **settings)
    for g in GRADS:
        if decoupled:
            by_hand.p.data *= 1 - 0.05 * 0.1
        agree(automatic.step(g), by_hand.step(g if decoupled else g + 0.1 * by_hand.values))


@pytest.mark.parametrize("name", ["SGD", "Adamax", "Adagrad", "Adadelta", "RMSprop", "ASGD", "Yogi", "ScheduleFreeSGD"])
def test_l2_decay_is_part_of_the_gradient(name):
    automatic, by_hand = Run(name, weight_decay=0.1), Run(name)
    for g in GRADS:
        agree(automatic.step(g), by_hand.step(g + 0.1 * by_hand.values))


# --- gradient descent


def test_l2_in_plain_sgd_shrinks_by_1_minus_lr_lambda():
    decayed, plain = Run("SGD", lr=0.1, weight_decay=0.5), Run("SGD", lr=0.1)
    for g in GRADS:
        plain.p.data *= 1 - 0.1 * 0.5
        agree(decayed.step(g), plain.step(g))


def test_l2_in_sgd_with_momentum_does_not():
    decayed, plain = Run("SGD", lr=0.1, weight_decay=0.5, momentum=0.9), Run("SGD", lr=0.1, momentum=0.9)
    for g in GRADS[:3]:
        plain.p.data *= 1 - 0.1 * 0.5
        decayed.step(g)
        plain.step(g)
    assert np.abs(decayed.values - plain.values).max() > 1e-3


def test_plain_sgd_subtracts_the_sum_of_gradients():
    agree(path("SGD", lr=0.1), P0 - 0.1 * np.cumsum(GRADS, axis=0))


def test_momentum_is_a_sum_of_faded_gradients():
    run = Run("SGD", lr=0.1, momentum=0.8)
    run.steps()
    agree(run.state["momentum_buffer"], sum(0.8 ** (STEPS - 1 - t) * g for t, g in enumerate(GRADS)))


def test_momentum_of_a_constant_gradient_is_a_larger_step():
    run = Run("SGD", lr=0.1, momentum=0.9)
    before = run.steps([GRADS[0]] * 400)[-1]
    agree(before - run.step(GRADS[0]), 0.1 * GRADS[0] / (1 - 0.9), 1e-9)


def test_dampening_spares_the_first_gradient():
    run = Run("SGD", lr=0.1, momentum=0.9, dampening=0.9)
    np.testing.assert_allclose(run.step(GRADS[0]), P0 - 0.1 * GRADS[0], rtol=1e-15)
    run.step(GRADS[1])
    agree(run.state["momentum_buffer"], 0.9 * GRADS[0] + 0.1 * GRADS[1])


def test_sgd_with_nesterov_moves_by_the_buffer_that_comes_next_without_a_gradient():
    run = Run("SGD", lr=0.1, momentum=0.9, nesterov=True)
    for g in GRADS:
        before, after = run.values, run.step(g)
        agree(before - after, 0.1 * (g + 0.9 * run.state["momentum_buffer"]), 1e-11)


CURVATURE = np.array([0.1, 1.0, 3.0, 5.0, 0.5, 2.0])


def test_sgd_with_nesterov_is_nesterovs_method_seen_from_the_look_ahead_point():
    """v = μv - lr·∇f(x + μv), x = x + v; the path of SGD is x + μv."""
    run, x, v = Run("SGD", lr=0.1, momentum=0.9, nesterov=True), P0.copy(), np.zeros(SIZE)
    for _ in range(STEPS):
        v = 0.9 * v - 0.1 * CURVATURE * (x + 0.9 * v)
        x = x + v
        agree(run.step(CURVATURE * run.values), x + 0.9 * v)


def test_asgd_without_its_decay_is_sgd_and_its_average():
    asgd, sgd = Run("ASGD", lr=0.1, lambd=0.0, t0=0.0), Run("SGD", lr=0.1)
    visited = []
    for g in GRADS:
        agree(asgd.step(g), sgd.step(g))
        visited.append(sgd.values)
    agree(asgd.state["ax"], np.mean(visited[1:], axis=0))  # μ is 1 in the first two steps


def test_schedule_free_sgd_without_interpolation_is_sgd_and_its_average():
    free, sgd = Run("ScheduleFreeSGD", lr=0.1, momentum=0.0), Run("SGD", lr=0.1)
    visited = []
    for g in GRADS:
        agree(free.step(g), sgd.step(g))
        visited.append(sgd.values)
    agree(free.state["x"], np.mean(visited, axis=0))


# --- Adam and its kin


def test_adam_without_a_first_moment_is_rmsprop_with_a_corrected_v():
    """β1 = 0: p - lr·g/(√(v/c) + ε) = p - lr·√c·g/(√v + √c·ε), RMSprop with lr and ε scaled by √c, c = 1 - β2ᵗ."""
    adam, rmsprop = Run("Adam", lr=0.1, betas=(0.0, 0.9), eps=1e-2), Run("RMSprop", alpha=0.9)
    for t, g in enumerate(GRADS, 1):
        root = math.sqrt(1 - 0.9**t)
        agree(adam.step(g), rmsprop.step(g, lr=0.1 * root, eps=1e-2 * root))


def test_epsilon_hat_without_a_first_moment_is_rmsprop_with_a_scaled_lr():
    hat, rmsprop = Run("AdamEpsilonHat", lr=0.1, betas=(0.0, 0.9), eps=1e-2), Run("RMSprop", alpha=0.9, eps=1e-2)
    for t, g in enumerate(GRADS, 1):
        agree(hat.step(g), rmsprop.step(g, lr=0.1 * math.sqrt(1 - 0.9**t)))


def test_amsgrad_is_adam_while_v_grows():
    growing = [g * 10.0**t for t, g in enumerate(np.sign(GRADS))]
    np.testing.assert_array_equal(path("Adam", grads=growing, amsgrad=True), path("Adam", grads=growing))
    shrinking = growing[::-1]
    assert (path("Adam", grads=shrinking, amsgrad=True)[-1] != path("Adam", grads=shrinking)[-1]).all()


def test_amsgrads_v_never_falls():
    run, before = Run("Adam", amsgrad=True, betas=(0.9, 0.5)), np.zeros(SIZE)
    for g in GRADS:
        run.step(g)
        assert (run.state["max_exp_avg_sq"] >= before).all()
        assert (run.state["max_exp_avg_sq"] >= run.state["exp_avg_sq"]).all()
        before = run.state["max_exp_avg_sq"].copy()


def test_adamw_without_decay_is_adam():
    np.testing.assert_array_equal(path("AdamW", weight_decay=0.0), path("Adam"))


def test_adamw_is_adam_with_decoupled_decay():
    settings = {"weight_decay": 0.1, "amsgrad": True}
    np.testing.assert_array_equal(path("AdamW", **settings), path("Adam", decoupled_weight_decay=True, **settings))


def test_epsilon_hat_is_adam_without_epsilon():
    agree(path("Adam", eps=0.0, weight_decay=0.1), path("AdamEpsilonHat", eps=0.0, weight_decay=0.1))


def test_epsilon_hat_is_adam_with_a_scaled_epsilon():
    adam, hat = Run("Adam"), Run("AdamEpsilonHat", eps=1e-2)
    for t, g in enumerate(GRADS, 1):
        agree(adam.step(g, eps=1e-2 / math.sqrt(1 - 0.999**t)), hat.step(g))


@pytest.mark.parametrize(
    "name", ["Adam", "AdamW", "AdamEpsilonHat", "Adamax", "Adan", "ScheduleFreeAdamW", "Adagrad", "LAMB"]
)
def test_the_first_step_is_lr_whatever_the_gradient(name):
    if name not in TESTED:
        pytest.skip(f"optim has no {name}")
    p0 = np.full(SIZE, 1.0 / math.sqrt(SIZE)) if name == "LAMB" else P0
    length = 0.05 / math.sqrt(SIZE) if name == "LAMB" else 0.05
    moved = Run(name, p0, lr=0.05, eps=0.0, **settings_of(name, weight_decay=0.0)).step(GRADS[0]) - p0
    np.testing.assert_allclose(moved, -length * np.sign(GRADS[0]), rtol=1e-12)


def test_adams_step_of_a_constant_gradient_is_lr():
    run = Run("Adam", lr=0.05, eps=0.0)
    agree(np.diff(run.steps([GRADS[0]] * STEPS), axis=0), np.tile(-0.05 * np.sign(GRADS[0]), (STEPS - 1, 1)))


def test_adamax_with_no_memory_of_the_norm_divides_by_the_gradient():
    moved = np.diff(path("Adamax", lr=0.05, betas=(0.0, 0.0), eps=0.0), axis=0)
    agree(moved, -0.05 * np.sign(GRADS[1:]), 1e-10)


def test_nadam_without_momentum_is_adam_without_momentum():
    settings = {"lr": 0.05, "betas": (0.0, 0.9)}
    agree(path("NAdam", **settings), path("Adam", **settings))


def test_radam_before_its_variance_is_known_is_corrected_momentum():
    """ρₜ ≤ 5 for the first five steps with β2 = 0.999: p moves by lr·m̂."""
    radam, momentum = Run("RAdam", lr=0.1), np.zeros(SIZE)
    for t, g in enumerate(GRADS[:5], 1):
        before, momentum = radam.values, 0.9 * momentum + 0.1 * g
        agree(before - radam.step(g), 0.1 * momentum / (1 - 0.9**t), 1e-11)


def test_radam_is_adam_in_the_end():
    """r → 1; ε = 0, for its place differs."""
    settings = {"lr": 0.01, "betas": (0.9, 0.9), "eps": 0.0}
    adam, radam = Run("Adam", **settings), Run("RAdam", **settings)
    for t, g in enumerate(GRADS * 20):
        moves = [run.step(g) for run in (adam, radam)]
        if t == 500:
            agree(adam.step(g) - moves[0], radam.step(g) - moves[1], 1e-10)


def test_adagrad_is_rmsprop_that_sums():
    """RMSprop's mean of t gradients with α = 1 - 1/t, times t, is Adagrad's sum."""
    adagrad, rmsprop = Run("Adagrad", lr=0.1, eps=0.0), Run("RMSprop", eps=0.0)
    for t, g in enumerate(GRADS, 1):
        agree(adagrad.step(g), rmsprop.step(g, alpha=1 - 1 / t, lr=0.1 / math.sqrt(t)), 1e-11)


def test_adagrads_lr_decay_is_a_schedule():
    scheduled = Run("Adagrad")
    automatic = Run("Adagrad", lr=0.1, lr_decay=0.2)
    for t, g in enumerate(GRADS):
        agree(automatic.step(g), scheduled.step(g, lr=0.1 / (1 + 0.2 * t)))


def test_rmsprop_with_momentum_zero_is_rmsprop():
    run = Run("RMSprop", momentum=0.9)
    run.step(GRADS[0])
    np.testing.assert_array_equal(run.values, path("RMSprop")[0])


def test_centered_rmsprop_of_alternating_gradients_is_rmsprop_in_the_end():
    """±c alternating: ḡ² is c²·((1-α)/(1+α))² in the end, so the steps differ by a known factor."""
    alternating = [np.ones(SIZE) * (-1) ** t for t in range(200)]
    plain, centered = (Run("RMSprop", alpha=0.9, eps=0.0, centered=c) for c in (False, True))
    a, b = (np.diff(run.steps(alternating), axis=0)[-1] for run in (plain, centered))
    agree(b, a / math.sqrt(1 - (0.1 / 1.9) ** 2), 1e-8)


def test_adadelta_does_not_need_a_unit():
    """With ε = 0 the step is in units of u, which starts at 0: nothing moves, whatever the gradient."""
    np.testing.assert_array_equal(path("Adadelta", eps=0.0)[-1], P0)


# --- signs


def test_lions_update_is_a_sign_times_lr():
    moves = np.diff(np.vstack([P0, path("Lion", lr=0.25)]), axis=0)
    np.testing.assert_allclose(np.abs(moves), 0.25, rtol=1e-12)


def test_lion_without_momentum_is_sign_descent():
    agree(path("Lion", lr=0.25, betas=(0.0, 0.0)), P0 - 0.25 * np.cumsum(np.sign(GRADS), axis=0))


def test_rprop_that_neither_grows_nor_shrinks_steps_by_signs_but_where_they_flip():
    run = Run("Rprop", lr=0.1, step_sizes=(0.1, 0.1))
    remembered = np.zeros(SIZE)
    for g in GRADS:
        used = np.where(g * remembered < 0, 0.0, g)
        before = run.values
        np.testing.assert_allclose(before - run.step(g), 0.1 * np.sign(used), atol=1e-14)
        remembered = used


def test_rprop_does_not_heed_the_size_of_gradients():
    np.testing.assert_array_equal(path("Rprop"), path("Rprop", grads=np.sign(GRADS)))


# --- beyond


def test_yogi_with_growing_gradients_adds_what_adam_adds():
    """Where v < g², v ← v + (1 - β2)·g²: Adam's without the decay, and with β2 = 0 the same as the first."""
    growing = [np.full(SIZE, 10.0**t) for t in range(5)]
    run = Run("Yogi", betas=(0.9, 0.99), initial_accumulator_value=0.0)
    run.steps(growing)
    agree(run.state["exp_avg_sq"], 0.01 * np.sum(np.square(growing), axis=0))


def test_adabeliefs_surprise_is_what_momentum_did_not_foretell():
    """g - m after m took g in is β1·(g - m) before."""
    run, m, s = Run("AdaBelief", betas=(0.8, 0.9), eps=0.0), np.zeros(SIZE), np.zeros(SIZE)
    for g in GRADS:
        s = 0.9 * s + 0.1 * (0.8 * (g - m)) ** 2
        m = 0.8 * m + 0.2 * g
        run.step(g)
        agree(run.state["exp_avg_var"], s)


def test_adabelief_without_a_first_moment_is_never_surprised():
    run = Run("AdaBelief", betas=(0.0, 0.5), eps=1e-2)
    run.steps(GRADS[:2])
    np.testing.assert_allclose(run.state["exp_avg_var"], 1.5e-2, rtol=1e-14)


def test_adan_without_the_difference_is_adamw():
    """β2 = 0 drops the difference from the step and from n."""
    adan = path("Adan", lr=0.01, betas=(0.9, 0.0, 0.99), weight_decay=0.1, no_prox=True)
    agree(adan, path("AdamW", lr=0.01, betas=(0.9, 0.99), weight_decay=0.1))


def test_adans_proximal_decay_is_a_division_after_the_step():
    proximal, plain = Run("Adan", lr=0.1, weight_decay=0.5), Run("Adan", lr=0.1)
    for g in GRADS:
        plain.step(g)
        plain.p.data /= 1 + 0.1 * 0.5
        agree(proximal.step(g), plain.values)


def test_schedule_free_adamw_without_averaging_is_epsilon_hat_without_momentum():
    settings = {"lr": 0.01, "betas": (0.0, 0.99), "eps": 0.01}
    agree(path("ScheduleFreeAdamW", **settings), path("AdamEpsilonHat", **settings))


@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])
def test_schedule_free_averages_z_with_the_weights(name):
    run, weights, visited = Run(name, lr=0.1, r=1.0, weight_lr_power=0.0), [], []
    for t, g in enumerate(GRADS, 1):
        run.step(g)
        weights.append(t)
        visited.append(run.state["z"].copy())
        agree(run.state["x"], np.average(visited, axis=0, weights=weights), 1e-11)


@needs("LAMB")
def test_lamb_with_ratio_1_is_adamw():
    """LAMB moves by lr·‖p‖·u/‖u‖ and AdamW by lr·u: a learning rate of lr·‖u‖/‖p‖ undoes the ratio."""
    settings = {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    lamb, adamw = Run("LAMB", **settings), Run("AdamW", lr=0.01, **settings)
    for g in GRADS:
        before = adamw.values
        after = adamw.step(g)
        agree(lamb.step(g, lr=np.linalg.norm(after - before) / np.linalg.norm(before)), after, 1e-11)


@needs("LAMB")
def test_lambs_move_is_lr_of_the_parameters_norm():
    run = Run("LAMB", lr=0.02, weight_decay=0.1)
    for g in GRADS:
        before = run.values
        assert np.linalg.norm(run.step(g) - before) == pytest.approx(0.02 * np.linalg.norm(before))


@needs("LARS")
def test_lars_without_momentum_moves_by_its_trust():
    run = Run("LARS", lr=0.5, momentum=0.0, trust_coefficient=0.1)
    for g in GRADS:
        before = run.values
        assert np.linalg.norm(run.step(g) - before) == pytest.approx(0.05 * np.linalg.norm(before))


@needs("Nesterov")
def test_nesterovs_look_ahead_points_are_the_path_of_sgd():
    sgd = Run("SGD", lr=0.1, momentum=0.9, nesterov=True)
    p = mg.tensor(P0, dtype="float64", requires_grad=True)
    original = optim.Nesterov([p], lr=0.1, momentum=0.9)
    asked = []

    def closure():
        asked.append(p.numpy().copy())
        p.grad = mg.Tensor(CURVATURE * asked[-1])
        return 0.0

    for _ in range(STEPS):
        expected = sgd.values
        original.step(closure)
        agree(asked[-1], expected)
        sgd.step(CURVATURE * expected)


@needs("Prodigy")
def test_prodigy_that_cannot_grow_is_epsilon_hat_with_step_d():
    prodigy = path("Prodigy", d0=0.01, d_coef=1e-9, use_bias_correction=True, eps=1e-3)
    agree(prodigy, path("AdamEpsilonHat", lr=0.01, eps=1e-3))


@needs("Muon")
def test_muons_move_does_not_see_the_scale_of_the_gradient():
    p0, grads = P0.reshape(2, 3), [g.reshape(2, 3) for g in GRADS]
    agree(path("Muon", p0, grads, eps=1e-30), path("Muon", p0, [1e5 * g for g in grads], eps=1e-30), 1e-9)


@needs("Adafactor")
def test_adafactor_of_a_matrix_of_rank_1_is_the_one_of_its_elements():
    """Squares that are a product of rows and columns are what the factored estimate gets exactly."""
    rows, columns = np.abs(P0[:2])[:, None], np.abs(P0[2:5])
    p0, grads = np.ones((2, 3)), [rows * columns * 1.5**t for t in range(5)]
    factored = path("Adafactor", p0, grads, lr=0.1)
    vector = path("Adafactor", p0.ravel(), [g.ravel() for g in grads], lr=0.1)
    agree(factored.reshape(vector.shape), vector, 1e-11)
