"""Names that the code which is made of formulas has for itself, so that arrays and hyperparameters can't have them."""

from __future__ import annotations

import re

from optim.formula.trace import HOST_NAMES
from optim.formula.vocabulary import VOCABULARY

_KEYWORDS = """
    alignas alignof and_eq asm auto bitand bitor bool case catch char char8_t char16_t char32_t co_await co_return
    co_yield compl concept const const_cast consteval constexpr constinit decltype default delete do double
    dynamic_cast enum explicit export extern false float friend goto inline int long mutable namespace new noexcept
    not_eq nullptr operator or_eq private protected public register reinterpret_cast requires restrict short signed
    sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid
    typename typeof union unsigned using virtual void volatile wchar_t xor xor_eq
"""
"""Of C and C++, which are none of Python."""
_LOOPS = "T Group fabs fabsf sqrtf threadIdx blockIdx gridDim real range"
"""What stands around the operations: see compiled.py and cuda.py."""

_TEMPLATES = [text for word in VOCABULARY.values() for text in (word.python, word.c, *word.blocked)]
TAKEN = {*_KEYWORDS.split(), *_LOOPS.split(), *re.findall(r"(?<![{'\w])[A-Za-z]\w*", " ".join(_TEMPLATES))}
"""Names that no array can have; one that begins with _ can't be one either, nor can `m_` and `m_of` beside m."""


def check_names(formula: str, arrays: tuple[str, ...], hyperparameters: tuple[str, ...]) -> None:
    """Raise TypeError where an array or a hyperparameter has a name of the generated code."""
    elements = {element for array in arrays for element in (f"{array}_", f"{array}_of")}
    for names, taken in ((arrays, TAKEN | elements), (hyperparameters, HOST_NAMES.keys())):
        for name in names:
            if name.startswith("_") or name in taken:
                raise TypeError(
                    f"formula {formula}: {name} is a name that the code made of it has for itself; choose another"
                )
