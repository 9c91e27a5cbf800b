"""What turns one formula into many executions: see `formula` for the rules a formula keeps."""

from optim.formula.execution import execution
from optim.formula.functions import absolute, maximum, minimum, sign, sqrt, where
from optim.formula.source import Formula, formula

__all__ = ["Formula", "absolute", "execution", "formula", "maximum", "minimum", "sign", "sqrt", "where"]
