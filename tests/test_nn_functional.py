"""nn.functional against torch.nn.functional: values, gradients at every operand, and refusals, on every backend.

Tolerance: float32 sums in another order differ by a few units in the last place; 2e-5 of the largest magnitude covers
the longest sum here (a 3-d convolution's 72 terms and its backward) with a factor of about 10 to spare.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from hypothesis import given, settings
from hypothesis import strategies as st

import unified as un
import unified.nn.functional as F
from unified import errors

TOLERANCE = 2e-5

_numbers = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return _numbers.standard_normal(shape).astype(np.float32)


def uniform(*shape: int) -> np.ndarray:
    return _numbers.uniform(0.05, 0.95, shape).astype(np.float32)


def close(ours: un.Tensor, theirs: torch.Tensor, what: str) -> None:
    expected = theirs.detach().numpy()
    actual = ours.detach().numpy()
    assert actual.shape == expected.shape, what
    finite = expected[np.isfinite(expected)]
    scale = max(1.0, float(np.abs(finite).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * scale, err_msg=what)


def compare(ours: Callable, theirs: Callable, *arrays: np.ndarray) -> None:
    """Same result and same gradient at each floating operand, under one random cotangent."""
    our_operands = [un.tensor(array) for array in arrays]
    their_operands = [
        torch.tensor(array) if array.dtype.kind == "f" else torch.tensor(array).long() for array in arrays
    ]
    for our, their in zip(our_operands, their_operands, strict=True):
        if their.is_floating_point():
            our.requires_grad_()
            their.requires_grad_()
    our_result, their_result = ours(*our_operands), theirs(*their_operands)
    close(our_result, their_result, "value")
    cotangent = np.random.default_rng(1).standard_normal(tuple(their_result.shape)).astype(np.float32)
    (our_result * un.tensor(cotangent)).sum().backward()
    (their_result * torch.tensor(cotangent)).sum().backward()
    for position, (our, their) in enumerate(zip(our_operands, their_operands, strict=True)):
        if their.is_floating_point():
            close(our.grad, their.grad, f"gradient of operand {position}")


KINKS = np.array([-30, -20, -3, -1, -0.0, 0, 0.5, 1, 3, 6, 20, 25], np.float32)
ACTIVATIONS = (
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "relu",
    "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh", "tanhshrink",
)  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_at_its_kinks_and_far_out(backend: str, name: str) -> None:
    compare(getattr(F, name), getattr(TF, name), KINKS)


ARGUMENTS = {
    "celu": {"alpha": 2.0},
    "elu": {"alpha": 0.5},
    "gelu": {"approximate": "tanh"},
    "glu": {"dim": 0},
    "hardtanh": {"min_val": -2.0, "max_val": 0.5},
    "leaky_relu": {"negative_slope": 0.3},
    "log_softmax": {"dim": 1},
    "softmax": {"dim": 0},
    "softplus": {"beta": 2.0, "threshold": 5.0},
    "normalize": {"p": 2.0, "dim": 0},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_function_with_arguments(backend: str, name: str) -> None:
    options = ARGUMENTS[name]
    compare(lambda x: getattr(F, name)(x, **options), lambda x: getattr(TF, name)(x, **options), normal(4, 6) * 3)


def test_activation_passes_nan_on(backend: str) -> None:
    x = un.tensor([float("nan")])
    for name in ACTIVATIONS:
        assert np.isnan(getattr(F, name)(x).numpy()).all(), name


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4)])
@pytest.mark.parametrize("bias", [False, True])
def test_linear(backend: str, shape: tuple[int, ...], bias: bool) -> None:
    compare(F.linear, TF.linear, normal(*shape), normal(5, 4), *([normal(5)] if bias else []))


CONVOLUTIONS = {
    "1d": (F.conv1d, TF.conv1d, (2, 4, 9), (6, 4, 3), {}),
    "1d strided, padded, dilated": (
        F.conv1d, TF.conv1d, (2, 4, 11), (6, 4, 3), {"stride": 2, "padding": 1, "dilation": 2}
    ),
    "2d": (F.conv2d, TF.conv2d, (2, 4, 7, 6), (6, 4, 3, 3), {"padding": 1}),
    "2d unbatched": (F.conv2d, TF.conv2d, (4, 7, 6), (6, 4, 3, 3), {}),
    "2d strided": (F.conv2d, TF.conv2d, (2, 4, 7, 6), (6, 4, 3, 2), {"stride": (2, 1), "padding": (0, 1)}),
    "2d same, grouped, dilated": (
        F.conv2d, TF.conv2d, (2, 4, 7, 6), (6, 2, 3, 2), {"padding": "same", "groups": 2, "dilation": 2}
    ),
    "2d depthwise": (F.conv2d, TF.conv2d, (2, 4, 7, 6), (4, 1, 3, 3), {"padding": "valid", "groups": 4}),
    "3d": (F.conv3d, TF.conv3d, (2, 4, 5, 6, 4), (6, 4, 3, 3, 2), {"padding": (1, 0, 1)}),
}  # fmt: skip


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_convolution(backend: str, case: str) -> None:
    ours, theirs, input, weight, options = CONVOLUTIONS[case]
    compare(
        lambda *operands: ours(*operands, **options),
        lambda *operands: theirs(*operands, **options),
        normal(*input),
        normal(*weight),
        normal(weight[0]),
    )


POOLS = (
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0), "ceil_mode": True},
)


@pytest.mark.parametrize("options", POOLS, ids=str)
def test_max_pool2d_gives_the_first_of_equal_maxima_the_gradient(backend: str, options: dict) -> None:
    compare(lambda x: F.max_pool2d(x, **options), lambda x: TF.max_pool2d(x, **options), np.round(normal(2, 3, 7, 9)))


@pytest.mark.parametrize("options", POOLS, ids=str)
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_avg_pool2d(backend: str, options: dict, count_include_pad: bool) -> None:
    options = {**options, "count_include_pad": count_include_pad}
    compare(lambda x: F.avg_pool2d(x, **options), lambda x: TF.avg_pool2d(x, **options), normal(2, 3, 7, 9))


@pytest.mark.parametrize("size", [1, (3, 4), (None, 2)], ids=str)
def test_adaptive_avg_pool2d(backend: str, size: object) -> None:
    compare(lambda x: F.adaptive_avg_pool2d(x, size), lambda x: TF.adaptive_avg_pool2d(x, size), normal(2, 3, 7, 9))


@pytest.mark.parametrize("shape", [(5, 4), (3, 4, 5), (2, 4, 3, 3)], ids=str)
def test_batch_norm_in_training_also_updates_the_running_statistics(backend: str, shape: tuple[int, ...]) -> None:
    mean, var = normal(4), uniform(4)
    ours = un.tensor(mean), un.tensor(var)
    theirs = torch.tensor(mean), torch.tensor(var)
    compare(
        lambda x, w, b: F.batch_norm(x, *ours, w, b, training=True, momentum=0.3),
        lambda x, w, b: TF.batch_norm(x, *theirs, w, b, training=True, momentum=0.3),
        normal(*shape), normal(4), normal(4),
    )  # fmt: skip
    for our, their in zip(ours, theirs, strict=True):
        close(our, their, "running statistic")
        assert not our.requires_grad


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_batch_norm_in_half_precision(backend: str, kind: str) -> None:
    x, w = normal(4, 3, 5, 5), normal(3)
    given = [torch.tensor(value).to(getattr(torch, kind)) for value in (x, w, w)]
    ours = [un.tensor(value).to(getattr(un, kind)) for value in (x, w, w)]
    statistics = torch.zeros(3, dtype=given[0].dtype), torch.ones(3, dtype=given[0].dtype)
    mine = un.zeros(3).to(ours[0].dtype), un.ones(3).to(ours[0].dtype)
    expected = TF.batch_norm(given[0], *statistics, given[1], given[2], training=True)
    found = F.batch_norm(ours[0], *mine, ours[1], ours[2], training=True)
    for our, their in [(found, expected), *zip(mine, statistics, strict=True)]:
        assert our.dtype.name == kind
        eps = torch.finfo(given[0].dtype).eps  # of two terms of about 1, which PyTorch may round before it adds them
        np.testing.assert_allclose(our.to(un.float32).numpy(), their.float().numpy(), 2 * eps, eps)


@pytest.mark.parametrize("batch", [3, 4])
def test_the_second_derivative_of_batch_norm(backend: str, batch: int) -> None:
    values = normal(batch, 4, 3, 3), normal(4), normal(4), normal(batch, 4, 3, 3)

    def penalty(library: Any, norm: Any, grad: Any, x: Any, w: Any, b: Any, direction: Any) -> list[Any]:
        loss = (library.tanh(norm(x, None, None, w, b, training=True)) * direction).sum()
        slopes = grad(loss, [x, w, b], create_graph=True)
        sum((slope * slope).sum() for slope in slopes).backward()
        return [x.grad, w.grad, b.grad]

    ours = [un.tensor(value).requires_grad_() for value in values[:3]]
    theirs = [torch.tensor(value, requires_grad=True) for value in values[:3]]
    found = penalty(un, F.batch_norm, un.autograd.grad, *ours, un.tensor(values[3]))
    expected = penalty(torch, TF.batch_norm, torch.autograd.grad, *theirs, torch.tensor(values[3]))
    for mine, other in zip(found, expected, strict=True):
        # float32 through two derivatives, of sums of up to 36 elements
        np.testing.assert_allclose(mine.numpy(), other.numpy(), 1e-3, 1e-4 * float(other.abs().max()))


def test_batch_norm_in_evaluation(backend: str) -> None:
    compare(
        lambda x, w, b: F.batch_norm(x, un.zeros(4), un.full((4,), 2.0), w, b),
        lambda x, w, b: TF.batch_norm(x, torch.zeros(4), torch.full((4,), 2.0), w, b),
        normal(2, 4, 5), normal(4), normal(4),
    )  # fmt: skip


def test_batch_norm_without_statistics(backend: str) -> None:
    compare(
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: TF.batch_norm(x, None, None, training=True),
        normal(4, 3),
    )


def test_layer_group_and_rms_norm(backend: str) -> None:
    compare(
        lambda x, w, b: F.layer_norm(x, (3, 4), w, b), lambda x, w, b: TF.layer_norm(x, (3, 4), w, b),
        normal(2, 3, 4), normal(3, 4), normal(3, 4),
    )  # fmt: skip
    compare(
        lambda x, w, b: F.group_norm(x, 2, w, b), lambda x, w, b: TF.group_norm(x, 2, w, b),
        normal(2, 4, 5), normal(4), normal(4),
    )  # fmt: skip
    compare(lambda x, w: F.rms_norm(x, (4,), w), lambda x, w: TF.rms_norm(x, (4,), w), normal(2, 3, 4), normal(4))


def test_second_derivative_of_layer_norm(backend: str) -> None:
    x = un.tensor(normal(3, 4)).requires_grad_()
    t = torch.tensor(x.detach().numpy().copy(), requires_grad=True)
    y = F.layer_norm(x, (4,))
    s = TF.layer_norm(t, (4,))
    (first,) = un.autograd.grad((y * y * y).sum(), [x], create_graph=True)
    (expected,) = torch.autograd.grad((s * s * s).sum(), [t], create_graph=True)
    (first * first).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-3, atol=1e-2)  # cancels 3 digits of ~50


def test_cosine_similarity(backend: str) -> None:
    compare(F.cosine_similarity, TF.cosine_similarity, normal(3, 4), normal(3, 4))


def test_embedding_keeps_the_padding_row_untrained(backend: str) -> None:
    indices = np.array([[0, 2, 1], [2, 2, 4]], np.int32)
    compare(
        lambda w: F.embedding(un.tensor(indices), w, 2), lambda w: TF.embedding(torch.tensor(indices), w, 2),
        normal(5, 3),
    )  # fmt: skip
    compare(
        lambda w: F.embedding(un.tensor(indices), w), lambda w: TF.embedding(torch.tensor(indices), w), normal(5, 3)
    )


def test_one_hot(backend: str) -> None:
    classes = un.tensor([[0, 2], [1, 0]])
    expected = np.eye(3, dtype=np.int32)[[[0, 2], [1, 0]]]
    for encoded in (F.one_hot(classes), F.one_hot(classes, 3)):
        assert encoded.dtype is un.int32
        np.testing.assert_array_equal(encoded.numpy(), expected)


REDUCTIONS = ("none", "mean", "sum")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_regression_loss(backend: str, name: str, reduction: str) -> None:
    input = normal(3, 4) * 2
    target = input.copy()
    target[1:] = normal(2, 4)  # where they are equal the gradient is 0
    compare(
        lambda a, b: getattr(F, name)(a, b, reduction=reduction),
        lambda a, b: getattr(TF, name)(a, b, reduction=reduction),
        input, target,
    )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_losses(backend: str, reduction: str) -> None:
    probabilities, targets, weights = uniform(3, 4), uniform(3, 4), uniform(4)
    compare(
        lambda a, b: F.binary_cross_entropy(a, b, reduction=reduction),
        lambda a, b: TF.binary_cross_entropy(a, b, reduction=reduction),
        probabilities, targets,
    )  # fmt: skip
    compare(
        lambda a, b: F.binary_cross_entropy_with_logits(a, b, reduction=reduction, pos_weight=un.tensor(weights)),
        lambda a, b: TF.binary_cross_entropy_with_logits(a, b, reduction=reduction, pos_weight=torch.tensor(weights)),
        normal(3, 4) * 30, targets,
    )  # fmt: skip


@pytest.mark.parametrize("reduction", ["batchmean", "sum"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div(backend: str, reduction: str, log_target: bool) -> None:
    options = {"reduction": reduction, "log_target": log_target}
    compare(
        lambda a, b: F.kl_div(a, b, **options), lambda a, b: TF.kl_div(a, b, **options), normal(3, 4), uniform(3, 4)
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(backend: str, reduction: str, smoothing: float) -> None:
    options = {"reduction": reduction, "label_smoothing": smoothing}
    indices, pixels = np.array([1, 0, -100], np.int32), np.array([[1, 0], [2, -100], [2, 2]], np.int32)
    weight = uniform(4)
    compare(
        lambda x, t: F.cross_entropy(x, t, un.tensor(weight), **options),
        lambda x, t: TF.cross_entropy(x, t, torch.tensor(weight), **options),
        normal(3, 4) * 5, indices,
    )  # fmt: skip
    compare(
        lambda x, t: F.cross_entropy(x, t, **options), lambda x, t: TF.cross_entropy(x, t, **options),
        normal(3, 4, 2), pixels,
    )  # fmt: skip
    compare(
        lambda x, t: F.cross_entropy(x, t, un.tensor(weight), **options),
        lambda x, t: TF.cross_entropy(x, t, torch.tensor(weight), **options),
        normal(3, 4), uniform(3, 4),
    )  # fmt: skip
    compare(
        lambda x, t: F.cross_entropy(x, t, **options), lambda x, t: TF.cross_entropy(x, t, **options),
        normal(4), np.array(2, np.int32),
    )  # fmt: skip


def test_nll_loss(backend: str) -> None:
    compare(F.nll_loss, TF.nll_loss, normal(3, 4), np.array([1, 0, -100], np.int32))


@settings(max_examples=5)  # each shape is a new program on two backends
@given(batch=st.integers(1, 4), classes=st.integers(1, 5))
def test_cross_entropy_of_any_size(batch: int, classes: int) -> None:
    logits, target = normal(batch, classes), _numbers.integers(0, classes, batch).astype(np.int32)
    for name in un.available_backends():
        with un.backend(name):
            compare(F.cross_entropy, TF.cross_entropy, logits, target)


ATTENTION_MASKS = {
    "none": None,
    "bool": np.array([[True, True, False], [True, False, True], [True, True, True], [False, True, False]]),
    "row that sees nothing": np.array([[True, True, False], [False] * 3, [True] * 3, [False, True, False]]),
    "float": normal(4, 3),
}


@pytest.mark.parametrize("mask", ATTENTION_MASKS)
def test_attention_with_masks(backend: str, mask: str) -> None:
    array = ATTENTION_MASKS[mask]
    ours, theirs = (None, None) if array is None else (un.tensor(array), torch.tensor(array))
    compare(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=ours),
        lambda q, k, v: TF.scaled_dot_product_attention(q, k, v, attn_mask=theirs),
        normal(2, 2, 4, 5), normal(2, 2, 3, 5), normal(2, 2, 3, 6),
    )  # fmt: skip


def test_causal_attention(backend: str) -> None:
    compare(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.7),
        lambda q, k, v: TF.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.7),
        normal(2, 2, 4, 5), normal(2, 2, 4, 5), normal(2, 2, 4, 5),
    )  # fmt: skip


def test_attention_dropout_scales_what_it_keeps(backend: str) -> None:
    un.manual_seed(0)
    q = un.zeros(1, 4, 8, 2)
    value = un.ones(1, 4, 8, 8)
    rows = F.scaled_dot_product_attention(q, q, value, dropout_p=0.5).numpy()
    kept = rows * 4  # each of 8 weights is 1/8, doubled where it is kept
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-5)
    assert 0 < kept.mean() < 8
    assert len(np.unique(np.round(kept))) > 1


def test_dropout(backend: str) -> None:
    un.manual_seed(0)
    x = un.ones(50, 40).requires_grad_()
    y = F.dropout(x, 0.25)
    y.sum().backward()
    values = y.detach().numpy()
    np.testing.assert_allclose(values[values != 0], 4 / 3, rtol=1e-6)
    assert abs((values == 0).mean() - 0.25) < 0.04  # 4 standard deviations of 2000 draws
    np.testing.assert_array_equal(x.grad.numpy(), values)
    assert F.dropout(x, 0.25, training=False) is x
    assert F.dropout(x, 0.0) is x
    assert not F.dropout(x, 1.0).detach().numpy().any()
    channels = F.dropout2d(un.ones(8, 16, 2, 2)).numpy()
    assert (channels == channels[:, :, :1, :1]).all()


BAD = {
    "linear shape": (lambda: F.linear(un.ones(2, 3), un.ones(4, 5)), errors.ShapeError),
    "linear bias": (lambda: F.linear(un.ones(2, 3), un.ones(4, 3), un.ones(5)), errors.ShapeError),
    "linear dtype": (lambda: F.linear(un.ones(2, 3, dtype=un.int32), un.ones(4, 3)), errors.DTypeError),
    "conv2d channels": (lambda: F.conv2d(un.ones(1, 4, 5, 5), un.ones(6, 2, 3, 3)), errors.ShapeError),
    "conv2d kernel too large": (lambda: F.conv2d(un.ones(1, 2, 2, 2), un.ones(6, 2, 3, 3)), errors.ShapeError),
    "conv2d rank": (lambda: F.conv2d(un.ones(1, 2, 5, 5), un.ones(6, 2, 3)), errors.ShapeError),
    "conv2d bias": (lambda: F.conv2d(un.ones(1, 2, 5, 5), un.ones(6, 2, 3, 3), un.ones(5)), errors.ShapeError),
    "conv2d same, strided": (
        lambda: F.conv2d(un.ones(1, 2, 5, 5), un.ones(6, 2, 3, 3), stride=2, padding="same"), errors.ArgumentError
    ),
    "conv2d dtype": (
        lambda: F.conv2d(un.ones(1, 2, 5, 5, dtype=un.float16), un.ones(6, 2, 3, 3)), errors.DTypeError
    ),
    "conv1d channels": (lambda: F.conv1d(un.ones(1, 4, 5), un.ones(6, 2, 3)), errors.ShapeError),
    "max_pool2d padding": (lambda: F.max_pool2d(un.ones(1, 1, 4, 4), 2, padding=2), errors.ArgumentError),
    "max_pool2d size": (lambda: F.max_pool2d(un.ones(1, 1, 2, 2), 3), errors.ShapeError),
    "cross_entropy shape": (lambda: F.cross_entropy(un.ones(3, 4), un.tensor([1, 2])), errors.ShapeError),
    "cross_entropy weight": (
        lambda: F.cross_entropy(un.ones(3, 4), un.tensor([1, 2, 0]), un.ones(3)), errors.ShapeError
    ),
    "cross_entropy dtype": (
        lambda: F.cross_entropy(un.ones(3, 4, dtype=un.int32), un.tensor([1, 2, 0])), errors.DTypeError
    ),
    "cross_entropy reduction": (
        lambda: F.cross_entropy(un.ones(3, 4), un.tensor([1, 2, 0]), reduction="avg"), errors.ArgumentError
    ),
    "mse_loss shapes": (lambda: F.mse_loss(un.ones(3, 4), un.ones(3)), errors.ShapeError),
    "layer_norm shape": (lambda: F.layer_norm(un.ones(3, 4), (3,)), errors.ShapeError),
    "batch_norm shape": (
        lambda: F.batch_norm(un.ones(3, 4), un.zeros(3), un.ones(3), training=True), errors.ShapeError
    ),
    "batch_norm of one value": (
        lambda: F.batch_norm(un.ones(1, 4), un.zeros(4), un.ones(4), training=True), errors.ShapeError
    ),
    "group_norm groups": (lambda: F.group_norm(un.ones(2, 4), 3), errors.ShapeError),
    "embedding dtype": (lambda: F.embedding(un.ones(2), un.ones(3, 4)), errors.DTypeError),
    "embedding padding": (lambda: F.embedding(un.tensor([1]), un.ones(3, 4), 5), errors.ArgumentError),
    "attention features": (
        lambda: F.scaled_dot_product_attention(un.ones(1, 2, 3), un.ones(1, 2, 4), un.ones(1, 2, 4)),
        errors.ShapeError,
    ),
    "dropout p": (lambda: F.dropout(un.ones(3), 1.5), errors.ArgumentError),
    "gelu approximation": (lambda: F.gelu(un.ones(3), approximate="erf"), errors.ArgumentError),
    "glu of odd length": (lambda: F.glu(un.ones(3)), errors.ShapeError),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_the_same_words_on_every_backend(case: str) -> None:
    call, kind = BAD[case]
    messages = set()
    for name in un.available_backends():
        with un.backend(name), pytest.raises(kind) as caught:
            call()
        messages.add(re.sub(r"on \w+ \(", "on <backend> (", str(caught.value)))
    assert len(messages) == 1, messages
