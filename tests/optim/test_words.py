"""LaTeX of every elementwise algorithm against what is stored; `python -m tests.optim.test_words` stores it anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import minigrad as mg
import optim
from optim.formula import formula, latex, maximum, minimum, sqrt, where
from optim.formula.words import symbol

from .variants import ALGORITHMS, variants

FOLDER = Path(__file__).with_name("latex")
DECAY = {"weight_decay": 0.1}
DECOUPLED = {**DECAY, "decoupled_weight_decay": True}
SHOWN = {
    "SGD": [{"momentum": 0.9}, {"momentum": 0.9, "first": True}, {"momentum": 0.9, "nesterov": True, **DECAY}],
    "Adafactor": [DECAY],
    "Adam": [{"amsgrad": True}, DECAY, DECOUPLED, {"maximize": True}],
    "AdamEpsilonHat": [{"amsgrad": True}],
    "AdaBelief": [{"amsgrad": True}, DECAY],
    "Adan": [{"first": True, "t": 1}, DECAY, {"no_prox": True, **DECAY}],
    "ASGD": [{"t0": 0}],
    "Lion": [DECAY],
    "Muon": [{"nesterov": False}],
    "NAdam": [DECOUPLED],
    "Prodigy": [{"use_bias_correction": True}],
    "RAdam": [{"t": 1}],
    "RMSprop": [{"momentum": 0.9}, {"centered": True}],
    "ScheduleFreeAdamW": [{"warmup_steps": 5000, **DECAY}, {"lr_max": 1.0}],
    "ScheduleFreeSGD": [{"warmup_steps": 5000, **DECAY}],
    "Yogi": [{"bias_correction": True}],
}
"""Beside the default settings of every algorithm."""


def stored(name):
    """What belongs into an algorithm's file."""
    parts = []
    for settings in [{}, *SHOWN.get(name, [])]:
        title = ", ".join(f"{key}={value}" for key, value in settings.items())
        parts.append(f"% {name}({title})\n{latex(ALGORITHMS[name], **settings)}")
    return "\n".join(parts)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_stored_latex(name):
    assert stored(name) == (FOLDER / f"{name.lower()}.tex").read_text()


def test_nothing_else_is_stored():
    assert {path.stem for path in FOLDER.glob("*.tex")} == {name.lower() for name in ALGORITHMS}


def test_every_plan_can_be_written_down_and_its_brackets_match():
    for variant in variants():
        text = latex(variant.plan)
        assert text.count("{") == text.count("}") and text.count("(") == text.count(")"), variant.name
        assert not re.search(r"_c\d|_s\d", text), variant.name


@pytest.mark.parametrize(
    ("name", "settings"), [("ASGD", {"t0": 2}), ("ScheduleFreeSGD", {"warmup_steps": 3}), ("ScheduleFreeSGD", {})]
)
def test_a_later_step_is_shown_with_the_numbers_that_it_has(name, settings):
    p = mg.tensor([1.0], requires_grad=True)
    optimizer = getattr(optim, name)([p], **settings)
    for t in range(2, 8):
        p.grad = mg.tensor([0.5])
        optimizer.step()
        for key, value in optimizer.numbers_before(optimizer.param_groups[0], t).items():
            assert value == pytest.approx(optimizer.state[p][key], rel=1e-12), (t, key)


def test_what_is_computed_beside_the_formulas_stands_last():
    for name, cls in ALGORITHMS.items():
        lines = latex(cls).splitlines()
        beside = [line for line in lines if line.startswith(r"&\text{with }")]
        assert beside == lines[-2:-1] if cls.between_latex else not beside, name
        assert cls.between_latex or (not cls.scratch and not cls.reduces), name


@formula
def parts_of_numbers(p, g, *, lr, t):
    p = p - (lr * (t % 3)) * g - t // 2 * g - maximum(lr, 0.5) * g
    return p


def test_functions_of_numbers():
    assert one_line(parts_of_numbers, lr=0.25, t=3) == (
        r"\theta - \gamma (t \bmod 3) g - \left\lfloor \frac{t}{2} \right\rfloor \, g - \max(\gamma, 0.5) g"
    )


def one_line(function, **hyperparameters):
    """The right side of the last equation."""
    plan, _ = function.plan(tuple(hyperparameters.values()))
    return latex(plan).splitlines()[-2].partition("&\\leftarrow ")[2]


@formula
def sums(p, g, *, lr):
    p = p - (g - (lr - p)) + (g + lr)
    return p


@formula
def products(p, g, *, lr):
    p = (p + g) * (p + g) / (2 * g) * -lr / p
    return p


