"""Kernels over many arrays at once beside NumPy on each of them."""

import numpy as np
import pytest

import minigrad as mg
import nn
import optim
from minigrad import many

SIZES = [1, 0, 5, many.CHUNK - 1, many.CHUNK, many.CHUNK + 1, 33, 5 * many.CHUNK, 0]
DTYPES = [np.float32, np.float64]


def arrays_of(sizes, dtype):
    rng = np.random.default_rng(0)
    given = [rng.normal(size=n).astype(dtype) for n in sizes]
    return given, [mg.tensor(x, device="cuda").data for x in given]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("copies", [1, 60])
def test_norms(dtype, copies):
    given, on_device = arrays_of(SIZES * copies, dtype)
    found = many.norms(on_device)
    assert found.dtype == dtype
    wanted = [np.linalg.norm(x) for x in given]
    np.testing.assert_allclose(found.get(), wanted, rtol=1e-6 if dtype == np.float32 else 1e-14)
    np.testing.assert_array_equal(found.get(), many.norms(on_device).get())


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums(dtype):
    given, on_device = arrays_of(SIZES, dtype)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(many.sums(on_device).get(), [x.sum() for x in given], **close)
    np.testing.assert_allclose(many.absolute_sums(on_device).get(), [np.abs(x).sum() for x in given], **close)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_norm_does_not_depend_on_its_neighbours(dtype):
    _, on_device = arrays_of(SIZES, dtype)
    together = many.norms(on_device).get()
    np.testing.assert_array_equal(together, [many.norms([x]).get()[0] for x in on_device])
    np.testing.assert_array_equal(together[::-1], many.norms(on_device[::-1]).get())


def test_sums_of_whole_numbers_are_exact():
    sizes = 3, 10_000, 70_001, 300 * many.CHUNK + 1  # more chunks than a block has threads
    on_device = [mg.tensor(np.arange(n) % 1000, dtype=np.float64, device="cuda").data for n in sizes]
    assert many.norms(on_device).get().tolist() == [np.sqrt(((np.arange(n) % 1000) ** 2).sum()) for n in sizes]
    assert many.sums(on_device).get().tolist() == [(np.arange(n) % 1000).sum() for n in sizes]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_array(value):
    _, on_device = arrays_of([7, 9000, 7], np.float32)
    on_device[1][8999] = value
    found = many.norms(on_device).get()
    assert np.isfinite(found[[0, 2]]).all()
    np.testing.assert_equal(found[1], abs(value))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("copies", [1, 60])
def test_multiply(dtype, copies):
    given, on_device = arrays_of(SIZES * copies, dtype)
    many.multiply(on_device, mg.tensor(np.array(0.3, dtype), device="cuda").data)
    for x, found in zip(given, on_device, strict=True):
        np.testing.assert_array_equal(found.get(), x * dtype(0.3))


def test_what_lies_together():
    x, y = (mg.tensor(np.ones((3, 4), np.float32), device="cuda").data for _ in range(2))
    assert many.together([x, y])
    assert not many.together([x, y.T])
    assert not many.together([x, y.astype(np.float64)])
    assert not many.together([x, y.get()])
    assert not many.together([y.astype(np.int64)])
    assert not many.together([y.get()])


