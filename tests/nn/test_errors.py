"""Wrong inputs: each a clear error."""

import numpy as np
import pytest

import minigrad as mg
import nn
import nn.functional as F
from tests.minigrad.operation_table import KINDS

x23, x32 = np.ones((2, 3)), np.ones((3, 2))
labels = np.array([0, 2])

CASES = [
    (lambda: nn.Linear(0, 3), ValueError, "Linear: in_features must be a whole number from 1, got 0"),
    (lambda: nn.Linear(2, 3)(x23), ValueError, r"linear: .*shape \(2, 3\)"),
    (lambda: nn.Linear(2, 3)([[1.0, 2.0]]), TypeError, r"linear: .*; expected arrays or Tensors \(x: a list"),
    (lambda: nn.Sequential(nn.ReLU), TypeError, "Sequential: got the class ReLU at '0'; make an object of it"),
    (lambda: nn.ModuleDict({"a": nn.ReLU}), TypeError, "ModuleDict: got the class ReLU at 'a'"),
    (lambda: F.mse_loss(x32[:, :1], np.ones(3)), ValueError, r"^mse_loss: expected input .*; target\[:, None\] has"),
    (lambda: F.cross_entropy(x23, np.ones(2)), TypeError, r"^cross_entropy: expected integer labels; labels.astype"),
    (lambda: nn.Embedding(0, 3), ValueError, "num_embeddings must be a whole number from 1, got 0"),
    (lambda: nn.Embedding(4, 2.5), ValueError, "embedding_dim must be a whole number from 1, got 2.5"),
    (lambda: nn.Embedding(4, 2, padding_idx=4), ValueError, "Embedding: padding_idx must be .* from -4 to 3, got 4"),
    (lambda: nn.Embedding(4, 2, padding_idx=1.5), ValueError, "padding_idx must be .* from -4 to 3, got 1.5"),
    (lambda: nn.HuberLoss(delta=np.nan), ValueError, r"HuberLoss: delta must be in \(0.0, inf\], got nan"),
    (lambda: F.huber_loss(x23, x23, delta=np.nan), ValueError, r"huber_loss: delta must be in \(0.0, inf\], got nan"),
    (lambda: nn.SmoothL1Loss(beta=np.nan), ValueError, r"SmoothL1Loss: beta must be in \[0.0, inf\], got nan"),
    (lambda: F.smooth_l1_loss(x23, x23, beta=np.nan), ValueError, r"smooth_l1_loss: beta must be in .*, got nan"),
    (lambda: nn.Embedding(4, 2)(np.array([0, 4])), IndexError, r"embedding: indices must be in 0..3, got 0 to 4"),
    (lambda: nn.Embedding(4, 2)(np.array([-1])), IndexError, r"indices must be in 0..3, got -1"),
    (lambda: nn.Embedding(4, 2)(np.array([0.5])), TypeError, "expected integer indices"),
    (lambda: nn.Embedding(4, 2, max_norm=0.0), ValueError, r"Embedding: max_norm must be in \(0.0, inf\], got 0.0"),
    (lambda: nn.Embedding(4, 2, norm_type=-1), ValueError, r"Embedding: norm_type must be in \(0.0, inf\], got -1"),
    (lambda: F.embedding(labels, x32, max_norm=-2), ValueError, r"embedding: max_norm must be in \(0.0, inf\], got -2"),
    (lambda: F.mse_loss(x23, x23, weight=np.ones(3)), ValueError, r"mse_loss: expected a weight of shape \(2, 3\)"),
    (lambda: F.l1_loss(x23, x23, weight=x32), ValueError, r"l1_loss: expected a weight .*, got \(3, 2\)"),
    (lambda: F.huber_loss(x23, x23, weight=x32), ValueError, r"huber_loss: expected a weight .*, got \(3, 2\)"),
    (lambda: F.embedding(labels, np.ones(3)), ValueError, "num_embeddings, embedding_dim"),
    (lambda: nn.Embedding.from_pretrained(np.ones(3)), ValueError, r"from_pretrained: .*got shape \(3,\)"),
    (lambda: nn.Embedding(2, 3, _weight=x32), ValueError, r"_weight must have shape \(2, 3\), got \(3, 2\)"),
    (lambda: nn.LayerNorm(()), ValueError, r"normalized_shape must have at least one length, got \(\)"),
    (lambda: nn.LayerNorm(0), ValueError, r"LayerNorm: normalized_shape\[0\] must be a whole number from 1, got 0"),
    (lambda: nn.LayerNorm(4)(x23), ValueError, r"layer_norm: expected .*\(4,\), got shape \(2, 3\)"),
    (lambda: F.layer_norm(x23, (3,), np.ones(2)), ValueError, r"weight must have normalized_shape \(3,\), got \(2,\)"),
    (lambda: nn.BatchNorm1d(-1), ValueError, "num_features must be a whole number from 1, got -1"),
    (lambda: nn.BatchNorm1d(4)(x23), ValueError, r"BatchNorm1d: expected shape \(batch, 4\).*got \(2, 3\)"),
    (lambda: nn.BatchNorm1d(3)(np.ones(3)), ValueError, r"got \(3,\)"),
    (lambda: nn.BatchNorm1d(3)(np.ones((1, 3))), ValueError, "more than one value for each channel"),
    (lambda: F.batch_norm(x23, None, None), ValueError, "expected running_mean and running_var"),
    (lambda: F.batch_norm(np.ones(3), None, None, training=True), ValueError, r"batch_norm: expected .*got \(3,\)"),
    (lambda: F.layer_norm(x23, (3,), eps=-1), ValueError, r"layer_norm: eps must be in \[0.0, inf\), got -1"),
    (lambda: F.batch_norm(x23, None, None, training=True, eps=np.nan), ValueError, "batch_norm: eps must be in .* nan"),
    (lambda: F.l1_loss(x23[:0], x23[:0], weight=x23[:0]), ValueError, "l1_loss: an empty batch has no mean loss"),
    (lambda: F.mse_loss(x23[:0], x23[:0], weight=x23[:0]), ValueError, "mse_loss: an empty batch has no mean loss"),
    (lambda: F.cross_entropy(x23, np.eye(3, dtype=int)[:2]), ValueError, r"cross_entropy: labels .*target.astype"),
    (lambda: F.nll_loss(x23, np.eye(3, dtype=int)[:2]), ValueError, "nll_loss: labels .*, that of the input; as"),
    (lambda: nn.Flatten()("text"), TypeError, "Flatten: x: tensor: data of type str gives no numeric array"),
    (lambda: nn.BatchNorm1d(2)([["a", "b"]]), TypeError, "BatchNorm1d: x: tensor: data of type list gives no numeric"),
    (lambda: nn.Dropout(1.5), ValueError, r"Dropout: p must be in \[0.0, 1.0\], got 1.5"),
    (lambda: F.dropout(x23, -0.1), ValueError, "got -0.1"),
    (lambda: nn.Flatten(2)(x23), IndexError, r"Flatten: an input of shape \(2, 3\) has no axis 2"),
    (lambda: nn.Flatten(1, 0)(x23), ValueError, "axis 1 comes after axis 0"),
    (lambda: nn.GELU("exact"), ValueError, "approximate must be .*got 'exact'"),
    (lambda: nn.Softmax(5)(mg.tensor(x23)), IndexError, "softmax: axis 5 is out of bounds"),
    (lambda: nn.MSELoss(reduction="average"), ValueError, "MSELoss: reduction must be one of .*got 'average'"),
    (lambda: F.mse_loss(x23, x23, reduction="batchmean"), ValueError, "mse_loss: reduction must be one of"),
    (lambda: nn.KLDivLoss(reduction="max"), ValueError, "'batchmean', got 'max'"),
    (lambda: nn.MSELoss()(x23, x32), ValueError, r"\(2, 3\).*\(3, 2\)"),
    (lambda: F.mse_loss(x23, x32, reduction="sum"), ValueError, r"mse_loss: input of shape \(2, 3\) and target of"),
    (lambda: F.l1_loss(x23, x32), ValueError, "l1_loss: .* must agree"),
    (lambda: F.huber_loss(x23, x32), ValueError, "huber_loss: .* must agree"),
    (lambda: F.kl_div(x23, x32), ValueError, "kl_div: .* must agree"),
    (lambda: F.hinge_embedding_loss(x23, x32), ValueError, "hinge_embedding_loss: .* must agree"),
    (lambda: F.binary_cross_entropy(x23, x32), ValueError, "binary_cross_entropy: expected input and target"),
    (lambda: F.binary_cross_entropy_with_logits(x23, x32), ValueError, "must agree"),
    (lambda: F.binary_cross_entropy(x23 * 2, x23), ValueError, r"probabilities in \[0, 1\], got 2.0 to 2.0"),
    (lambda: F.binary_cross_entropy(x23, x23, np.ones((4, 2, 3))), ValueError, r"weights of shape \(4, 2, 3\)"),
    (lambda: nn.SmoothL1Loss(beta=-1), ValueError, r"beta must be in \[0.0, inf\], got -1"),
    (lambda: F.smooth_l1_loss(x23, x23, beta=-1), ValueError, r"beta must be in \[0.0, inf\], got -1"),
    (lambda: nn.HuberLoss(delta=0), ValueError, r"delta must be in \(0.0, inf\], got 0"),
    (lambda: F.huber_loss(x23, x23, delta=0), ValueError, r"delta must be in \(0.0, inf\], got 0"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=1.1), ValueError, r"label_smoothing must be in \[0.0, 1.0\], got 1.1"),
    (lambda: F.cross_entropy(x23, labels, label_smoothing=-1), ValueError, "got -1"),
    (lambda: F.cross_entropy(x23, np.array([0, 3])), IndexError, r"cross_entropy: labels must be in 0..2, got 3"),
    (lambda: F.cross_entropy(x23, np.array([0, -1])), IndexError, "got -1"),
    (lambda: F.cross_entropy(x23, np.array([0, -1]), reduction="sum"), IndexError, "got -1"),
    (lambda: F.nll_loss(x23, np.array([0, 3])), IndexError, r"nll_loss: labels must be in 0..2, got 3"),
    (lambda: F.cross_entropy(x23, np.array([0, 1, 2])), ValueError, r"labels of shape \(3,\) for an input of"),
    (lambda: F.cross_entropy(x23, np.array([0.0, 1.0])), TypeError, "integer labels"),
    (lambda: F.cross_entropy(x23, x32), ValueError, r"labels of shape \(3, 2\)"),
    (lambda: F.cross_entropy(x23, labels, np.ones(2)), ValueError, r"weight of shape \(2,\) for 3 classes"),
    (lambda: F.cosine_embedding_loss(x23, x32, labels), ValueError, "must agree"),
    (lambda: F.cosine_embedding_loss(x23, x23, np.ones(3)), ValueError, r"got \(2, 3\) and \(3,\)"),
    (lambda: nn.Sequential(nn.ReLU(), 3), TypeError, "Sequential: expected a module or a function at '1', got a int"),
    (lambda: nn.ModuleList([abs]), TypeError, "ModuleList: expected a module at 0, got a builtin"),
    (lambda: nn.ModuleDict({"a": None}), TypeError, "ModuleDict: expected a module at 'a', got a NoneType"),
    (lambda: nn.ModuleDict({1: nn.ReLU()}), TypeError, "expected a string as key, got a int"),
    (lambda: nn.Module()(1), NotImplementedError, r"Module has no forward\(\)"),
    (lambda: nn.Linear(2, 2).load_state_dict({}), ValueError, r"missing \['weight', 'bias'\], unexpected \[\]"),
    (lambda: nn.Linear(2, 2).load_state_dict([]), TypeError, "expected a dictionary, got a list"),
    (lambda: nn.Linear(2, 2).to(dtype=int), TypeError, "to: dtype must be a floating-point type, got .*int"),
    (lambda: nn.Linear(2, 2).get_parameter("scale"), AttributeError, "Linear has no Parameter 'scale'"),
    (lambda: nn.Sequential(nn.ReLU()).get_submodule("0.x"), AttributeError, "ReLU has no Module 'x'"),
    (lambda: nn.Module().register_buffer("a.b", np.ones(2)), ValueError, "without dots"),
    (lambda: nn.Module().register_buffer("", np.ones(2)), ValueError, "not empty"),
    (lambda: nn.Module().register_buffer("forward", np.ones(2)), ValueError, "another attribute of this name"),
    (lambda: nn.Module().register_parameter("a", np.ones(2)), TypeError, "expected a Parameter or None, got a ndarray"),
    (lambda: setattr(nn.Linear(2, 2), "weight", np.ones((2, 2))), TypeError, "is a Parameter; it can be replaced"),
    (lambda: nn.init.normal_(np.ones(2)), TypeError, "normal_: expected a Tensor, got a ndarray"),
    (lambda: nn.init.normal_(mg.tensor([1.0]), std=-1), ValueError, r"normal_: std must be in \[0.0, inf\), got -1"),
    (lambda: nn.init.trunc_normal_(mg.tensor([1.0]), a=2, b=1), ValueError, "expected a < b"),
    (lambda: nn.init.xavier_normal_(mg.tensor([1.0])), ValueError, "xavier_normal_: .* at least two axes, got shape"),
    (lambda: nn.init.orthogonal_(mg.tensor([1.0])), ValueError, "orthogonal_: expected at least two axes"),
    (lambda: nn.init.eye_(mg.tensor([1.0])), ValueError, "eye_: expected a matrix"),
    (lambda: nn.init.kaiming_normal_(mg.tensor(x23), mode="in"), ValueError, "kaiming_normal_: mode must .* got 'in'"),
    (lambda: nn.init.calculate_gain("gelu"), ValueError, "nonlinearity must be one of .*got 'gelu'"),
    (lambda: nn.init.calculate_gain("leaky_relu", "a"), TypeError, "calculate_gain: param must be a number, got 'a'"),
    (lambda: nn.init.uniform_(mg.tensor([1.0]), 2, 1), ValueError, "uniform_: expected a <= b, got a=2 and b=1"),
    (lambda: nn.init.normal_(mg.tensor([1.0]), "a"), TypeError, "normal_: mean must be a number, got 'a'"),
    (lambda: nn.init.constant_(mg.tensor([1.0]), [1]), TypeError, r"constant_: val must be a number, got \[1\]"),
    (lambda: nn.init.orthogonal_(mg.tensor(x23), np.nan), ValueError, r"orthogonal_: gain must be in \(-inf, inf\)"),
    (lambda: nn.init.xavier_uniform_(mg.tensor(x23), -1), ValueError, r"xavier_uniform_: gain must be in .* got -1"),
    (lambda: nn.init.uniform_(mg.tensor([1.0]), generator=3), TypeError, "uniform_: generator must be .* got 3"),
    (lambda: nn.functional_call(nn.ReLU(), {"w": x23}, x23), ValueError, r"ReLU has no parameter or buffer \['w'\]"),
    (lambda: nn.functional_call(3, {}, x23), TypeError, "functional_call: expected a Module, got a int"),
    (lambda: nn.functional_call(nn.ReLU(), [3], x23), TypeError, "params and kwargs as dictionaries, got a int"),
    (lambda: nn.functional_call(nn.Linear(1, 1), {"bias": "a"}, x23), TypeError, "functional_call: bias: .* type str"),
    (lambda: nn.Dropout("a"), TypeError, "Dropout: p must be a number, got 'a'"),
    (lambda: F.dropout(x23, None), TypeError, "dropout: p must be a number, got None"),
    (lambda: F.dropout("a"), TypeError, "dropout: input: .* type str"),
    (lambda: nn.Embedding(4, 2, max_norm="a"), TypeError, "Embedding: max_norm must be a number, got 'a'"),
    (lambda: F.embedding(labels, x32, max_norm="a"), TypeError, "embedding: max_norm must be a number, got 'a'"),
    (lambda: F.embedding(labels, x32, padding_idx=3), ValueError, "embedding: padding_idx must .* -3 to 2, got 3"),
    (lambda: nn.Embedding.from_pretrained("a"), TypeError, "Embedding.from_pretrained: embeddings: .* type str"),
    (lambda: nn.BatchNorm1d(3, eps=-1), ValueError, r"BatchNorm1d: eps must be in \[0.0, inf\), got -1"),
    (lambda: nn.BatchNorm1d(3, momentum=1.5), ValueError, r"BatchNorm1d: momentum must be in \[0.0, 1.0\], got 1.5"),
    (lambda: nn.LayerNorm(3, eps=np.nan), ValueError, r"LayerNorm: eps must be in \[0.0, inf\), got nan"),
    (lambda: F.batch_norm(x23, np.zeros(2), np.ones(3), training=True), ValueError, r"mean .* \(3,\), got \(2,\)"),
    (lambda: F.batch_norm(x23, None, None, momentum="a", training=True), TypeError, "batch_norm: momentum must be"),
    (
        lambda: setattr(nn.Linear(2, 2), "in_features", nn.Parameter(np.array(3.0))),
        TypeError,
        "Linear: in_features requires a gradient, which a setting does not get",
    ),
    (lambda: setattr(nn.Dropout(), "p", mg.tensor(0.5, requires_grad=True)), TypeError, "p requires a gradient"),
    (lambda: nn.Softmax(mg.tensor(1.0) * nn.Parameter(np.array(1.0))), TypeError, "Softmax: dim requires a gradient"),
    (lambda: nn.Linear(True, 3), TypeError, "Linear: in_features must be a number, got True"),
    (lambda: nn.Linear(2, 3, bias="no"), TypeError, "Linear: bias must be True or False, got 'no'"),
    (lambda: nn.Linear(2, 3, dtype="int32"), TypeError, "dtype must be a floating-point type, got 'int32'"),
    (lambda: nn.Linear(2, 3, dtype=1.5), TypeError, "dtype must be a floating-point type, got 1.5"),
    (lambda: nn.ReLU("a"), TypeError, "ReLU: inplace must be True or False, got 'a'"),
    (lambda: nn.LeakyReLU(None), TypeError, "LeakyReLU: negative_slope must be a number, got None"),
    (lambda: nn.Softplus(np.inf), ValueError, r"Softplus: beta must be in \(-inf, inf\), got inf"),
    (lambda: F.softplus("a"), TypeError, "softplus: input: .* type str"),
    (lambda: F.softmax([None]), TypeError, r"softmax: input: .*\(dtype object\)"),
    (lambda: nn.Softmax("a"), TypeError, "Softmax: dim must be a number, got 'a'"),
    (lambda: nn.Flatten(0.5), ValueError, "Flatten: start_dim must be a whole number, got 0.5"),
    (lambda: nn.CrossEntropyLoss(ignore_index="a"), TypeError, "CrossEntropyLoss: ignore_index must be a number"),
    (lambda: F.cross_entropy(x23, labels, ignore_index="a"), TypeError, "cross_entropy: ignore_index must be a number"),
    (lambda: F.binary_cross_entropy(x23, x23, np.ones(2)), ValueError, r"cross_entropy: weights .*\(2,\) don't fit"),
    (lambda: F.binary_cross_entropy(x23, x23, np.ones((4, 2, 3))), ValueError, r"weights .*\(4, 2, 3\) don't fit"),
    (lambda: nn.BCELoss(weight="a"), TypeError, "BCELoss: weight: .* type str"),
    (lambda: F.l1_loss("a", x23), TypeError, "l1_loss: input: .* type str"),
    (lambda: F.kl_div(x23, [[1, 2], [3]]), ValueError, "kl_div: target: tensor: .*inhomogeneous"),
    (lambda: nn.HingeEmbeddingLoss(margin="a"), TypeError, "HingeEmbeddingLoss: margin must be a number, got 'a'"),
    (lambda: nn.ReLU().register_forward_hook(3), TypeError, "ReLU: hook must be a function, got 3"),
    (lambda: nn.ReLU().register_full_backward_hook(3), TypeError, "ReLU: hook must be a function, got 3"),
    (lambda: nn.ReLU().register_buffer("b", "a"), TypeError, "ReLU: Buffer 'b': .* type str"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), CASES, ids=[str(i) for i in range(len(CASES))])