@formula
def signs(p, g, *, lr):
    p = -(p + g) - -g * lr + (-p) ** 2
    return p


@formula
def powers(p, g, v_max, *, lr, t):
    p = (p * g) ** 2 + v_max**2 * (1 - lr) ** (t - 1) + sqrt(p) ** 2 + (1 / lr) ** 2 * g
    return p


@formula
def choices(p, g, *, eta1):
    p = g * where(p <= 1e-3, minimum(p, g), where(p > 1, maximum(p, eta1), abs(g)))
    return p


@formula
def overwritten(p, g, m, *, lr):
    old = m
    m = m + g
    twice = 2 * m
    m = m * old
    p = twice + m * old
    return p, m


def test_brackets_stand_where_they_are_needed():
    assert one_line(sums, lr=0.1) == r"\theta - (g - (\gamma - \theta)) + g + \gamma"
    assert one_line(products, lr=0.1) == r"\frac{(\theta + g)^2}{2 \, g} \, \frac{-\gamma}{\theta}"
    assert one_line(signs, lr=0.1) == r"-(\theta + g) - (-g) \gamma + (-\theta)^2"


def test_powers():
    wanted = (
        r"(\theta \, g)^2 + (v^{\max})^2 (1 - \gamma)^{t - 1} + \sqrt{\theta}^2 + \left(\frac{1}{\gamma}\right)^2 \, g"
    )
    assert one_line(powers, lr=0.1, t=3) == wanted


def test_nested_choices_are_one_list_of_cases():
    cases = (
        r"\min(\theta, g) & \text{if } \theta \le 0.001",
        r"\max(\theta, \eta^-) & \text{if } \theta > 1",
        r"\left|g\right| & \text{otherwise}",
    )
    assert one_line(choices, eta1=0.5) == r"g (\begin{cases} " + r" \\ ".join(cases) + r" \end{cases})"


def test_what_was_overwritten_is_written_out_or_is_the_last_step_s():
    plan, _ = overwritten.plan((0.1,))
    assert latex(plan).splitlines()[1:-1] == [
        r"m &\leftarrow m + g \\",
        r"\mathit{twice} &= 2 \, m \\",
        r"m &\leftarrow m \, m_{t-1} \\",
        r"\theta &\leftarrow \mathit{twice} + m \, m_{t-1}",
    ]


@formula
def reassigned(p, g, *, lr, weight_decay, t):
    u = lr * g
    u = where(u > 1, 1.0, u)
    u = u + p
    if t > 1:
        lr = lr / t
    if not weight_decay:
        weight_decay = 0.5
    p = p - lr * u * weight_decay
    return p


def test_an_arrow_where_a_name_stood_for_something_else():
    plan, _ = reassigned.plan((0.1, None, 3))
    assert latex(plan).splitlines()[1:-1] == [
        r"u &= \gamma \, g \\",
        r"u &\leftarrow \begin{cases} 1 & \text{if } u > 1 \\ u & \text{otherwise} \end{cases} \\",
        r"u &\leftarrow u + \theta \\",
        r"\gamma &\leftarrow \frac{\gamma}{t} \\",
        r"\theta &\leftarrow \theta - \gamma \, u \cdot 0.5",
    ]


def test_symbols():
    names = {"beta1": r"\beta_1", "v_hat": r"\hat v", "g_prev": "g_{t-1}", "t0": "t_0", "rho_inf": r"\rho_\infty"}
    names |= {"lr_decay": r"\mathit{lr\_decay}", "v_max": r"v^{\max}", "mu_next": r"\mu_{t+1}", "g_avg": r"\bar g"}
    assert {name: symbol(name) for name in names} == names


WORDS = {"agreement", "ahead", "lr_decay", "surprise", "travelled", "trust_coefficient", "warmup_steps"}
WORDS |= {"weight_lr_power"}
"""Names that stand as words in LaTeX too."""


def test_every_name_of_a_formula_has_a_symbol_or_is_meant_as_a_word():
    names = {name for v in variants() for name in (*v.formula.arrays, *v.formula.hyperparameters, *dict(v.plan.notes))}
    flags = {h for v in variants() for h, x in zip(v.formula.hyperparameters, v.values, strict=True) if type(x) is bool}
    assert {name for name in names - flags if r"\mathit" in symbol(name)} == WORDS


def test_what_has_no_formula():
    with pytest.raises(TypeError, match="formula"):
        latex(optim.Optimizer)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in ALGORITHMS:
        (FOLDER / f"{name.lower()}.tex").write_text(stored(name))