@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping(dtype):
    results = []
    for device in ("cuda", "cpu"):
        rng = np.random.default_rng(0)
        params = [mg.tensor(np.zeros(n), dtype=dtype, device=device, requires_grad=True) for n in SIZES]
        for p in params:
            p.grad = mg.tensor(rng.normal(size=p.shape), dtype=dtype, device=device)
        norm = nn.utils.clip_grad_norm_(params, 1.0)
        results.append([norm.numpy(), *(p.grad.numpy() for p in params)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_the_sums_of_prodigy_are_those_of_the_cpu():
    found = []
    for device in ("cuda", "cpu"):
        rng = np.random.default_rng(0)
        params = [mg.tensor(np.zeros(n), device=device, requires_grad=True) for n in (3, 5000)]
        optimizer = optim.Prodigy(params, d0=1e-3)
        for _ in range(6):
            for p in params:
                p.grad = mg.Tensor(p.data - mg.tensor(rng.normal(size=p.shape) + 3, device=device).data)
            optimizer.step()
        found.append([float(optimizer.param_groups[0][key]) for key in ("d", "d_max", "d_numerator")])
    assert found[1][0] > 2e-3
    np.testing.assert_allclose(*found, rtol=1e-10)


@pytest.mark.parametrize("name", ["LAMB", "LARS"])
def test_groups_keep_their_settings(name):
    found = []
    for device in ("cuda", "cpu"):
        params = [mg.tensor(np.arange(1.0, 4.0), device=device, requires_grad=True) for _ in range(2)]
        groups = [{"params": [p], "lr": lr, "weight_decay": lr} for p, lr in zip(params, (0.1, 0.3), strict=True)]
        optimizer = getattr(optim, name)(groups)
        for _ in range(3):
            for p in params:
                p.grad = mg.Tensor(p.data * 2)
            optimizer.step()
        found.append([p.numpy() for p in params])
    np.testing.assert_allclose(*found, rtol=1e-12)
    assert not np.allclose(*found[0])


@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda")])
@pytest.mark.parametrize("name", ["LAMB", "LARS", "Adafactor", "Muon", "Prodigy"])
def test_parameters_of_one_group_on_two_devices(name, devices):
    found = []
    for places in (devices, ("cpu", "cpu")):
        rng = np.random.default_rng(0)
        params = [mg.tensor(rng.normal(size=(3, 4)), device=place, requires_grad=True) for place in places]
        optimizer = getattr(optim, name)(params, lr=0.1)
        for _ in range(3):
            for p in params:
                p.grad = mg.tensor(rng.normal(size=p.shape), device=p.device)
            optimizer.step()
        found.append([p.numpy() for p in params])
    np.testing.assert_allclose(*found, rtol=1e-10)


@pytest.mark.parametrize("name", ["LAMB", "LARS"])
def test_norms_of_complex_numbers(name):
    found = []
    for device in ("cuda", "cpu"):
        rng = np.random.default_rng(0)
        p, *gradients = (mg.tensor(rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4)), device=device)
                         for _ in range(4))  # fmt: skip
        optimizer = getattr(optim, name)([p.requires_grad_()], lr=0.1)
        for p.grad in gradients:
            optimizer.step()
        found.append(p.numpy())
    np.testing.assert_allclose(*found, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("LAMB", ["lamb_direction_kernel", "sums_of_chunks", "sums_of_arrays", "lamb_kernel"]),
        ("LARS", ["sums_of_chunks", "sums_of_arrays", "lars_kernel"]),
    ],
)
def test_launches_do_not_grow_with_the_number_of_tensors(simulated, name, kernels):
    for count in (1, 30):
        params = [mg.tensor(np.ones(n + 1, np.float32), device="cuda", requires_grad=True) for n in range(count)]
        optimizer = getattr(optim, name)(params, lr=0.1)
        for p in params:
            p.grad = mg.Tensor(p.data * 2)
        optimizer.step()
        simulated.launches.clear()
        optimizer.step()
        assert [launch for launch, *_ in simulated.launches] == kernels


def test_clipping_takes_three_launches(simulated):
    params = [mg.tensor(np.ones(n + 1, np.float32), device="cuda", requires_grad=True) for n in range(30)]
    for p in params:
        p.grad = mg.Tensor(p.data * 2)
    simulated.launches.clear()
    before = simulated.synchronisations
    nn.utils.clip_grad_norm_(params, 1.0)
    assert [launch for launch, *_ in simulated.launches] == ["sums_of_chunks", "sums_of_arrays", "multiplied"]
    assert simulated.synchronisations == before
