"""Mini-batches: seeded, shuffled anew each epoch, resumable in the middle of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.tensor import as_array


class DataLoader:
    """Mini-batches over arrays whose first axis counts the examples.

    data: an array, or a tuple of arrays of the same length; a batch has the same form, of Tensors.
    batch_size: examples a batch, at least 1; the last batch of an epoch may be smaller.
    shuffle: a new order each epoch, the same for the same `seed` and epoch.
    drop_last: leave out a last batch that is smaller.
    seed: of the orders.

    Iterating runs through one epoch; the next iteration is the next epoch. `state_dict` says where it stands, in the
    middle of an epoch too, and a loader that loads it goes on with the very next batch.

    Raises ValueError for arrays of different or zero length and for a batch size below 1.

    >>> import numpy as np
    >>> x, y = np.arange(10.0), np.arange(10)
    >>> [labels.tolist() for _, labels in DataLoader((x, y), batch_size=4)]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """

    def __init__(
        self, data: Any, batch_size: int = 1, shuffle: bool = False, drop_last: bool = False, seed: int = 0
    ) -> None:
        self.single = not isinstance(data, tuple | list)
        self.arrays = [as_array(part) for part in ([data] if self.single else data)]
        lengths = {len(array) for array in self.arrays}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(f"DataLoader: expected arrays of one length above 0, got {[len(a) for a in self.arrays]}")
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be a positive integer, got {batch_size!r}")
        self.length = lengths.pop()
        if drop_last and batch_size > self.length:
            raise ValueError(f"DataLoader: no batch of {batch_size} in {self.length} examples, and drop_last is set")
        self.batch_size, self.shuffle, self.drop_last, self.seed = int(batch_size), shuffle, drop_last, seed
        self.epoch = 0
        self.position = 0
        self._resuming = False

    def __len__(self) -> int:
        """Batches an epoch."""
        whole, rest = divmod(self.length, self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def order(self, epoch: int) -> np.ndarray[Any, Any]:
        """The examples in the order of an epoch: a function of the seed and the epoch alone."""
        if not self.shuffle:
            return np.arange(self.length)
        return np.random.default_rng((self.seed, epoch)).permutation(self.length)

    def __iter__(self) -> Iterator[Any]:
        if self.position and not self._resuming:  # the last epoch was left before its end
            self.epoch, self.position = self.epoch + 1, 0
        self._resuming = False
        order = self.order(self.epoch)
        while self.position < len(self):
            start = self.position * self.batch_size
            self.position += 1  # before the batch is handed out: a state saved after it goes on with the next
            chosen = order[start : start + self.batch_size]
            batch = tuple(Tensor(array[chosen]) for array in self.arrays)
            yield batch[0] if self.single else batch
        self.epoch += 1
        self.position = 0

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands: `epoch` and `position`, the number of batches handed out in it, and the `seed`."""
        return {"epoch": self.epoch, "position": self.position, "seed": self.seed}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Go on from where a saved loader over the same data stood."""
        epoch, position, seed = (int(state_dict[key]) for key in ("epoch", "position", "seed"))
        if epoch < 0 or not 0 <= position <= len(self):
            raise ValueError(f"DataLoader: no position {position} of epoch {epoch} in {len(self)} batches an epoch")
        self.epoch, self.position, self.seed, self._resuming = epoch, position, seed, True
