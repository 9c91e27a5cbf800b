"""Wrong inputs: each a clear error."""

import numpy as np
import pytest

import minigrad as mg
import nn
import nn.functional as F

x23, x32 = np.ones((2, 3)), np.ones((3, 2))
labels = np.array([0, 2])

CASES = [
    (lambda: nn.Linear(0, 3), ValueError, "Linear: in_features must be a positive integer, got 0"),
    (lambda: nn.Linear(2, 3)(x23), ValueError, r"linear: .*shape \(2, 3\)"),
    (lambda: nn.Embedding(0, 3), ValueError, "num_embeddings must be a positive integer, got 0"),
    (lambda: nn.Embedding(4, 2.5), ValueError, "embedding_dim must be a positive integer, got 2.5"),
    (lambda: nn.Embedding(4, 2, padding_idx=4), ValueError, "padding_idx must be one of 4 rows, got 4"),
    (lambda: nn.Embedding(4, 2)(np.array([0, 4])), IndexError, r"embedding: indices must be in 0..3, got 0 to 4"),
    (lambda: nn.Embedding(4, 2)(np.array([-1])), IndexError, r"indices must be in 0..3, got -1"),
    (lambda: nn.Embedding(4, 2)(np.array([0.5])), TypeError, "expected integer indices"),
    (lambda: F.embedding(labels, np.ones(3)), ValueError, "num_embeddings, embedding_dim"),
    (lambda: nn.Embedding.from_pretrained(np.ones(3)), ValueError, r"from_pretrained: .*got shape \(3,\)"),
    (lambda: nn.LayerNorm(()), ValueError, "normalized_shape must be of positive integers"),
    (lambda: nn.LayerNorm(0), ValueError, "normalized_shape must be of positive integers"),
    (lambda: nn.LayerNorm(4)(x23), ValueError, r"layer_norm: expected .*\(4,\), got shape \(2, 3\)"),
    (lambda: F.layer_norm(x23, (3,), np.ones(2)), ValueError, r"weight must have normalized_shape \(3,\), got \(2,\)"),
    (lambda: nn.BatchNorm1d(-1), ValueError, "num_features must be a positive integer, got -1"),
    (lambda: nn.BatchNorm1d(4)(x23), ValueError, r"BatchNorm1d: expected shape \(batch, 4\).*got \(2, 3\)"),
    (lambda: nn.BatchNorm1d(3)(np.ones(3)), ValueError, r"got \(3,\)"),
    (lambda: nn.BatchNorm1d(3)(np.ones((1, 3))), ValueError, "more than one value for each channel"),
    (lambda: F.batch_norm(x23, None, None), ValueError, "expected running_mean and running_var"),
    (lambda: F.batch_norm(np.ones(3), None, None, training=True), ValueError, r"batch_norm: expected .*got \(3,\)"),
    (lambda: nn.Dropout(1.5), ValueError, r"p must be a probability in \[0, 1\], got 1.5"),
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
    (lambda: nn.SmoothL1Loss(beta=-1), ValueError, "beta must not be negative, got -1"),
    (lambda: F.smooth_l1_loss(x23, x23, beta=-1), ValueError, "beta must not be negative, got -1"),
    (lambda: nn.HuberLoss(delta=0), ValueError, "delta must be positive, got 0"),
    (lambda: F.huber_loss(x23, x23, delta=0), ValueError, "delta must be positive, got 0"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=1.1), ValueError, r"label_smoothing must lie in \[0, 1\], got 1.1"),
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
    (lambda: nn.Linear(2, 2).to(dtype=int), TypeError, "to: expected a floating-point type, got int64"),
    (lambda: nn.Linear(2, 2).get_parameter("scale"), AttributeError, "Linear has no Parameter 'scale'"),
    (lambda: nn.Sequential(nn.ReLU()).get_submodule("0.x"), AttributeError, "ReLU has no Module 'x'"),
    (lambda: nn.Module().register_buffer("a.b", np.ones(2)), ValueError, "without dots"),
    (lambda: nn.Module().register_buffer("", np.ones(2)), ValueError, "not empty"),
    (lambda: nn.Module().register_buffer("forward", np.ones(2)), ValueError, "another attribute of this name"),
    (lambda: nn.Module().register_parameter("a", np.ones(2)), TypeError, "expected a Parameter or None, got a ndarray"),
    (lambda: setattr(nn.Linear(2, 2), "weight", np.ones((2, 2))), TypeError, "is a Parameter; it can be replaced"),
    (lambda: nn.init.normal_(np.ones(2)), TypeError, "normal_: expected a Tensor, got a ndarray"),
    (lambda: nn.init.normal_(mg.tensor([1.0]), std=-1), ValueError, "std must not be negative, got -1"),
    (lambda: nn.init.trunc_normal_(mg.tensor([1.0]), a=2, b=1), ValueError, "expected a < b"),
    (lambda: nn.init.xavier_normal_(mg.tensor([1.0])), ValueError, "xavier_normal_: .* at least two axes, got shape"),
    (lambda: nn.init.orthogonal_(mg.tensor([1.0])), ValueError, "orthogonal_: expected at least two axes"),
    (lambda: nn.init.eye_(mg.tensor([1.0])), ValueError, "eye_: expected a matrix"),
    (lambda: nn.init.kaiming_normal_(mg.tensor(x23), mode="in"), ValueError, 'mode must be "fan_in" or "fan_out"'),
    (lambda: nn.init.calculate_gain("gelu"), ValueError, "nonlinearity must be one of .*got 'gelu'"),
    (lambda: nn.init.calculate_gain("leaky_relu", "a"), ValueError, "slope must be a number, got 'a'"),
    (lambda: nn.functional_call(nn.ReLU(), {"w": x23}, x23), ValueError, r"ReLU has no parameter or buffer \['w'\]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), CASES, ids=[str(i) for i in range(len(CASES))])
def test_wrong_input(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