def test_wrong_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


unit, classes, signs = np.linspace(0.1, 0.9, 12).reshape(3, 4), np.array([0, 1, 2]), np.array([1, -1, 1])
row = np.linspace(0.5, 2, 4)
CALLS = {
    **{name: [(unit,)] for name in ("dropout", "log_softmax", "softmax", "softplus")},
    **{name: [(unit, unit)] for name in F.__all__ if name.endswith(("_loss", "_div", "_entropy"))},
    "binary_cross_entropy_with_logits": [(unit, unit), (unit, unit, row)],
    "cross_entropy": [(unit, classes), (unit, unit), (unit, classes, row)],
    "nll_loss": [(unit, classes), (unit, classes, row)],
    "cosine_embedding_loss": [(unit, unit, signs)],
    "linear": [(unit, unit[:2], row[:2])],
    "embedding": [(classes, unit)],
    "layer_norm": [(unit, (4,), row, row)],
    "batch_norm": [(unit, row, row, row, row), (unit, row, row, row, row, True)],
}  # fmt: skip


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("name", sorted(CALLS.keys() | (set(F.__all__) - CALLS.keys())))
@np.errstate(all="ignore")
def test_arguments_of_other_kinds_are_taken_or_the_error_names_the_function(name, tensors):
    function = getattr(F, name)
    for call in CALLS.get(name, [(unit,)]):
        arrays = [i for i, argument in enumerate(call) if isinstance(argument, np.ndarray)]
        for changed in [*([i] for i in arrays), arrays]:
            for kind in KINDS.values():
                given = [kind(x) if i in changed else np.copy(x) if i in arrays else x for i, x in enumerate(call)]
                try:
                    function(*[mg.Tensor(x) if tensors and isinstance(x, np.ndarray) else x for x in given])
                except (IndexError, TypeError, ValueError) as error:
                    assert str(error).startswith(f"{name}: ")


