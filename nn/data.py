"""Mini-batches: seeded, shuffled anew each epoch, resumable in the middle of one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad import Tensor, backend, tensor
from minigrad.checks import Checked, count, flag, from_one, function, optional
from minigrad.tape import Variable, raw
from minigrad.tensor import as_array


class DataLoader(Checked):
    """Mini-batches over arrays or over a dataset.

    data: an array whose first axis counts the examples, or a tuple of such arrays of one length: a batch has the same
        form, of Tensors. Or a dataset, anything with `len(data)` and `data[i]` that gives an example (a list, say):
        its examples are put together by `collate_fn`. A dataset may grow: the next epoch has what it holds then.
    batch_size: examples a batch, at least 1; the last batch of an epoch may be smaller. It may be changed at any time:
        the next batch is as large, and the epoch still has each example once.
    shuffle: a new order each epoch, the same for the same `seed` and epoch.
    drop_last: leave out a last batch that is smaller.
    seed: of the orders; a non-negative integer.
    collate_fn: a function that makes a batch of a list of examples; `default_collate` by default.

    Iterating runs through one epoch; the next `iter` is the next epoch. Iterators don't disturb each other.

    Where a loop is left in the middle of an epoch (break, return, an error), a state taken then says so: a loader that
    loads it, this or another, goes on with the first batch that was not handed out, to the end of that epoch. After the
    epoch's last batch that is none. Without loading, the next loop over this loader begins the next epoch: the batches
    that were left out don't come again. The state is always that of the latest iterator.

    Raises ValueError for arrays of different or zero length and for numbers out of range, TypeError for what is no
    dataset, number or function.

    >>> import numpy as np
    >>> x, y = np.arange(10.0), np.arange(10)
    >>> [labels.tolist() for _, labels in DataLoader((x, y), batch_size=4)]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    >>> first, second = DataLoader(y, batch_size=4), DataLoader(y, batch_size=4)
    >>> for _ in first:
    ...     break
    >>> second.load_state_dict(first.state_dict())
    >>> [labels.tolist() for labels in second]
    [[4, 5, 6, 7], [8, 9]]
    """

    _ranges = {
        "batch_size": from_one,
        "shuffle": flag,
        "drop_last": flag,
        "seed": count,
        "collate_fn": optional(function),
    }

    def __init__(
        self,
        data: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self.dataset, self.collate_fn = data, collate_fn
        self.arrays: list[Any] | None = None
        if isinstance(data, tuple | Variable) or backend.is_array(data):
            self.arrays = [as_array(part) for part in (data if isinstance(data, tuple) else [data])]
        self.batch_size, self.shuffle, self.drop_last, self.seed = batch_size, shuffle, drop_last, seed
        if not len(self):
            raise ValueError(f"DataLoader: no batch of {batch_size} in {self.examples} examples, and drop_last is set")
        self.epoch = 0
        self.given = 0  # examples of this epoch that were handed out
        self._latest: object = None  # the iterator that epoch and given speak of, until its end

    @property
    def examples(self) -> int:
        """How many examples there are now."""
        return _length(self.dataset, self.arrays)

    def __len__(self) -> int:
        """Batches an epoch."""
        whole, rest = divmod(self.examples, self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def order(self, epoch: int) -> np.ndarray[Any, Any]:
        """The examples in the order of an epoch: a function of the seed and the epoch alone."""
        n = self.examples
        return np.random.default_rng((self.seed, epoch)).permutation(n) if self.shuffle else np.arange(n)

    def __iter__(self) -> Iterator[Any]:
        if self._latest is not None:  # left before its end
            self.epoch, self.given = self.epoch + 1, 0
        self._latest = token = object()
        return self._batches(token, self.order(self.epoch), self.given)

    def _batches(self, token: object, order: np.ndarray[Any, Any], first: int) -> Iterator[Any]:
        rest = order[first:]
        while len(rest) >= (self.batch_size if self.drop_last else 1):
            chosen, rest = rest[: self.batch_size], rest[self.batch_size :]
            if self._latest is token:
                self.given = len(order) - len(rest)  # before the batch is: a state saved then goes on with the next
            yield self._batch(chosen)
        if self._latest is token:
            self.epoch, self.given, self._latest = self.epoch + 1, 0, None

    def _batch(self, chosen: np.ndarray[Any, Any]) -> Any:
        if self.arrays is None:
            return (self.collate_fn or default_collate)([self.dataset[i] for i in chosen.tolist()])
        batch = [Tensor(array[backend.to_device(chosen, backend.device_of(array))]) for array in self.arrays]
        if self.collate_fn is not None:
            return self.collate_fn(batch)
        return tuple(batch) if isinstance(self.dataset, tuple) else batch[0]

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands: `epoch` and `given`, the examples handed out in it; the `seed` of the orders.

        Also `batch_size`, `examples` and `shuffle`, which a loader that goes on from here must share.
        """
        return {"epoch": self.epoch, "given": self.given, "seed": self.seed, **self._shared()}

    def _shared(self) -> dict[str, int]:
        return {"batch_size": self.batch_size, "examples": self.examples, "shuffle": self.shuffle}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Go on, with the next `iter`, from where a saved loader over the same data, in batches as large, stood.

        Raises ValueError for other batches, another number of examples or another `shuffle`, and for more given than
        there is, TypeError for what is no dictionary of whole numbers; nothing has changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"DataLoader.load_state_dict: expected a dictionary, got a {type(state_dict).__name__}")
        missing = {"epoch", "given", "seed"} - set(state_dict)
        if missing:
            raise ValueError(f"DataLoader: the state lacks {sorted(missing)}")
        try:
            epoch, given, seed = (operator.index(state_dict[key]) for key in ("epoch", "given", "seed"))
        except TypeError:
            raise TypeError(f"DataLoader.load_state_dict: expected whole numbers, got {dict(state_dict)}") from None
        for key, own in self._shared().items():
            if state_dict.get(key, own) != own:
                raise ValueError(f"DataLoader: the state is of {key} {state_dict[key]}, this loader has {own}")
        if epoch < 0 or seed < 0 or not 0 <= given <= self.examples:
            raise ValueError(
                f"DataLoader: the state has epoch {epoch}, given {given}, seed {seed}; expected none below 0, and "
                f"given at most {self.examples}"
            )
        self.epoch, self.given, self.seed, self._latest = epoch, given, seed, None


