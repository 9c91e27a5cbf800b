"""Every operation: its value on raw arrays, and its derivative beside it."""

from minigrad.ops import elementwise, index, linalg, neural, reduce, shape
from minigrad.ops.elementwise import *
from minigrad.ops.index import *
from minigrad.ops.linalg import *
from minigrad.ops.neural import *
from minigrad.ops.reduce import *
from minigrad.ops.shape import *

from minigrad.ops.index import raw_key as raw_key  # isort: skip  (for the packages' own use)
from minigrad.ops.neural import check_labels as check_labels  # isort: skip

__all__ = [
    *elementwise.__all__, *index.__all__, *linalg.__all__, *neural.__all__, *reduce.__all__, *shape.__all__
]  # fmt: skip