def test_lists_are_taken():
    assert nn.Flatten()([[[1.0, 2.0], [3.0, 4.0]]]).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    np.testing.assert_allclose(nn.BatchNorm1d(1)([[1.0], [3.0]]).numpy(), [[-1.0], [1.0]], rtol=1e-4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, one: F.smooth_l1_loss(x, x, beta=one, reduction="none"),
        lambda x, one: F.layer_norm(x, (3,), eps=one),
        lambda x, one: F.batch_norm(x, None, None, training=True, eps=one),
        lambda x, one: F.batch_norm(x, x[0], x[0], eps=one, momentum=one),
        lambda x, one: F.huber_loss(x, x, delta=one, reduction="none"),
        lambda x, one: F.softplus(x, beta=one),
    ],
)
def test_a_setting_of_another_type_does_not_change_that_of_the_answer(function):
    x = x23.astype(np.float32)
    assert function(x, np.float64(1.0)).dtype == np.float32
    assert function(x, mg.tensor(1.0, dtype="float64")).dtype == np.float32


@pytest.mark.parametrize("x", [np.arange(3), np.array([True, False])])
def test_dropout_wants_fractions(x):
    with pytest.raises(TypeError, match=r"^dropout: expected x of a floating-point type \(x: shape .*, p: 0.5\)$"):
        F.dropout(x)
    assert F.dropout(x, training=False) is x


