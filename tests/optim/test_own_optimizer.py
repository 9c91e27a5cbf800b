"""An optimizer of one's own as a formula: each mistake is named where the class or the optimizer is made."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import optim
from minigrad.checks import NONNEGATIVE, number
from optim.elementwise import ElementwiseOptimizer
from optim.formula import execution, formula, latex, source, sqrt, where
from optim.formula.trace import FUNCTIONS

ROOT = Path(__file__).parents[2]
EXECUTIONS = ["eager", "blocked", "numba"]
executions = pytest.mark.parametrize("name", EXECUTIONS)


def made(algorithm, keys=(), /, numbers=(), ranges=None, **settings):
    """An optimizer of a class named Own, for one parameter whose gradient is 1."""
    members = {"formula": algorithm, "state_keys": {key: key for key in keys}, "numbers": numbers}
    cls = type("Own", (ElementwiseOptimizer,), members | {"ranges": ranges or {}})
    p = mg.tensor(np.ones(3), requires_grad=True)
    p.grad = mg.tensor(np.ones(3))
    return cls([p], settings)


def refused(words, kind=TypeError):
    return pytest.raises(kind, match=words)


@formula
def plain(p, g, *, lr):
    p = p - lr * g
    return p


@formula
def with_momentum(p, g, m, *, lr, beta1):
    m = beta1 * m + g
    p = p - lr * m
    return p, m


# --- names


def test_a_state_array_without_a_key():
    with refused("formula with_momentum: m has no key in state_keys of Own"):
        made(with_momentum, lr=0.1, beta1=0.9)


def test_a_key_without_an_array():
    with refused("formula plain: has no array m, which Own keeps"):
        made(plain, "m", lr=0.1)


def test_a_forgotten_star():
    @formula
    def f(p, g, lr):
        p = p - lr * g
        return p

    with refused(r"formula f: lr has no key in state_keys of Own; a hyperparameter stands after `\*`"):
        made(f, lr=0.1)


def test_a_forgotten_decorator():
    with refused("Own: formula must be a function under @formula, got <function"):
        made(plain.function, lr=0.1)


def test_a_forgotten_formula():
    class Own(ElementwiseOptimizer):
        pass

    with refused("Own: a class of optimizers needs a formula"):
        Own([mg.tensor([1.0], requires_grad=True)], {})


def test_no_gradient():
    @formula
    def f(p, *, lr):
        p = lr * p
        return p

    with refused(r"formula f: expected p and g before `\*`, got p$"):
        made(f, lr=0.1)


def test_other_names_of_parameter_and_gradient():
    @formula
    def f(x, grad, *, lr):
        x = x - lr * grad
        return x

    with refused(r"formula f: expected p and g before `\*`, got x, grad$"):
        made(f, lr=0.1)


def test_a_hyperparameter_that_is_no_setting():
    @formula
    def f(p, g, *, lr, foo):
        p = p - lr * foo * g
        return p

    with refused("formula f: foo is no setting of Own, which has lr, beta1"):
        made(f, lr=0.1, beta1=0.9)


def test_a_member_that_is_not_there():
    @formula
    def f(p, g, *, lr, beta1, beta2):
        p = p - lr * beta1 * beta2 * g
        return p

    with refused("formula f: beta2 is no setting of Own, which has lr, betas"):
        made(f, lr=0.1, betas=(0.9,))
    assert made(f, lr=0.1, betas=[0.9, 0.5]).param_groups[0]["betas"] == (0.9, 0.5)


def test_hyperparameters_out_of_order():
    """They were given by place, and would change places."""

    @formula
    def f(p, g, *, t, lr):
        p = p - lr / t * g
        return p

    with refused("formula f: expected its hyperparameters in the order lr, t: .*; got t, lr"):
        made(f, lr=0.1)


def test_a_number_that_the_formula_does_not_take():
    with refused("formula plain: expected its hyperparameters in the order lr, product.*; got lr"):
        made(plain, numbers=("product",), lr=0.1)


# --- what is returned


def test_a_state_array_that_is_not_returned():
    @formula
    def f(p, g, m, *, lr):
        m = m + g
        p = p - lr * m
        return p

    with refused("formula f: m is assigned and kept in the state, but not returned; write `return p, m`"):
        made(f, "m", lr=0.1)


def test_a_parameter_that_is_not_returned():
    @formula
    def f(p, g, m, *, lr):
        m = m + g
        if lr:
            p = p - lr * m
        return m

    with refused("formula f: p is assigned and kept in the state, but not returned; write `return m, p`"):
        made(f, "m", lr=0.1)


def test_names_of_its_own_need_not_be_returned():
    @formula
    def f(p, g, m, *, lr):
        g = -g
        u = m + g
        lr = 2 * lr
        p = p + lr * u
        return p

    optimizer = made(f, "m", lr=0.25)
    optimizer.step()
    assert optimizer.param_groups[0]["params"][0].numpy().tolist() == [0.5] * 3


def test_the_parameter_is_returned():
    @formula
    def f(p, g, m, *, lr):
        m = m + lr * g
        return m

    with refused("formula f: p is not returned, so no step would change a parameter"):
        made(f, "m", lr=0.1)


def test_numbers_are_returned_and_nothing_else():
    @formula
    def f(p, g, *, lr, product):
        product = 0.5 * (product + 1)
        p = p - lr * product * g
        return p

    @formula
    def h(p, g, *, lr):
        lr = 0.5 * lr
        p = p - lr * g
        return p, lr

    with refused("formula f: product is kept in the state, but not returned"):
        made(f, numbers=("product",), lr=0.1)
    with refused("formula h: returns lr, which is not in numbers of Own"):
        made(h, lr=0.1)


# --- settings without a range


@pytest.mark.parametrize("value", ["0.1", [0.1, "a"], {}, object()])
def test_a_setting_that_is_no_number(value):
    with refused(r"Own: lr(\[1\])? must be a number, got"):
        made(plain, lr=value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_setting_that_is_not_finite(value):
    with refused(r"Own: lr must be in \(-inf, inf\), got", ValueError):
        made(plain, lr=value)


@executions
def test_a_setting_that_becomes_wrong(name):
    """A named error before anything has changed, in every execution."""
    optimizer = made(with_momentum, "m", lr=0.5, beta1=0.0)
    (p,) = optimizer.param_groups[0]["params"]
    with execution(name):
        optimizer.step()
        for value, kind in (("0.1", TypeError), (np.nan, ValueError)):
            optimizer.param_groups[0]["lr"] = value
            with refused("Own: lr must be", kind):
                optimizer.step()
        del optimizer.param_groups[0]["lr"]
        with refused("formula with_momentum: lr is no setting of Own, which has beta1"):
            optimizer.step()
    assert p.numpy().tolist() == [0.5] * 3


@executions
def test_settings_become_python_numbers(name):
    @formula
    def f(p, g, *, lr, scale, switch):
        if switch and scale is None:
            p = p - lr * g
        return p

    optimizer = made(f, lr=np.float32(0.5), scale=None, switch=np.bool_(True))
    group = optimizer.param_groups[0]
    assert (type(group["lr"]), group["scale"], group["switch"]) == (float, None, True)
    with execution(name):
        optimizer.step()
    assert group["params"][0].numpy().tolist() == [0.5] * 3


def test_a_range_stands_in_place_of_the_default():
    with refused(r"Own: lr must be in \[0.0, inf\), got -1", ValueError):
        made(plain, ranges={"lr": NONNEGATIVE}, lr=-1)
    assert made(plain, ranges={"lr": number}, lr=np.inf).param_groups[0]["lr"] == np.inf
    assert made(plain, lr=-1).param_groups[0]["lr"] == -1


# --- what is recorded


@pytest.mark.parametrize("function", [np.sqrt, np.abs, np.sign, mg.sqrt], ids=lambda f: f.__name__)
def test_functions_of_other_packages(function):
    name = {"abs": "absolute"}.get(function.__name__, function.__name__)

    @formula
    def f(p, g, *, lr):
        p = p - lr * function(g)
        return p

    with execution("blocked"), refused(f"formula f: numpy's {name} can't be recorded; use {name} of optim.formula"):
        made(f, lr=0.1).step()


def one_more(x):
    return np.add(x, 1)


def clipped(x):
    return np.clip(x, -1, 1)


@pytest.mark.parametrize("function", [np.exp, np.sin, one_more, clipped])
def test_functions_that_no_formula_has(function):
    @formula
    def of_arrays(p, g, *, lr):
        p = p - lr * function(g)
        return p

    @formula
    def of_settings(p, g, *, lr):
        p = p - function(lr) * g
        return p

    for f in (of_arrays, of_settings):
        with refused(f"formula {f.name}: numpy's .* can't be recorded; use operators, and absolute, lerp, maximum"):
            made(f, lr=0.1).step()


def test_the_help_names_every_word():
    text = optim.formula.__doc__
    assert set(FUNCTIONS) <= set(optim.formula.__all__)
    for word in FUNCTIONS:
        assert f"\n    {word}(" in text
    for operator in ("+ - * /", "x**2", "-x", "< <= > >= == !="):
        assert f"\n    {operator} " in text


def test_a_statement_without_a_name():
    @formula
    def f(p, g, *, lr):
        p.fill(lr)
        return p

    with refused("formula f, line 3 of its source: a statement that assigns to no name"):
        made(f, lr=0.1)


def test_a_text_that_is_not_to_be_had():
    scope = {"formula": formula}
    exec("@formula\ndef f(p, g, *, lr):\n    p = p - lr * g\n    return p\n", scope)
    with refused("formula f: the source text of f is not to be had; write it in a file"):
        made(scope["f"], lr=0.1)


def test_print_is_called_in_eager_execution_alone(capsys):
    @formula
    def f(p, g, *, lr):
        """A docstring."""
        print("meets", type(g).__name__)
        p = p - lr * g
        return p

    for name, wanted in (("blocked", ""), ("eager", "meets ndarray\n")):
        with execution(name):
            made(f, lr=0.1).step()
        assert capsys.readouterr().out == wanted


# --- what comes of it


@formula
def rooted(p, g, v, *, lr, limit, t):
    v = v + g * g
    u = g / (sqrt(v) + 1)
    u = where(u > limit, limit, u)
    p = p - lr / t * u
    return p, v


class Rooted(ElementwiseOptimizer):
    formula = rooted
    state_keys = {"v": "sum"}

    def __init__(self, params, lr=0.5, limit=1.0):
        super().__init__(params, {"lr": lr, "limit": limit})


def test_the_same_bits_in_every_execution():
    start = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    found = set()
    for name in EXECUTIONS:
        p = mg.tensor(start, requires_grad=True)
        optimizer = Rooted([p])
        with execution(name):
            for t in range(3):
                p.grad = mg.tensor(start * (t + 1))
                optimizer.step()
        found.add(p.numpy().tobytes() + optimizer.state[p]["sum"].tobytes())
    assert len(found) == 1


def test_it_is_differentiated():
    """As any other, by optim.functional: p after a step, by lr."""
    functions = optim.functional.pure(Rooted)
    lr = mg.tensor(0.5, dtype="float64", requires_grad=True)
    p, g = mg.tensor([3.0], dtype="float64"), mg.tensor([2.0], dtype="float64")
    (moved,), _ = functions.update([p], [g], functions.init([p]), lr=lr)
    assert moved.item() == 3 - 0.5 * (2 / 3)
    assert mg.grad(moved.sum(), lr).item() == -2 / 3


def test_its_latex():
    assert latex(Rooted).splitlines()[1:-1] == [
        r"v &\leftarrow v + g^2 \\",
        r"u &= \frac{g}{\sqrt{v} + 1} \\",
        r"u &\leftarrow \begin{cases} \mathit{limit} & \text{if } u > \mathit{limit} \\ u & \text{otherwise} "
        r"\end{cases} \\",
        r"\theta &\leftarrow \theta - \frac{\gamma}{t} \, u",
    ]


def test_its_source():
    assert source(Rooted, "eager").startswith("@formula\ndef rooted(p, g, v, *, lr, limit, t):\n    v = v + g * g\n")
    assert "def rooted(p, g, v, _constants, _scratch):" in source(Rooted, "blocked")
    assert source(Rooted) == source(Rooted, "numba")
    assert "for _i in range(p.size):" in source(Rooted)
    assert 'extern "C" __global__' in source(Rooted, "cuda")
    assert source(optim.Adam, amsgrad=True) != source(optim.Adam)
    with refused("source: expected one of eager, blocked, numba, cuda, got 'jax'", ValueError):
        source(Rooted, "jax")
    with refused("expected a class of optimizers with a formula"):
        source(optim.LBFGS)
    with refused("lr must be", ValueError):
        source(optim.Adam, lr=-1)


# --- threads and forks

FORKED = """
import os, signal
import numpy as np, minigrad as mg, optim
from optim.formula import compiled

compiled.LONG = 100
p = mg.tensor(np.ones(1000), requires_grad=True)
p.grad = mg.tensor(np.ones(1000))
optimizer = optim.SGD([p], lr=0.25)
with optim.execution("numba", threads=2):
    optimizer.step()
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends a child that hangs
        optimizer.step()
        os._exit(0 if (p.numpy() == 0.5).all() else 1)
    _, status = os.waitpid(child, 0)
    optimizer.step()
assert (p.numpy() == 0.5).all()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_step_in_threads_after_a_fork():
    pytest.importorskip("numba")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
