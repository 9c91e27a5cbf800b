"""Formulas: what they may not contain, when they are traced again, and what their plans do."""

import importlib
import keyword
import math
import re
import sys
import traceback
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from optim.adam import adam
from optim.formula import (
    Formula,
    Scalar,
    absolute,
    blocked,
    compiled,
    cuda,
    execution,
    maximum,
    minimum,
    sign,
    sqrt,
    where,
)  # fmt: skip
from optim.formula.executions import executor
from optim.sgd import sgd

from .variants import variants

EXECUTIONS = ["eager", "blocked", "numba"]
executions = pytest.mark.parametrize("name", EXECUTIONS)


def formula(function):
    """A formula whose text is read at once, as its first use would."""
    made = Formula(function)
    assert made.returns
    return made


def run(algorithm, name, *arrays, **hyperparameters):
    """Copies of the arrays after the formula ran on them."""
    arrays = [np.array(a, np.float64) for a in arrays]
    values = tuple(hyperparameters[h] for h in algorithm.hyperparameters)
    with execution(name):
        plan, constants = algorithm.plan(values)
        kernel, prepare = executor(algorithm, plan, arrays[0])
    given = dict(zip(algorithm.arrays, arrays, strict=True))
    kernel(*(given[a] for a in plan.arrays), prepare(values, constants))
    return arrays


def traced(algorithm, **hyperparameters):
    return algorithm.plan(tuple(hyperparameters[h] for h in algorithm.hyperparameters))[0]


def refused(words, kind=TypeError):
    return pytest.raises(kind, match=words)


# --- what is refused when a formula is first used


def test_an_assignment_in_place():
    with refused(r"formula f, line \d+.*\+="):

        @formula
        def f(p, g, *, lr):
            p += lr * g
            return p


def test_a_hidden_assignment():
    with refused(r"formula f, line \d+.*`:=` hides a step"):

        @formula
        def f(p, g, m, *, lr):
            p = p - lr * (m := m + g)
            return p

    with refused(r"formula f, line \d+.*no annotation"):

        @formula
        def f(p, g, m, *, lr):
            m: float = m + g
            p = p - lr * m
            return p


def test_a_returned_expression():
    with refused(r"formula f, line \d+.*return names"):

        @formula
        def f(p, g, *, lr):
            return p - lr * g


def test_a_return_without_a_value():
    with refused("formula f.*return"):

        @formula
        def f(p, g, *, lr):
            p = p - lr * g
            return


def test_no_return():
    with refused("formula f: it must return"):

        @formula
        def f(p, g, *, lr):
            p = p - lr * g


def test_different_returns():
    with refused("formula f.*elsewhere"):

        @formula
        def f(p, g, m, *, lr):
            if lr:
                return p, m
            return p


def test_several_names_at_once():
    for define in (several_targets, unpacking):
        with refused(r"formula f, line \d+.*one name at a time"):
            define()


def several_targets():
    @formula
    def f(p, g, m, *, lr):
        p = m = g
        return p, m


def unpacking():
    @formula
    def f(p, g, m, *, lr):
        p, m = m, p
        return p, m


def test_returning_what_was_not_given():
    with refused("formula f: returns .*step"):

        @formula
        def f(p, g, *, lr):
            step = lr * g
            p = p - step
            return p, step


def test_a_lambda():
    with pytest.raises(TypeError, match="formula"):
        formula(lambda p, g: p)


# --- what is refused when a formula is traced


@formula
def branches_on_elements(p, g, *, lr):
    if g > 0:
        p = p - lr * g
    return p


@formula
def branches_on_equality(p, g, *, lr):
    if g == 0:
        p = p - lr * g
    return p


@formula
def branches_on_inequality(p, g, *, lr):
    if g != 0:
        p = p - lr * g
    return p


@formula
def branches_on_an_array(p, g, *, lr):
    if g:
        p = p - lr * g
    return p


