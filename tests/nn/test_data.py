"""Mini-batches: each example once an epoch, resuming equal to a straight run, datasets and collation."""

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from nn.data import DataLoader, default_collate

quick = settings(deadline=None, derandomize=True, max_examples=40, database=None)
loaders = st.fixed_dictionaries(
    {"n": st.integers(1, 12), "batch_size": st.integers(1, 12), "shuffle": st.booleans(), "drop_last": st.booleans()}
)


def loader(n, batch_size, seed=3, **options):
    options["drop_last"] = options.get("drop_last", False) and batch_size <= n
    return DataLoader(np.arange(n), batch_size, seed=seed, **options)


def epoch(batches):
    return [batch.tolist() for batch in batches]


@quick
@given(loaders)
def test_an_epoch_has_every_example_once(given_options):
    batches = loader(**given_options)
    for _ in range(3):
        seen = epoch(batches)
        assert len(seen) == len(batches)
        flat = [i for batch in seen for i in batch]
        assert len(set(flat)) == len(flat)
        assert set(flat) <= set(range(batches.examples))
        if not batches.drop_last:
            assert len(flat) == batches.examples
        assert {len(batch) for batch in seen[:-1]} <= {batches.batch_size}


@quick
@given(loaders)
def test_resuming_anywhere_is_a_straight_run(given_options):
    straight = loader(**given_options)
    states, batches = [straight.state_dict()], []
    for _ in range(3):
        for batch in straight:
            batches.append(batch.tolist())
            states.append(straight.state_dict())
    for done, state in enumerate(states):
        resumed = loader(**given_options, seed=99)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        rest = []
        while resumed.epoch < 3:
            rest += epoch(resumed)
        assert rest == batches[done:]


@quick
@given(st.integers(1, 12), st.lists(st.integers(1, 12), min_size=12, max_size=12), st.booleans(), st.booleans())
def test_batch_sizes_may_change_in_an_epoch(n, sizes, shuffle, drop_last):
    """Each example comes once, in the order of the epoch, and a run that is resumed anywhere gives the same batches."""
    straight = loader(n, 1, shuffle=shuffle, drop_last=drop_last)
    straight.batch_size = sizes[0]
    order = straight.order(0).tolist()
    states, batches = [straight.state_dict()], []
    for batch, size in zip(straight, sizes[1:], strict=False):
        batches.append(batch.tolist())
        straight.batch_size = size
        states.append(straight.state_dict())
    seen = [i for batch in batches for i in batch]
    assert seen == order[: len(seen)]
    missing = n - len(seen)
    assert missing < sizes[len(batches)] if drop_last else missing == 0
    whole = len(batches) if drop_last else len(batches) - 1
    assert [len(batch) for batch in batches[:whole]] == sizes[:whole]
    for done, state in enumerate(states):
        resumed = loader(n, 1, seed=99, shuffle=shuffle, drop_last=drop_last)
        resumed.batch_size = sizes[done]
        resumed.load_state_dict(state)
        rest = []
        for batch, size in zip(resumed, sizes[done + 1 :], strict=False):
            rest.append(batch.tolist())
            resumed.batch_size = size
        assert rest == batches[done:]


def test_orders_differ_between_epochs_and_seeds():
    batches = loader(50, 50, shuffle=True)
    first, second = epoch(batches), epoch(batches)
    assert first != second
    assert epoch(loader(50, 50, shuffle=True)) == first
    assert epoch(loader(50, 50, shuffle=True, seed=4)) != first


def test_an_epoch_that_is_left_is_over():
    batches, straight = loader(6, 2, shuffle=True), loader(6, 2, shuffle=True)
    epochs = [epoch(straight) for _ in range(3)]
    for batch in batches:
        assert batch.tolist() == epochs[0][0]
        break
    assert batches.state_dict()["given"] == 2
    assert epoch(batches) == epochs[1]
    assert next(iter(batches)).tolist() == epochs[2][0]