def test_a_setting_is_checked_whenever_it_is_set():
    layer = nn.Dropout(0.5)
    with pytest.raises(ValueError, match=r"Dropout: p must be in \[0.0, 1.0\], got 2"):
        layer.p = 2
    assert layer.p == 0.5
    for quarter in (np.float32(0.25), np.float64(0.25), mg.tensor(0.25)):
        layer.p = quarter
        assert type(layer.p) is float
    assert repr(layer) == "Dropout(p=0.25)"
    assert type(nn.Softplus(beta=np.int64(2)).beta) is int
    norm = nn.LayerNorm(np.int64(3), eps=np.float64(1e-3))
    assert (norm.normalized_shape, norm.eps) == ((3,), 1e-3)
    assert type(norm.normalized_shape[0]) is int


def test_a_module_may_call_what_it_has_ranges():
    class Net(nn.Module):
        ranges = (0, 1)

        def __init__(self):
            self.ranges = [1, 2]
            self.layer = nn.Linear(1, 1)

    assert Net().ranges == [1, 2]
    assert len(list(Net().parameters())) == 2


def test_a_failed_update_of_statistics_changes_nothing():
    mean, variance = np.zeros(3), np.ones(2)
    with pytest.raises(ValueError, match=r"batch_norm: running_var must have shape \(3,\), got \(2,\)"):
        F.batch_norm(x23, mean, variance, training=True)
    assert not mean.any()
