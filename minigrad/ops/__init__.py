"""Every operation: its value on raw arrays, and its derivative beside it."""

from minigrad.ops.elementwise import *
from minigrad.ops.index import *
from minigrad.ops.linalg import *
from minigrad.ops.neural import *
from minigrad.ops.reduce import *
from minigrad.ops.shape import *