@quick
@given(loaders, st.integers(0, 2), st.integers(1, 12), st.sampled_from(["break", "error", "close"]))
def test_a_loop_that_is_left_goes_on_where_its_state_is_loaded(given_options, epochs, count, how):
    left, straight = loader(**given_options), loader(**given_options)
    whole = [epoch(straight) for _ in range(epochs + 2)]
    for _ in range(epochs):
        epoch(left)
    count = min(count, len(left))
    given_out, iterator = [], iter(left)
    try:
        for batch in iterator:
            given_out.append(batch.tolist())
            if len(given_out) == count:
                if how == "error":
                    raise RuntimeError("in the loop")
                break
    except RuntimeError:
        pass
    if how == "close":
        iterator.close()
    state = left.state_dict()
    assert (state["epoch"], state["given"]) == (epochs, sum(map(len, given_out)))
    assert given_out == whole[epochs][:count]
    fresh = loader(**given_options, seed=99)
    fresh.load_state_dict(state)
    assert [epoch(fresh), epoch(fresh)] == [whole[epochs][count:], whole[epochs + 1]]
    assert epoch(left) == whole[epochs + 1]  # the same loader, without loading
    left.load_state_dict(state)
    assert epoch(left) == whole[epochs][count:]


def test_iterators_do_not_disturb_each_other():
    straight = loader(6, 2, shuffle=True)
    epochs = [epoch(straight) for _ in range(3)]
    batches = loader(6, 2, shuffle=True)
    pairs = [(a.tolist(), b.tolist()) for a, b in zip(batches, batches, strict=True)]
    assert pairs == list(zip(*epochs[:2], strict=True))
    left = iter(batches)
    next(left)
    batches.load_state_dict({"epoch": 0, "given": 4, "seed": 3})
    assert next(left).tolist() == epochs[2][1]  # goes on, and says nothing about the loader any more
    assert batches.state_dict() | {"epoch": 0, "given": 4, "seed": 3} == batches.state_dict()
    assert epoch(batches) == epochs[0][2:]
    list(left)
    assert batches.state_dict()["epoch"] == 1


def test_arrays_keep_their_form():
    x, y = np.arange(6.0).reshape(3, 2), np.arange(3)
    (only,) = DataLoader(x, 3)
    assert isinstance(only, mg.Tensor)
    for data in ((x, y), (mg.tensor(x), y), (x,)):
        (batch,) = DataLoader(data, 3)
        assert type(batch) is tuple
        assert len(batch) == len(data)
        np.testing.assert_array_equal(batch[0].numpy(), x)
    batch[0][0] = 7.0
    assert x[0].tolist() == [0, 1]  # batches are copies


class Squares:
    def __len__(self):
        return 5

    def __getitem__(self, i):
        if not 0 <= i < 5:
            raise IndexError(i)
        return np.float32(i), {"square": i * i, "name": str(i)}


def test_a_dataset():
    batches = list(DataLoader(Squares(), 2))
    assert len(batches) == 3
    x, rest = batches[1]
    assert x.tolist() == [2, 3]
    assert x.dtype == np.float32
    assert rest["square"].tolist() == [4, 9]
    assert rest["name"] == ["2", "3"]
    shuffled = DataLoader(Squares(), 5, shuffle=True, seed=1)
    (batch,) = shuffled
    assert batch[0].tolist() == shuffled.order(0).tolist()
    (listed,) = DataLoader([(1.0, 2), (3.0, 4)], 2)
    assert [part.tolist() for part in listed] == [[1, 3], [2, 4]]


def test_a_function_that_collates():
    batches = DataLoader([[1], [2, 3], [4]], 2, collate_fn=lambda examples: [i for each in examples for i in each])
    assert list(batches) == [[1, 2, 3], [4]]
    (batch,) = DataLoader((np.arange(3), np.arange(3)), 3, collate_fn=lambda parts: parts[0] + parts[1])
    assert batch.tolist() == [0, 2, 4]


def test_default_collate():
    point = namedtuple("point", "x y")
    batch = default_collate([point(1.0, [np.ones(2), True]), point(2.0, [np.zeros(2), False])])
    assert isinstance(batch, point)
    assert batch.x.dtype == mg.get_default_dtype()
    assert batch.y[0].tolist() == [[1, 1], [0, 0]]
    assert batch.y[1].tolist() == [True, False]
    assert default_collate([mg.tensor([1, 2]), mg.tensor([3, 4])]).tolist() == [[1, 2], [3, 4]]
    assert default_collate([1, 2]).dtype == np.int64
    assert default_collate([np.float16(1), np.float16(2)]).dtype == np.float16
    assert default_collate(["a", "b"]) == ["a", "b"]


def test_a_dataset_may_grow():
    dataset = [0.0, 1.0, 2.0]
    loader = DataLoader(dataset, batch_size=2, shuffle=True)
    batches = iter(loader)
    dataset += [3.0, 4.0]
    assert sorted(value for batch in batches for value in batch.tolist()) == [0.0, 1.0, 2.0]  # as at its start
    assert (loader.examples, len(loader), loader.state_dict()["examples"]) == (5, 3, 5)
    assert sorted(value for batch in loader for value in batch.tolist()) == [0.0, 1.0, 2.0, 3.0, 4.0]