@formula
def loops_on_elements(p, g, *, lr):
    while g < 1:
        g = g + 1
    p = p - lr * g
    return p


@formula
def takes_a_number_of_a_setting(p, g, *, lr):
    p = p - float(lr) * g
    return p


@formula
def rounds_a_setting(p, g, *, lr):
    p = p - int(lr) * g
    return p


@formula
def takes_a_root_by_math(p, g, *, lr):
    p = p - math.sqrt(lr) * g
    return p


@formula
def takes_a_power_by_math(p, g, *, lr):
    p = p - math.pow(lr, 2) * g
    return p


@formula
def takes_a_root_by_numpy(p, g, *, lr):
    p = p - np.sqrt(lr) * g
    return p


@formula
def takes_a_root_of_an_array_by_numpy(p, g, *, lr):
    p = p - lr * np.sqrt(g)
    return p


@formula
def takes_a_maximum_by_numpy(p, g, *, lr):
    p = np.maximum(p, g)
    return p


@formula
def takes_pythons_maximum(p, g, *, lr):
    p = max(p, g)
    return p


@formula
def cubes(p, g, *, lr):
    p = p - lr * g**3
    return p


@formula
def takes_a_power_of_a_setting(p, g, *, lr):
    p = p - g**lr
    return p


@formula
def takes_a_power_of_an_array(p, g, *, lr):
    p = p - lr**g
    return p


@formula
def sums(p, g, *, lr):
    p = p - lr * g.sum()
    return p


@formula
def indexes(p, g, *, lr):
    p = p - lr * g[0]
    return p


@formula
def multiplies_conditions(p, g, *, lr):
    p = (g > 0) * p
    return p


@formula
def adds_conditions(p, g, *, lr):
    p = ((g > 0) + (p > 0)) * p
    return p


@formula
def stores_a_condition(p, g, *, lr):
    p = g > 0
    return p


@formula
def chooses_by_a_number(p, g, *, lr):
    p = where(g, p, g)
    return p


@formula
def chooses_by_a_setting(p, g, *, lr):
    p = where(lr > 0, p, g)
    return p


@formula  # noqa: RET503
def forgets_to_return(p, g, *, lr):
    if lr > 100:
        return p
    p = p - lr * g


@formula
def uses_a_string(p, g, *, lr):
    p = p - "lr" * g
    return p


