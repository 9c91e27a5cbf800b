"""Formulas: an optimizer is one function, from which NumPy calls, a compiled loop, a CUDA kernel and LaTeX are made.

An optimizer of your own takes a formula, and a class that says what its settings are and where its arrays are kept:

>>> import minigrad as mg
>>> from optim.elementwise import ElementwiseOptimizer
>>> from optim.formula import formula, latex, sign

>>> @formula
... def sign_momentum(p, g, m, *, lr, beta):
...     m = beta * m + (1 - beta) * g
...     p = p - lr * sign(m)
...     return p, m

>>> class SignMomentum(ElementwiseOptimizer):
...     formula = sign_momentum
...     state_keys = {"m": "momentum_buffer"}
...
...     def __init__(self, params, lr=0.25, beta=0.5):
...         super().__init__(params, {"lr": lr, "beta": beta})

>>> p = mg.tensor([1.0, -2.0], requires_grad=True)
>>> optimizer = SignMomentum([p])
>>> (p * p).sum().backward()
>>> optimizer.step()
>>> p.numpy().tolist(), optimizer.state[p]["momentum_buffer"].tolist()
([0.75, -1.75], [1.0, -2.0])
>>> print(latex(SignMomentum), end="")
\\begin{aligned}
m &\\leftarrow \\beta \\, m + (1 - \\beta) g \\\\
\\theta &\\leftarrow \\theta - \\gamma \\, \\operatorname{sign}(m)
\\end{aligned}

examples/own_optimizer.py is a longer one, docs/how_a_formula_runs.md says what happens to it.

Parameters of a formula:
    Before `*` stand arrays: the parameter p and its gradient g, under these names, then the state, each with a key in
    the class's `state_keys`. A state array has p's shape and starts at 0, or at what the class's `initial` gives.
    (Where a class computes norms or sums for its formula, its `scratch` names arrays that are not kept; one annotated
    `Scalar` has a single element: see optim/lars.py. Where several formulas make a step, they are its `Stages`, and the
    class's `update` says which arrays each takes: see optim/muon.py.)
    After `*` stand hyperparameters: first the settings, by name (`beta1` and `beta2` may be settings, or members of one
    called `betas`); then, where they are wanted, `first`, whether p has no state yet; the class's `numbers`, which are
    kept from step to step; and `t`, the number of the step, from 1. They are numbers, or True, False or None. The
    class's `ranges` says what each must be; without an entry there a setting must be finite, True, False or None.

Rules:
    It stands in a file or a notebook: its text is read, for the names of its steps.
    Its arrays have no name that the code made of it has for itself: none that begins with _, no keyword of C or C++, no
    function of NumPy that is called there.
    Every step is an assignment to one name. No `+=`, which would hide one.
    It returns, by name, the arrays that it changes, and those of `numbers` that it changes; the same in every `return`.
    What happens to elements is made of the words below. To branch on elements, use `where`; `if` asks hyperparameters
    only. Any arithmetic of hyperparameters is computed once a step, in float64.
    From around it, a formula takes functions, but no values: what a name outside stands for may change, and the code
    that was made would not. Write the number out, or make it a setting.
    `print(...)` and `breakpoint()` run under `execution("eager")` alone.

Words, for arrays element by element, or for numbers; all but `where` also for hyperparameters alone:
    + - * /           arithmetic; also of hyperparameters, which have ** // % too
    x**2              the square; arrays have no other power
    -x                the negative
    < <= > >= == !=   conditions, for `where`
    absolute(x)       |x|; also abs(x)
    lerp(a, b, w)     (1 - w)·a + w·b, from the nearer end; w is a hyperparameter
    maximum(a, b)     the larger; NaN where either is
    minimum(a, b)     the smaller; NaN where either is
    sign(x)           -1, 0 or 1; 0 for NaN
    sqrt(x)           the square root
    where(c, a, b)    a where the condition c holds, b elsewhere

All of them are exact or correctly rounded, so every execution gives the same bits. A sum or a norm over elements is
none: such an algorithm, as LAMB, is formulas with reductions between them. Whatever breaks a rule raises TypeError with
the formula's name: where the class is defined, where an optimizer is made, or at the latest in its first step, before
anything has changed.

What comes of a formula is seen by `latex(cls, **settings)` and `source(cls, execution, **settings)`; `execution`
chooses what runs.
"""

from optim.formula.definition import Formula, Scalar, formula
from optim.formula.executions import execution
from optim.formula.functions import absolute, lerp, maximum, minimum, sign, sqrt, where
from optim.formula.stages import Stages
from optim.formula.text import source
from optim.formula.words import latex

__all__ = [
    "Formula",
    "Scalar",
    "Stages",
    "absolute",
    "execution",
    "formula",
    "latex",
    "lerp",
    "maximum",
    "minimum",
    "sign",
    "source",
    "sqrt",
    "where",
]