x, y = np.zeros((4, 2)), np.zeros(3)
WRONG = [
    (lambda: DataLoader((x, y)), ValueError, r"one length above 0, got shapes \[\(4, 2\), \(3,\)\]"),
    (lambda: DataLoader(x[:0]), ValueError, r"above 0, got shapes \[\(0, 2\)\]"),
    (lambda: DataLoader(np.float64(3.0).reshape(())), ValueError, "first axes"),
    (lambda: DataLoader(()), ValueError, "first axes"),
    (lambda: DataLoader([]), ValueError, "the dataset is empty"),
    (lambda: DataLoader(iter([1])), TypeError, "with __len__ and __getitem__, got a list_iterator"),
    (lambda: DataLoader(x, 0), ValueError, "DataLoader: batch_size must be a whole number from 1, got 0"),
    (lambda: DataLoader(x, 2.5), ValueError, "batch_size must be a whole number from 1, got 2.5"),
    (lambda: DataLoader(x, seed=-1), ValueError, "DataLoader: seed must be a whole number from 0, got -1"),
    (lambda: DataLoader(x, shuffle="no"), TypeError, "DataLoader: shuffle must be True or False, got 'no'"),
    (lambda: DataLoader([1], collate_fn=3), TypeError, "DataLoader: collate_fn must be a function, got 3"),
    (lambda: DataLoader(x, 5, drop_last=True), ValueError, "no batch of 5 in 4 examples"),
    (lambda: DataLoader(x).load_state_dict({"epoch": 0}), ValueError, r"lacks \['given', 'seed'\]"),
    (
        lambda: DataLoader(x).load_state_dict({"epoch": 0, "given": 5, "seed": 0}),
        ValueError,
        "the state has epoch 0, given 5, seed 0; expected none below 0, and given at most 4",
    ),
    (
        lambda: DataLoader(x).load_state_dict({"epoch": 0, "given": -1, "seed": 0}),
        ValueError,
        "epoch 0, given -1, seed",
    ),
    (lambda: DataLoader(x).load_state_dict({"epoch": -1, "given": 0, "seed": 0}), ValueError, "the state has epoch -1"),
    (lambda: DataLoader(x).load_state_dict({"epoch": 0, "given": 0, "seed": -1}), ValueError, "given 0, seed -1"),
    (lambda: DataLoader(x).load_state_dict({"epoch": 0, "position": 3, "seed": 0}), ValueError, r"lacks \['given'\]"),
    (lambda: DataLoader([x, y]), TypeError, "DataLoader: a list is a dataset .* give a tuple of them"),
    (
        lambda: DataLoader(x, batch_size=2).load_state_dict(DataLoader(x).state_dict()),
        ValueError,
        "the state is of batch_size 1, this loader has 2",
    ),
    (
        lambda: DataLoader(x[1:]).load_state_dict(DataLoader(x).state_dict()),
        ValueError,
        r"the state is of examples \d+, this loader has",
    ),
    (
        lambda: DataLoader(x).load_state_dict(DataLoader(x, shuffle=True).state_dict()),
        ValueError,
        "the state is of shuffle True, this loader has False",
    ),
    (lambda: DataLoader(x).load_state_dict(3), TypeError, "load_state_dict: expected a dictionary, got a int"),
    (
        lambda: DataLoader(x).load_state_dict({"epoch": 1.5, "given": "1", "seed": 0}),
        TypeError,
        "load_state_dict: expected whole numbers, got {'epoch': 1.5",
    ),
    (lambda: default_collate([np.ones(2), np.ones(3)]), ValueError, r"shapes \[\(2,\), \(3,\)\]"),
    (lambda: default_collate([(1, 2), (1,)]), ValueError, r"lengths \[1, 2\]"),
    (lambda: default_collate([{"a": 1}, {"b": 1}]), ValueError, r"keys other than \['a'\]"),
    (lambda: default_collate([None]), TypeError, "got a NoneType"),
    (lambda: default_collate([]), ValueError, "default_collate: expected at least one example, got none"),
    (lambda: default_collate([{"a": 1}, 3]), TypeError, "examples of different types, a dict and a int"),
    (lambda: default_collate([(1, 2), 3]), TypeError, "examples of different types, a tuple and a int"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_wrong_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
