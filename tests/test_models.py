"""The zoo against PyTorch: the same source text, with ``torch`` read for ``unified``, and the same weights.

Tolerances: 1e-5 on logits and 1e-4 relative to the largest gradient, float32 sums in another order through up to
two transformer blocks.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unified as un
import unified.nn.functional as F
from tests.twins import in_torch
from unified import nn
from unified.models import GPT, MLP, DigitsCNN, GPTConfig, LSTMClassifier, ResNet, TranslationTransformer
from unified.models.resnet import BasicBlock


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(np.array(value.detach().numpy())) for name, value in model.state_dict().items()}


def _agree(
    model: nn.Module, twin: torch.nn.Module, x: np.ndarray | tuple[np.ndarray, ...], y: np.ndarray, classes: int
) -> None:
    """Logits and every parameter's gradient, in training mode."""
    twin.load_state_dict(_weights(model))
    inputs = x if isinstance(x, tuple) else (x,)
    expected = twin(*[torch.tensor(each) for each in inputs])
    logits = model(*[un.tensor(each) for each in inputs])
    np.testing.assert_allclose(logits.detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    torch.nn.functional.cross_entropy(expected.reshape(-1, classes), torch.tensor(y).long().reshape(-1)).backward()
    F.cross_entropy(logits.reshape(-1, classes), un.tensor(y).reshape(-1)).backward()
    theirs = dict(twin.named_parameters())
    ours = dict(model.named_parameters())
    assert ours.keys() == theirs.keys()
    for name, parameter in ours.items():
        gradient = theirs[name].grad.numpy()
        scale = max(float(np.abs(gradient).max()), 1e-6)
        np.testing.assert_allclose(parameter.grad.numpy() / scale, gradient / scale, atol=1e-4, err_msg=name)


def test_mlp(backend: str) -> None:
    un.manual_seed(0)
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((8, 5)).astype(np.float32), draw.integers(0, 3, 8).astype(np.int32)
    _agree(MLP(5, (16, 8), 3), in_torch("mlp").MLP(5, (16, 8), 3), x, y, 3)


def test_digits_cnn(backend: str) -> None:
    un.manual_seed(0)
    draw = np.random.default_rng(0)
    x, y = draw.random((4, 1, 8, 8)).astype(np.float32), draw.integers(0, 10, 4).astype(np.int32)
    _agree(DigitsCNN(dropout=0.0), in_torch("cnn").DigitsCNN(dropout=0.0), x, y, 10)


def test_lstm(backend: str) -> None:
    un.manual_seed(0)
    draw = np.random.default_rng(0)
    tokens, lengths = draw.integers(0, 9, (3, 5)).astype(np.int32), np.array([2, 5, 3], np.int32)
    made = (
        LSTMClassifier(9, 4, 6, 3, 2, bidirectional=True),
        in_torch("lstm").LSTMClassifier(9, 4, 6, 3, 2, 0, True),
    )
    y = draw.integers(0, 3, 3).astype(np.int32)
    _agree(*made, tokens, y, 3)
    for model in made:
        model.zero_grad()
    _agree(*made, (tokens, lengths), y, 3)


def test_translation_transformer(backend: str) -> None:
    un.manual_seed(0)
    draw = np.random.default_rng(0)
    source, target = draw.integers(1, 9, (2, 5)).astype(np.int32), draw.integers(0, 7, (2, 5)).astype(np.int32)
    source[0, 3:] = 0
    options = {"width": 8, "heads": 2, "layers": 1, "hidden": 12, "context": 6, "dropout": 0.0, "padding": 0}
    twin = in_torch("transformer").TranslationTransformer(9, 7, **options)
    _agree(TranslationTransformer(9, 7, **options), twin, (source, target[:, :-1]), target[:, 1:], 7)


@pytest.mark.parametrize("small_images", [True, False])
def test_resnet(backend: str, small_images: bool) -> None:
    un.manual_seed(0)
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((4, 3, 32, 32)).astype(np.float32), draw.integers(0, 10, 4).astype(np.int32)
    sizes = ((2, 1, 1, 1), 10, small_images, 4)
    _agree(ResNet(*sizes), in_torch("resnet").ResNet(*sizes), x, y, 10)


def test_gpt(backend: str) -> None:
    un.manual_seed(0)
    module = in_torch("gpt")
    config = GPTConfig.tiny()
    ids = np.random.default_rng(0).integers(0, config.vocabulary, (2, config.context + 1)).astype(np.int32)
    _agree(GPT(config), module.GPT(module.GPTConfig.tiny()), ids[:, :-1], ids[:, 1:], config.vocabulary)


def test_gpt_sees_no_later_token(backend: str) -> None:
    model = GPT(GPTConfig.tiny())
    ids = np.zeros((1, 8), np.int32)
    changed = ids.copy()
    changed[0, 5] = 7
    before, after = (model(un.tensor(tokens)).detach().numpy() for tokens in (ids, changed))
    np.testing.assert_array_equal(before[0, :5], after[0, :5])
    assert np.abs(before[0, 5:] - after[0, 5:]).max() > 1e-3


def test_gpt_refuses_what_it_cannot_place(backend: str) -> None:
    with pytest.raises(ValueError, match="17 tokens exceed the context of 16"):
        GPT(GPTConfig.tiny())(un.zeros(1, 17, dtype=un.int32))
    with pytest.raises(ValueError, match="width 30 must be a multiple of heads 4"):
        GPT(GPTConfig(vocabulary=10, width=30, layers=1, heads=4, context=8))


@pytest.mark.parametrize(
    ("size", "channels"),
    [(4, 72), (8, 8), (112, 8)],
    ids=["by fewer patches than channels", "by patches", "directly"],
)
def test_a_compiled_residual_block_is_pytorchs(backend: str, size: int, channels: int) -> None:
    """Programs move transposes of channels out of the way, and convolve by patches where the images are small."""
    un.manual_seed(0)
    draw = np.random.default_rng(0)
    x = draw.standard_normal((16, 6, size, size)).astype(np.float32)
    model = BasicBlock(6, channels, 2)
    twin = in_torch("resnet").BasicBlock(6, channels, 2)
    twin.load_state_dict(_weights(model))

    @un.compile
    def step(x: un.Tensor) -> un.Tensor:
        out = model(x)
        loss = (out * out.tanh()).sum((1, 2)).mean() + out[:, 1].mean()
        loss.backward()
        return loss

    out = twin(torch.tensor(x))
    expected = (out * out.tanh()).sum((1, 2)).mean() + out[:, 1].mean()
    expected.backward()
    np.testing.assert_allclose(step(un.tensor(x)).item(), expected.item(), 1e-5)
    for name, value in twin.named_parameters():
        found, gradient = dict(model.named_parameters())[name].grad.numpy(), value.grad.numpy()
        np.testing.assert_allclose(found, gradient, 1e-3, 1e-4 * np.abs(gradient).max(), err_msg=name)
    for name, value in twin.named_buffers():
        np.testing.assert_allclose(dict(model.named_buffers())[name].numpy(), value.numpy(), 1e-5, 1e-6, err_msg=name)
