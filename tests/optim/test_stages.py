"""Several formulas that make one step: their plans, their constants, and what two of `optim` do with them."""

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from optim.elementwise import ElementwiseOptimizer
from optim.formula import Scalar, Stages, execution, formula, latex, source

from .test_bits import bits, whole_path
from .variants import ALGORITHMS

EXECUTIONS = ["eager", "blocked", "numba"]
SEVERAL = [name for name, cls in ALGORITHMS.items() if isinstance(cls.formula, Stages)]
SHARING = [name for name in SEVERAL if ALGORITHMS[name].scratch_shapes is not ElementwiseOptimizer.scratch_shapes]


@formula
def averaged(m, g, *, beta, t):
    m = beta * m + (1 - beta) * g if t > 1 else 1 * g
    return m


@formula
def normed(p, m, size: Scalar, *, lr, weight_decay):
    if weight_decay:
        p = p - weight_decay * p
    p = p - lr / 2 * m / size
    return p


class Normed(ElementwiseOptimizer):
    """p ← p - lr/2·m/Σ|m|."""

    formula = Stages(("m",), averaged, normed)
    state_keys = {"m": "momentum_buffer"}
    reduces = True

    def __init__(self, params, lr=0.5, beta=0.25, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "beta": beta, "weight_decay": weight_decay})

    def scratch_shapes(self, shape):
        return [(1,)]

    def update(self, binding, g, constants, settings):
        m, size = binding.flats
        binding.run(averaged, constants, m, g)
        size[...] = np.absolute(m).sum()
        binding.run(normed, constants, binding.flat, m, size)


def stepped(name, gradients, **settings):
    p = nn.Parameter(np.array([1.0, -2.0, 3.0]))
    optimizer = Normed([p], **settings)
    with execution(name):
        for g in gradients:
            p.grad = mg.Tensor(np.array(g))
            optimizer.step()
    return p.numpy()


@pytest.mark.parametrize("name", EXECUTIONS)
def test_each_takes_its_hyperparameters(name):
    ours = stepped(name, [[1.0, 1.0, 2.0], [1.0, -3.0, 2.0]], weight_decay=0.5)
    p = np.array([1.0, -2.0, 3.0]) / 2 - np.array([1.0, 1.0, 2.0]) / 16
    m = 0.25 * np.array([1.0, 1.0, 2.0]) + 0.75 * np.array([1.0, -3.0, 2.0])
    np.testing.assert_allclose(ours, p / 2 - m / np.abs(m).sum() / 4, rtol=1e-14)


def test_their_hyperparameters_are_those_of_all_and_t_comes_last():
    assert Normed.formula.hyperparameters == ("beta", "lr", "weight_decay", "t")
    assert Normed.formula.counted


def test_a_guard_of_any_of_them_asks_for_another_plan():
    stages, values = Normed.formula, (0.25, 0.5, 0.0, 2)
    plan, constants = stages.plan(values)
    assert constants == (0.25, 0.75, 0.25)
    assert stages.plan((0.5, 0.5, 0.0, 3)) == (plan, (0.5, 0.5, 0.25))
    for others in ((0.25, 0.5, 0.0, 1), (0.25, 0.5, 0.1, 2)):
        assert plan.constants(*others) is None
        assert stages.plan(others)[0] is not plan
    assert stages.plan(values)[0] is plan


def test_their_text_is_that_of_one_after_the_other():
    assert latex(Normed).splitlines() == [
        r"\begin{aligned}",
        r"m &\leftarrow \beta \, m + (1 - \beta) g \\",
        r"\theta &\leftarrow \theta - \frac{\gamma}{2} \, \frac{m}{\mathit{size}}",
        r"\end{aligned}",
    ]
    for name, first, second in [
        ("eager", "def averaged(m, g, *, beta, t):", "def normed(p, m, size: Scalar, *, lr, weight_decay):"),
        ("blocked", "def averaged(m, g, _constants, _scratch):", "def normed(p, m, size, _constants, _scratch):"),
        ("numba", "def averaged(m, g, _constants):", "def normed(p, m, size, _constants):"),
        ("cuda", ") averaged_kernel(const Group _group)", ") normed_kernel(const Group _group)"),
    ]:
        text = source(Normed, name)
        assert 0 < text.index(first) + 1 < text.index(second)
    with pytest.raises(ValueError, match="source: expected one of eager, blocked, numba, cuda, got 'c'"):
        source(Normed, "c")


@formula
def renumbered(p, g, *, lr, mu):
    p = p - lr * g
    mu = mu / 2
    return p, mu


def test_they_are_no_function():
    with pytest.raises(TypeError, match=r"^formula normed: a step is averaged and normed with array code between them"):
        Normed.formula(np.zeros(1), np.zeros(1))


def test_they_say_what_they_are():
    assert repr(Normed.formula) == "formula normed(p, g, m)"
    assert repr(averaged) == "formula averaged(m, g)"
    assert repr(optim.Adam.formula) == "formula adam(p, g, m, v, v_max)"


def test_a_number_of_the_state_is_refused():
    members = {"formula": Stages((), renumbered), "numbers": ("mu",), "reduces": True}
    p = nn.Parameter(np.ones(2))
    p.grad = np.ones(2)
    optimizer = type("Own", (ElementwiseOptimizer,), members)([p], {"lr": 0.1})
    with pytest.raises(TypeError, match="formula renumbered: returns mu, which stages can't keep"):
        optimizer.step()
    assert p.tolist() == [1.0, 1.0]
    assert not optimizer.state


# --- in optim


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("name", SEVERAL)
def test_a_whole_step_has_the_same_bits_in_numba(name, special, dtype):
    for chosen in ({}, {"weight_decay": 0.1, "lr": 0.3}):
        ours, eagers = (whole_path(name, execution, chosen, dtype, special, 0) for execution in ("numba", "eager"))
        for a, b in zip(ours, eagers, strict=True):
            for key in a:
                assert (a[key] == b[key] if not a[key].ndim else bits(a[key]) == bits(b[key])).all(), key


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (35, 35)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_muons_products_are_the_same_for_large_matrices(monkeypatch, shape, dtype):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=shape).astype(dtype), rng.normal(size=(3, *shape)).astype(dtype)
    found = []
    for large in (1, 10_000):
        monkeypatch.setattr("optim.muon.LARGE", large)
        p = nn.Parameter(start.copy())
        optimizer = optim.Muon([p], lr=0.1)
        for g in gradients:
            p.grad = mg.Tensor(g)
            optimizer.step()
        found.append(p.numpy())
    np.testing.assert_allclose(*found, rtol=1e-3 if dtype == np.float32 else 1e-11, atol=1e-5)


@pytest.mark.parametrize("name", SHARING)
def test_work_space_grows_for_a_larger_parameter_and_is_no_part_of_a_copy(name):
    rng = np.random.default_rng(0)
    params = [nn.Parameter(rng.normal(size=shape)) for shape in ((3, 2), (30, 20), (4, 5))]
    optimizer = getattr(optim, name)(params[:1])
    others = [nn.Parameter(p.numpy().copy()) for p in params]
    apart = [getattr(optim, name)([q]) for q in others]
    for _ in range(3):
        for p, q in zip(params, others, strict=True):
            p.grad = q.grad = rng.normal(size=p.shape)
        optimizer.step()
        for one in apart[: len(optimizer.param_groups)]:
            one.step()
        if len(optimizer.param_groups) < 3:
            optimizer.add_param_group({"params": params[len(optimizer.param_groups)]})
    for p, q in zip(params, others, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert "_scratch" not in optimizer.__getstate__()