def _length(data: Any, arrays: Sequence[Any] | None) -> int:
    if arrays is None:
        if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise TypeError(
                "DataLoader: expected an array, a tuple of arrays, or a dataset with __len__ and __getitem__, "
                f"got a {type(data).__name__}"
            )
        if not len(data):
            raise ValueError("DataLoader: the dataset is empty")
        ranks = {np.ndim(part) for part in data[:2] if backend.is_array(raw(part))} if isinstance(data, list) else set()
        if len(ranks) > 1:
            raise TypeError(
                "DataLoader: a list is a dataset of examples; to take arrays side by side, give a tuple of them"
            )
        return len(data)
    lengths = {array.shape[:1] for array in arrays}
    if len(lengths) != 1 or lengths & {(), (0,)}:
        shapes = [array.shape for array in arrays]
        raise ValueError(f"DataLoader: expected arrays whose first axes have one length above 0, got shapes {shapes}")
    return int(lengths.pop()[0])


def default_collate(examples: Sequence[Any]) -> Any:
    """Examples as a batch: numbers, arrays and tensors stacked along a new first axis, as a Tensor.

    Tuples, lists and dictionaries are put together part by part, text stays a list.

    Raises ValueError for examples of different shapes, lengths or keys, TypeError for those of another type.

    >>> default_collate([{"x": 0.5, "y": 1}, {"x": 1.5, "y": 0}])["y"].tolist()
    [1, 0]
    """
    if not examples:
        raise ValueError("default_collate: expected at least one example, got none")
    first = examples[0]
    if isinstance(first, str | bytes):
        return list(examples)
    for kind in (Mapping, tuple | list):
        others = [each for each in examples if isinstance(first, kind) and not isinstance(each, kind)]
        if others:
            names = type(first).__name__, type(others[0]).__name__
            raise TypeError(f"default_collate: examples of different types, a {names[0]} and a {names[1]}")
    if isinstance(first, Mapping):
        if any(each.keys() != first.keys() for each in examples):
            raise ValueError(f"default_collate: examples with keys other than {list(first)}")
        return {key: default_collate([each[key] for each in examples]) for key in first}
    if isinstance(first, tuple | list):
        if any(len(each) != len(first) for each in examples):
            raise ValueError(f"default_collate: examples of lengths {sorted({len(each) for each in examples})}")
        parts = [default_collate(part) for part in zip(*examples, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if not isinstance(first, bool | int | float | np.generic | Variable) and not backend.is_array(first):
        raise TypeError(
            f"default_collate: expected numbers, arrays, tuples or dictionaries, got a {type(first).__name__}"
        )
    arrays = [each.data if isinstance(each, Variable) else each for each in examples]
    shapes = {np.shape(array) for array in arrays}
    if len(shapes) != 1:
        raise ValueError(f"default_collate: examples of different shapes {sorted(shapes)}")
    return Tensor(np.stack(arrays)) if backend.is_array(arrays[0]) or isinstance(first, np.generic) else tensor(arrays)