@pytest.mark.parametrize(
    "algorithm",
    [
        branches_on_elements, branches_on_equality, branches_on_inequality, branches_on_an_array, loops_on_elements,
        takes_a_number_of_a_setting, rounds_a_setting, takes_a_root_by_math, takes_a_power_by_math,
        takes_a_root_by_numpy, takes_a_root_of_an_array_by_numpy, takes_a_maximum_by_numpy, takes_pythons_maximum,
        cubes, takes_a_power_of_a_setting, takes_a_power_of_an_array, sums, indexes, multiplies_conditions,
        adds_conditions, stores_a_condition, chooses_by_a_number, chooses_by_a_setting, forgets_to_return,
        uses_a_string,
    ],
    ids=lambda algorithm: algorithm.name,
)  # fmt: skip
def test_what_a_formula_may_not_do(algorithm):
    with pytest.raises(TypeError):
        traced(algorithm, lr=0.5)


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (branches_on_elements, r"where\(condition, a, b\)"),
        (branches_on_an_array, r"where\(condition, a, b\)"),
        (takes_a_number_of_a_setting, r"float\(lr\).*freeze"),
        (takes_a_root_by_math, "lr.*freeze"),
        (cubes, "power 2 only.*3"),
        (chooses_by_a_setting, "if"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_reason_is_said(algorithm, words):
    with refused(words):
        traced(algorithm, lr=0.5)


REFUSALS = {
    "p - lr * (g @ g)": "f: can't record @; arrays have",
    "p - lr * (2 @ g)": "f: can't record @; arrays have",
    "p - lr * (g % 2)": "f: can't record %; arrays have",
    "p - lr * (2 // g)": "f: can't record //; arrays have",
    "p - lr * divmod(g, 2)": "f: can't record //; arrays have",
    "p - lr * 2**g": "f: can't record a power with an array as the exponent; arrays have",
    "p - lr**g": "f: can't record a power with an array as the exponent; arrays have",
    "p - lr * round(g)": r"f: can't record round\(\); arrays have",
    "p - lr * (g << 1)": "f: can't record a shift; arrays have",
    "p - lr * g[0]": "f: works element by element; .*several formulas",
    "p - lr * sum(g)": "f: works element by element; .*several formulas",
    "p - lr * len(g)": "f: works element by element; .*several formulas",
    "where((g > 0) & (p > 0), p, g)": "f: conditions .* nest them",
    "where(~(g > 0), p, g)": "f: conditions .* nest them",
    "p - round(lr) * g": r"f: can't record round\(\); hyperparameters have",
    "p - (lr @ 2) * g": "f: can't record @; hyperparameters have",
    "p - (lr & 1) * g": "f: can't record & .*; hyperparameters have",
    "p - lr[0] * g": "f: can't record taking a part; hyperparameters have",
    "p - sum(lr) * g": "f: can't record taking a part; hyperparameters have",
    "p - lr.real * g": r"f: works element by element.*\.real",
    "p - lr * 'a' * g": r"f: `\*` takes arrays and numbers, got a str \('a'\)",
    "p - (None - lr) * g": r"f: `-` takes arrays and numbers, got a NoneType \(None\)",
    "where(lr > 0, p, g)": "f: where chooses by elements of arrays",
    "where(True, p, g)": "f: where chooses by elements of arrays",
}
"""The right side of `p = ...`, and what is said of it."""


def formula_of(line, tmp_path, monkeypatch, parameters="p, g, *, lr"):
    """A formula f with this right side of `p = ...`, in a file of its own."""
    imports = "from optim.formula import absolute, formula, lerp, maximum, minimum, sign, sqrt, where"
    (tmp_path / "one_formula.py").write_text(
        f"{imports}\n\n@formula\ndef f({parameters}):\n    p = {line}\n    return p\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "one_formula", raising=False)
    importlib.invalidate_caches()
    return importlib.import_module("one_formula").f


@pytest.mark.parametrize("line", REFUSALS)
def test_what_is_no_word_is_refused_with_what_to_use(line, tmp_path, monkeypatch):
    with refused(f"formula {REFUSALS[line]}"):
        traced(formula_of(line, tmp_path, monkeypatch), lr=0.5)


NUMBERS = {
    "sign(lr)": lambda lr, t: (lr > 0) - (lr < 0),
    "maximum(lr, 0.1)": lambda lr, t: max(lr, 0.1),
    "minimum(1.0, lr)": lambda lr, t: min(1.0, lr),
    "maximum(lr, t)": lambda lr, t: max(lr, t),
    "absolute(lr)": lambda lr, t: abs(lr),
    "lerp(lr, 2.0, 0.25)": lambda lr, t: lr + 0.25 * (2.0 - lr),
    "t % 3": lambda lr, t: t % 3,
    "t // 3": lambda lr, t: t // 3,
    "7 % t": lambda lr, t: 7 % t,
    "7 // t": lambda lr, t: 7 // t,
    "lr % 0.3": lambda lr, t: lr % 0.3,
    "lr // 0.3": lambda lr, t: lr // 0.3,
}


@pytest.mark.parametrize("name", EXECUTIONS)
@pytest.mark.parametrize("text", NUMBERS)
def test_functions_of_numbers_are_computed_on_the_host_in_float64(text, name, tmp_path, monkeypatch):
    algorithm = formula_of(f"p - {text} * g", tmp_path, monkeypatch, "p, g, *, lr, t")
    g = np.array([1.0, -3.0], np.float32)
    for lr, t in ((0.7, 1), (-1.3, 4), (0.0, 5), (1e-30, 7)):
        values = lr, t
        p = np.array([1 / 3, 2.0], np.float32)
        with execution(name):
            plan, constants = algorithm.plan(values)
            kernel, prepare = executor(algorithm, plan, p)
        expected = p - NUMBERS[text](lr, t) * g
        kernel(p, g, prepare(values, constants))
        assert p.dtype == np.float32 and p.tobytes() == expected.tobytes(), (lr, t)


def test_functions_of_numbers_that_are_not_finite():
    assert math.isnan(maximum(math.nan, 1.0)) and math.isnan(minimum(math.nan, 1.0))
    assert (maximum(math.inf, 1.0), minimum(-math.inf, 1.0), sign(math.nan), sign(-math.inf)) == (
        math.inf, -math.inf, 0, -1
    )  # fmt: skip


def test_functions_of_numbers_keep_pythons_type():
    """An array of shape () in float64 would turn float32 parameters into float64."""
    assert [type(x) for x in (maximum(0.5, 0.1), minimum(2, 1), sign(-0.5))] == [float, int, int]


def test_a_quotient_of_numbers_by_zero_raises_before_anything_changed(tmp_path, monkeypatch):
    algorithm = formula_of("p - t % lr * g", tmp_path, monkeypatch, "p, g, *, lr, t")
    with pytest.raises(ZeroDivisionError):
        algorithm.plan((0.0, 1))


# --- names


IDENTIFIER = re.compile(r"(?<![.\w])[A-Za-z]\w*")


def identifiers(plan):
    """The names that generated code has beside those of the formula, but for members of a struct and directives."""
    own = {*plan.arrays, *(f"{a}_" for a in plan.arrays), *(f"{a}_of" for a in plan.arrays)}
    kernel = cuda.source(plan, np.float32)
    texts = [blocked.source(plan)[0], compiled.source(plan), cuda.c_source(plan, np.float32)]
    texts += [cuda.source(plan, np.float64).partition("struct")[0], "struct Group" + kernel.partition("};")[2]]
    lines = [re.sub(r"//.*|'\w*'|\"\w*\"", "", line) for text in texts for line in text.splitlines()]
    found = {name for line in lines if not line.lstrip().startswith("#") for name in IDENTIFIER.findall(line)}
    defined = {name for line in lines if line.startswith("#define") for name in IDENTIFIER.findall(line)[1:]}
    return (found | defined) - own - {plan.name, cuda.name_of(plan)} - set(keyword.kwlist)


def test_no_array_can_have_a_name_of_the_code_that_is_made():
    names = set().union(*(identifiers(variant.plan) for variant in variants()))
    assert {"multiply", "copyto", "real", "zero", "T", "SQRT", "threadIdx", "long", "range"} <= names
    for name in sorted(names | {"short", "square", "_c0", "_i", "__global__"}):
        with refused(f"formula f: {name} is a name that the code"):
            Formula(function_of("f", ["p", "g", name]))


def function_of(name, arrays, hyperparameters=("lr",)):
    scope = {}
    exec(f"def {name}({', '.join(arrays)}, *, {', '.join(hyperparameters)}):\n    pass\n", scope)
    return scope[name]


@pytest.mark.parametrize("names", [("p", "g", "p_"), ("p", "g", "m", "m_of"), ("p", "g", "m_", "m")])
def test_no_array_can_have_the_name_of_anothers_element(names):
    with refused("formula f: (p_|m_|m_of) is a name that the code"):
        Formula(function_of("f", names))


@pytest.mark.parametrize("name", ["_c0", "sqrt", "inf", "nan", "bool", "abs", "maximum"])
def test_no_hyperparameter_can_have_a_name_of_the_hosts_part(name):
    with refused(f"formula f: {name} is a name that the code"):
        Formula(function_of("f", ["p", "g"], [name]))


@formula
def add(p, g, v_, of, *, lambda_, long):
    v_ = v_ * v_ + g
    p = p + v_ * lambda_ * long + of
    return p, v_


@formula
def multiply(p, g, v_, of, *, lambda_, long):
    v_ = v_ * v_ + g
    p = p + v_ * lambda_ * long + of
    return p, v_


@formula
def exp(p, g, v_, of, *, lambda_, long):
    v_ = v_ * v_ + g
    p = p + v_ * lambda_ * long + of
    return p, v_


@executions
@pytest.mark.parametrize("algorithm", [add, multiply, exp], ids=lambda algorithm: algorithm.name)
def test_a_formula_may_be_called_as_a_function_that_it_uses(algorithm, name):
    p, _, v, _ = run(algorithm, name, [1.0], [2.0], [3.0], [4.0], lambda_=0.5, long=2.0)
    assert (p.tolist(), v.tolist()) == ([16.0], [11.0])


def test_an_error_inside_a_formula_points_to_its_line():
    with pytest.raises(TypeError) as caught:
        traced(cubes, lr=0.5)
    frame = next(f for f in traceback.extract_tb(caught.tb) if f.name == "cubes")
    assert frame.filename == __file__
    assert frame.line == "p = p - lr * g**3"


def test_the_untouched_function_runs_on_arrays_and_on_tensors():
    p = np.array([1.0, 2.0])
    (eager,) = sgd_like(p, np.ones(2), lr=0.5)
    np.testing.assert_array_equal(eager, [0.5, 1.5])
    x = mg.tensor(p, requires_grad=True)
    (recorded,) = sgd_like(x, x * x, lr=0.5)
    recorded.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 1 - p)


# --- guards


@formula
def sgd_like(p, g, *, lr):
    p = p - lr * g
    return p


@formula
def with_decay(p, g, *, lr, weight_decay):
    if weight_decay:
        g = g + weight_decay * p
    p = p - lr * g
    return p


@formula
def with_thresholds(p, g, *, lr, t):
    if 2 < t <= 4:
        g = 10 * g
    elif t > 4 and not lr > 0.5:
        g = 100 * g
    p = p - lr * g
    return p


@executions
def test_a_setting_that_becomes_nonzero_is_traced_again(name):
    for weight_decay, wanted in [(0.0, 0.5), (0.5, 0.25), (0.0, 0.5), (1.0, 0.0), (0, 0.5)]:
        (p, _) = run(with_decay, name, [1.0], [1.0], lr=0.5, weight_decay=weight_decay)
        assert p[0] == wanted


@executions
def test_guards_on_numbers(name):
    for t, lr, factor in [(2, 0.5, 1), (3, 0.5, 10), (4, 0.5, 10), (5, 0.5, 100), (5, 0.75, 1), (2, 0.75, 1)]:
        (p, _) = run(with_thresholds, name, [1.0], [1.0], lr=lr, t=t)
        assert p[0] == 1 - lr * (factor * 1.0)


def test_plans_are_kept_and_shared():
    assert traced(with_decay, lr=0.5, weight_decay=0.0) is traced(with_decay, lr=0.1, weight_decay=0)
    assert traced(with_decay, lr=0.5, weight_decay=0.1) is traced(with_decay, lr=0.1, weight_decay=0.2)
    assert traced(with_decay, lr=0.5, weight_decay=0.1) is not traced(with_decay, lr=0.5, weight_decay=0.0)


# --- plans


def settings_of_adam(**changes):
    return {
        "lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "maximize": False,
        "decoupled_weight_decay": False, "t": 1, **changes,
    }  # fmt: skip


def settings_of_sgd(**changes):
    return {
        "lr": 0.1, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False,
        "first": True, **changes,
    }  # fmt: skip


def test_state_that_the_settings_do_not_use_is_dropped():
    assert traced(adam, **settings_of_adam()).arrays == ("p", "g", "m", "v")
    assert traced(adam, **settings_of_adam(amsgrad=True)).arrays == ("p", "g", "m", "v", "v_max")
    assert traced(sgd, **settings_of_sgd()).arrays == ("p", "g")
    assert traced(sgd, **settings_of_sgd(momentum=0.9)).arrays == ("p", "g", "b")


def test_steps_that_nothing_needs_are_dropped():
    @formula
    def idle(p, g, *, lr):
        unused = sqrt(g) * lr
        unused = unused + 1
        p = p - g
        return p

    assert [step.word for step in traced(idle, lr=0.5).steps] == ["subtract"]


def test_steps_have_the_formulas_names():
    assert list(dict(traced(adam, **settings_of_adam()).notes)) == ["m", "v", "m_hat", "v_hat", "p"]


def test_a_plan_can_be_read():
    assert repr(traced(with_decay, lr=0.5, weight_decay=0.1)).splitlines() == [
        "plan of with_decay(p, g):",
        "    if bool(weight_decay) is not True: return None",
        "    _c0 = weight_decay",
        "    _c1 = lr",
        "    _s0 = multiply(_c0, p)",
        "    _s1 = add(g, _s0)",
        "    _s2 = multiply(_c1, _s1)",
        "    _s3 = subtract(p, _s2)",
        "    p <- _s3",
    ]


def test_generated_text_is_readable():
    plan = traced(adam, **settings_of_adam(amsgrad=True))
    assert "def adam(" in compiled.source(plan)
    assert "def adam(" in blocked.source(plan)[0]


@formula
def scaled(p, g, a: Scalar, b: Scalar, *, lr):
    c = lr * a / b
    if lr > 1:
        c = where(c > 1, c, b)
    p = p - c * maximum(a, b) * g
    return p


@executions
@pytest.mark.parametrize("lr", [0.5, 3.0])
def test_arithmetic_of_single_elements_takes_no_blocks(monkeypatch, name, lr):
    plan = traced(scaled, lr=lr)
    assert "multiply(_c0, a, _one0)\n    true_divide(_one0, b, _one0)" in blocked.source(plan)[0]
    monkeypatch.setattr(blocked, "BLOCK", 8)
    rng = np.random.default_rng(0)
    for size in (0, 1, 8, 21):
        p, g = rng.normal(size=(2, size))
        c = lr * 2.0 / 4.0
        wanted = p - (c if lr < 1 or c > 1 else 4.0) * 4.0 * g
        np.testing.assert_array_equal(run(scaled, name, p, g, [2.0], [4.0], lr=lr)[0], wanted)


@formula
def divides_settings(p, g, *, lr, t):
    p = p - lr / (t - 3) * g
    return p


@formula
def takes_a_root_of_a_setting(p, g, *, lr, t):
    p = p - sqrt(lr - t) * g
    return p


@executions
def test_the_arithmetic_of_settings_raises_before_anything_changed(name):
    for algorithm, kind in ((divides_settings, ZeroDivisionError), (takes_a_root_of_a_setting, ValueError)):
        for settings in ({"lr": 0.5, "t": 3}, {"lr": 4.0, "t": 1}, {"lr": 0.5, "t": 3}):
            p, g = np.ones(3), np.ones(3)
            if settings["t"] == 1:
                run(algorithm, name, p, g, **settings)  # a plan exists from here on
                continue
            with pytest.raises(kind):
                run(algorithm, name, p, g, **settings)


# --- values


@formula
def keeps_the_old_p(p, g, q, *, lr):
    q = p
    p = p - lr * g
    return p, q


@formula
def keeps_the_old_p_first(p, g, q, *, lr):
    old = p
    p = p - lr * g
    q = old
    return q, p


@formula
def swaps(p, g, q, *, lr):
    old = p
    p = q
    q = old
    return p, q


@formula
def rotates(p, g, q, r, *, lr):
    old = p
    p = q
    q = r
    r = old
    return p, q, r


@formula
def one_value_for_two(p, g, q, *, lr):
    p = p - lr * g
    q = p
    return p, q


@formula
def keeps_the_gradient(p, g, q, *, lr):
    p = p - lr * (g - q)
    q = g
    return p, q


@executions
@pytest.mark.parametrize(
    ("algorithm", "wanted"),
    [
        (keeps_the_old_p, {"p": 0.5, "q": 1.0}),
        (keeps_the_old_p_first, {"p": 0.5, "q": 1.0}),
        (swaps, {"p": 7.0, "q": 1.0}),
        (rotates, {"p": 7.0, "q": 9.0, "r": 1.0}),
        (one_value_for_two, {"p": 0.5, "q": 0.5}),
        (keeps_the_gradient, {"p": 4.0, "q": 1.0}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_outputs_that_are_other_arrays_are_right_or_refused(algorithm, wanted, name):
    start = {"p": 1.0, "g": 1.0, "q": 7.0, "r": 9.0}
    try:
        arrays = run(algorithm, name, *([start[a]] * 3 for a in algorithm.arrays), lr=0.5)
    except TypeError as error:
        assert algorithm.name in str(error)
    else:
        after = dict(zip(algorithm.arrays, arrays, strict=True))
        for array, value in wanted.items():
            np.testing.assert_array_equal(after[array], [value] * 3)


@formula
def sets_a_constant(p, g, *, lr):
    p = where(g > 0, 2 * lr, p)
    q = 0.5
    g = q * g
    p = p + g
    return p


@formula
def alternates(p, g, *, lr, t):
    p = p - (-1) ** t * g
    return p


@formula
def alternates_by_a_product(p, g, *, lr, t):
    p = p - (-lr) ** t * g
    return p


@formula
def uses_infinity(p, g, *, lr):
    p = where(g > 0, p, math.inf)
    return p


@formula
def uses_minus_infinity(p, g, *, lr):
    p = maximum(p, -math.inf * lr)
    return p


@formula
def uses_a_nested_power(p, g, *, lr, t):
    p = p - (2.0**t) ** 2 * g - 2.0 ** (-t) * g - (lr - 3) ** 2 * g
    return p


@formula
def compares(p, g, *, lr):
    bigger = where(p >= g, p, g)
    smaller = where(p <= g, p, g)
    p = where(p < 0, bigger, smaller) + where(g > 1, minimum(p, g), maximum(p, absolute(g)))
    return p


@formula
def divides_by_zero_elements(p, g, *, lr):
    p = lr / (g - g) + p / 0.0
    return p


@pytest.mark.parametrize("name", ["blocked", "numba"])
@pytest.mark.parametrize(
    "algorithm",
    [
        sets_a_constant, alternates, alternates_by_a_product, uses_infinity, uses_minus_infinity,
        uses_a_nested_power, compares, divides_by_zero_elements,
    ],
    ids=lambda algorithm: algorithm.name,
)  # fmt: skip
@pytest.mark.parametrize("t", [1, 2, 3])
def test_what_the_formula_says_is_what_runs(algorithm, name, t):
    p, g = [-2.0, -0.0, 1.0, 3.0, math.nan], [2.0, -1.0, math.nan, 0.5, 1.0]
    hyperparameters = {"lr": 0.5, "t": t}
    given = {h: hyperparameters[h] for h in algorithm.hyperparameters}
    with np.errstate(all="ignore"):
        (wanted,) = algorithm(np.array(p), np.array(g), **given)
    np.testing.assert_array_equal(run(algorithm, name, p, g, **given)[0], wanted)


@formula
def reads_a_state_for_the_last_time_in_a_condition(p, g, q, *, lr):
    chosen = where(q > g, g, p)
    q = chosen + g
    p = p - lr * chosen
    return p, q


@formula
def needs_old_values_after_new_ones(p, g, q, r, *, lr):
    d = lr * q
    q = d * q + r
    r = 2 * r * d - q
    p = p - d * r
    return p, q, r


@formula
def reads_a_value_again_while_it_writes(p, g, q, *, lr):
    q = maximum(lr * q, g)
    p = p - q
    return p, q


@pytest.mark.parametrize("name", ["blocked", "numba"])
@pytest.mark.parametrize(
    "algorithm",
    [
        reads_a_state_for_the_last_time_in_a_condition,
        needs_old_values_after_new_ones,
        reads_a_value_again_while_it_writes,
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_memory_of_old_values_is_used_again_only_when_nothing_reads_them(algorithm, name):
    start = list(np.random.default_rng(0).normal(size=(len(algorithm.arrays), 50)))
    given = dict(zip(algorithm.arrays, start, strict=True))
    wanted = given | dict(zip(algorithm.returns, algorithm(*start, lr=0.5), strict=True))
    for array, found in zip(algorithm.arrays, run(algorithm, name, *start, lr=0.5), strict=True):
        np.testing.assert_array_equal(found, wanted[array])


def clipped(x, limit):
    return minimum(maximum(x, -limit), limit)


def test_a_formula_may_call_functions_from_around_it():
    def scaled(x, lr):
        return lr * x

    @formula
    def local(p, g, *, lr):
        p = p - scaled(clipped(g, 0.5), lr) * (math.pi / math.pi)
        return p

    for name in EXECUTIONS:
        assert run(local, name, [1.0], [7.0], lr=1.0)[0][0] == 0.5


FACTOR, SWITCHED_ON = 2, True
ADJUSTED = SimpleNamespace(factor=2)


def scaled_by_a_global(x):
    return FACTOR * x


def reads_a_number(p, g, *, lr):
    p = p - FACTOR * lr * g
    return p


def reads_a_switch(p, g, *, lr):
    if SWITCHED_ON:
        p = p - lr * g
    return p


def reads_an_attribute(p, g, *, lr):
    p = p - ADJUSTED.factor * lr * g
    return p


def reads_a_module(p, g, *, lr):
    p = p - blocked.BLOCK * lr * g
    return p


def calls_what_reads(p, g, *, lr):
    p = p - lr * scaled_by_a_global(g)
    return p


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (reads_a_number, "FACTOR"),
        (reads_a_switch, "SWITCHED_ON"),
        (reads_an_attribute, r"ADJUSTED\.factor"),
        (reads_a_module, r"blocked\.BLOCK"),
        (calls_what_reads, "FACTOR"),
    ],
)
def test_values_from_around_are_refused(function, text):
    """They would stay as they were when the formula was traced, but not in eager execution."""
    with refused(rf"formula {function.__name__}: {text} comes from around it, .* let it be a hyperparameter"):
        formula(function)


def test_a_formula_calls_no_lambda():
    scaled = lambda x: FACTOR * x
    with refused("formula local: <lambda> is not a function written with def"):

        @formula
        def local(p, g, *, lr):
            p = p - lr * scaled(g)
            return p


def test_a_value_of_a_function_around_is_refused():
    factor = 0.5
    with refused("formula local: factor comes from around it"):

        @formula
        def local(p, g, *, lr):
            p = p - factor * lr * g
            return p


def test_settings_that_are_equal_but_of_another_kind_get_their_own_plan():
    """1 is True and 0 is False, but a setting that is a number enters the arithmetic."""
    for value, wanted in [(True, 0.5), (1.0, 0.5), (2.0, 0.0), (False, 1.0), (0.0, 1.0)]:
        p, _ = run(with_decay, "blocked", [1.0], [0.0], lr=0.5, weight_decay=float(value))
        assert p[0] == wanted
