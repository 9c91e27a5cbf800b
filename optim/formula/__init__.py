"""What turns one formula into many executions: see `formula` for the rules a formula keeps."""

from optim.formula.execution import execution
from optim.formula.functions import absolute, lerp, maximum, minimum, sign, sqrt, where
from optim.formula.source import Formula, Scalar, formula

__all__ = [
    "Formula",
    "Scalar",
    "absolute",
    "execution",
    "formula",
    "lerp",
    "maximum",
    "minimum",
    "sign",
    "sqrt",
    "where",
]
