"""Attention and the Transformer against ``torch.nn`` in the same test.

float32 agrees to 1e-5 of the largest element, after two layers of norms and softmaxes; gradients to 1e-4 of theirs,
which sum over all positions what float32 has rounded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import unified as un
import unified.nn.functional as F
from unified import nn

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")  # PyTorch's word on its own kernels
SIZES = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
PADDING = np.array([[False, False, True], [False, False, False]])


def close(found, expected, tolerance=1e-5, what=""):
    expected = np.asarray(expected.detach())
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(found.detach().numpy(), expected, tolerance, tolerance * scale, err_msg=what)


def pair(cls, *args, **kwargs):
    """Ours and PyTorch's with the same parameters, none of them 0 or 1 as initialised."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, cls)(*args, **kwargs)
    with torch.no_grad():
        for param in theirs.parameters():
            param.uniform_(-0.5, 0.5)
    activation = kwargs.pop("activation", None)
    if callable(activation):
        kwargs["activation"] = getattr(F, activation.__name__)
    elif activation is not None:
        kwargs["activation"] = activation
    ours = getattr(nn, cls)(*args, **kwargs)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def drawn(*shape, seed=0):
    array = np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)
    return un.tensor(array).requires_grad_(), torch.tensor(array).requires_grad_()


def both(value):
    return un.tensor(value), torch.tensor(value)


def gradients(ours, theirs, found, expected):
    (found * found).sum().backward()
    (expected * expected).sum().backward()
    for (name, mine), (expected_name, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == expected_name
        close(mine.grad, other.grad, 1e-4, name)


# ---- attention ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"add_bias_kv": True, "add_zero_attn": True},
        {"add_bias_kv": True, "kdim": 6, "vdim": 5, "batch_first": True, "bias": False},
        {"add_zero_attn": True, "batch_first": True},
    ],
    ids=str,
)
def test_attention_over_more_keys(backend: str, options: dict) -> None:
    ours, theirs = pair("MultiheadAttention", 8, 2, **options)
    lengths = ((2, 4), (2, 3)) if options.get("batch_first") else ((4, 2), (3, 2))
    (q, tq), (k, tk), (v, tv) = (
        drawn(*shape, width, seed=i)
        for i, (shape, width) in enumerate(
            zip(
                (lengths[0], lengths[1], lengths[1]), (8, options.get("kdim", 8), options.get("vdim", 8)), strict=True
            )
        )
    )
    mask, their_mask = both(np.triu(np.ones((4, 3), bool), 2))
    padding, their_padding = both(PADDING)
    for call in ({}, {"need_weights": False}, {"average_attn_weights": False}):
        found, weights = ours(q, k, v, key_padding_mask=padding, attn_mask=mask, **call)
        expected, their_weights = theirs(tq, tk, tv, key_padding_mask=their_padding, attn_mask=their_mask, **call)
        close(found, expected)
        assert (weights is None) == (their_weights is None)
        if weights is not None:
            close(weights, their_weights)
    gradients(ours, theirs, found, expected)
    for mine, other in ((q, tq), (k, tk), (v, tv)):
        close(mine.grad, other.grad, 1e-4)


def test_attention_without_a_batch_and_with_a_mask_for_each_head(backend: str) -> None:
    ours, theirs = pair("MultiheadAttention", 8, 2)
    (q, tq), (k, tk) = drawn(4, 8), drawn(3, 8, seed=1)
    mask, their_mask = both(np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32))
    padding, their_padding = both(np.array([0.0, 0.0, -np.inf], np.float32))
    results = ours(q, k, k, padding, True, mask)
    for found, expected in zip(results, theirs(tq, tk, tk, their_padding, True, their_mask), strict=True):
        close(found, expected)
    causal = nn.Transformer.generate_square_subsequent_mask(4)
    found, none = ours(q, q, q, attn_mask=causal, need_weights=False, is_causal=True)
    assert none is None
    close(found, theirs(tq, tq, tq, attn_mask=torch.nn.Transformer.generate_square_subsequent_mask(4))[0])


# ---- layers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm_first": True, "activation": "gelu", "batch_first": True},
        {"bias": False, "activation": torch.nn.functional.silu, "layer_norm_eps": 1e-2},
    ],
    ids=["defaults", "norm_first", "callable"],
)
def test_transformer_equals_torchs(backend: str, options: dict) -> None:
    ours, theirs = pair("Transformer", num_encoder_layers=1, num_decoder_layers=2, **SIZES, **options)
    first = options.get("batch_first", False)
    (src, their_src), (tgt, their_tgt) = (
        (drawn(2, 3, 8), drawn(2, 4, 8)) if first else (drawn(3, 2, 8), drawn(4, 2, 8))
    )
    mask, their_mask = (kind.generate_square_subsequent_mask(4) for kind in (ours, theirs))
    np.testing.assert_array_equal(mask.numpy(), their_mask.numpy())
    padding, their_padding = both(np.where(PADDING, -np.inf, 0.0).astype(np.float32))
    found = ours(src, tgt, tgt_mask=mask, src_key_padding_mask=padding, memory_key_padding_mask=padding)
    expected = theirs(
        their_src, their_tgt, tgt_mask=their_mask, src_key_padding_mask=their_padding,
        memory_key_padding_mask=their_padding,
    )  # fmt: skip
    close(found, expected)
    gradients(ours, theirs, found, expected)
    close(src.grad, their_src.grad, 1e-4)
    ours.eval(), theirs.eval()
    hinted = ours(src, tgt, tgt_mask=mask, tgt_is_causal=True)
    close(hinted, theirs(their_src, their_tgt, tgt_mask=their_mask))


def test_layers_without_a_batch(backend: str) -> None:
    (src, their_src), (tgt, their_tgt) = drawn(3, 8), drawn(4, 8)
    ours, theirs = pair("TransformerEncoderLayer", **SIZES)
    close(ours(src), theirs(their_src))
    ours, theirs = pair("TransformerDecoderLayer", **SIZES)
    close(ours(tgt, src), theirs(their_tgt, their_src))
    ours, theirs = pair("Transformer", num_encoder_layers=1, num_decoder_layers=1, **SIZES)
    close(ours(src, tgt), theirs(their_src, their_tgt))


def test_copies_start_out_equal_and_are_their_own(backend: str) -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**SIZES), 2, nn.LayerNorm(8))
    first, second = (layer.state_dict() for layer in encoder.layers)
    for name, value in first.items():
        np.testing.assert_array_equal(value.numpy(), second[name].numpy())
    with un.no_grad():
        encoder.layers[0].linear1.weight.zero_()
    assert encoder.layers[1].linear1.weight.detach().abs().sum().item() > 0


def test_a_saved_transformer_comes_back(backend: str, tmp_path: Path) -> None:
    saved = nn.Transformer(num_encoder_layers=1, num_decoder_layers=1, **SIZES)
    un.save_model(saved, tmp_path / "model.safetensors")
    loaded = un.load_model(tmp_path / "model.safetensors")
    x = un.randn(3, 2, 8)
    np.testing.assert_array_equal(loaded(x, x).detach().numpy(), saved(x, x).detach().numpy())


def test_dropout_is_the_same_on_every_backend(backend: str) -> None:
    _, theirs = pair("TransformerEncoderLayer", 8, 2, 12, dropout=0.0)
    array = np.random.default_rng(0).standard_normal((3, 2, 8)).astype(np.float32)

    def run():
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.4)
        layer.load_state_dict(theirs.state_dict())
        un.manual_seed(5)
        return layer(un.tensor(array)).detach().numpy(), layer.eval()(un.tensor(array))

    found, plain = run()
    close(plain, theirs(torch.tensor(array)))
    assert np.abs(found - plain.detach().numpy()).max() > 1e-2
    with un.backend("torch"):
        np.testing.assert_allclose(found, run()[0], 1e-4, 1e-5)


def test_initialisation(backend: str) -> None:
    """Matrices by Xavier and Bengio (2010), biases of attention 0, norms 1 and 0."""
    model = nn.Transformer(num_encoder_layers=1, num_decoder_layers=1, **SIZES)
    for name, param in model.named_parameters():
        values = param.detach().numpy()
        if values.ndim > 1:
            assert np.abs(values).max() <= np.sqrt(6 / sum(values.shape)), name
            assert np.abs(values).max() > 0, name
        elif "in_proj_bias" in name or "out_proj.bias" in name or ("norm" in name and "bias" in name):
            assert not values.any(), name
    assert nn.MultiheadAttention(8, 2, add_bias_kv=True).bias_k.detach().abs().sum().item() > 0


def test_a_compiled_step_is_the_eager_one(backend: str) -> None:
    losses = []
    for wrap in (un.compile, lambda function: function):
        un.manual_seed(0)
        model = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1)
        x = un.randn(3, 2, 8)
        optimizer = un.optim.SGD(model.parameters(), lr=0.1)
        mask = nn.Transformer.generate_square_subsequent_mask(3)

        def step(model=model, x=x, optimizer=optimizer, mask=mask):
            optimizer.zero_grad()
            loss = (model(x, mask, is_causal=True) ** 2)[..., 0].mean()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        losses.append([step().item() for _ in range(3)])
    np.testing.assert_allclose(losses[0], losses[1], 1e-4)
    assert losses[0][2] != losses[0][0]


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (ValueError, "multiple of num_heads", lambda: nn.MultiheadAttention(8, 3)),
        (RuntimeError, "relu/gelu, not tanh", lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh")),
        (RuntimeError, "batch number", lambda: model()(un.ones(3, 2, 8), un.ones(4, 1, 8))),
        (RuntimeError, "equal to d_model", lambda: model()(un.ones(3, 2, 7), un.ones(4, 2, 8))),
        (RuntimeError, "is_causal needs", lambda: layer()(un.ones(3, 2, 8), is_causal=True)),
        (RuntimeError, "attn_mask", lambda: layer()(un.ones(3, 2, 8), un.ones(2, 2))),
        (RuntimeError, "key_padding_mask", lambda: layer()(un.ones(3, 2, 8), src_key_padding_mask=un.ones(2, 4))),
        (RuntimeError, "3 dimensions", lambda: layer()(un.ones(1, 3, 2, 8))),
        (TypeError, "bool or floating", lambda: layer()(un.ones(3, 2, 8), un.ones(3, 3, dtype=un.int32))),
    ],
)
def test_bad_input(backend: str, error: type[Exception], words: str, make) -> None:
    with pytest.raises(error, match=words) as caught:
        make()
    assert isinstance(caught.value, un.errors.UnifiedError)


def model():
    return nn.Transformer(num_encoder_layers=1, num_decoder_layers=1, **SIZES)


def layer():
    return nn.TransformerEncoderLayer(**SIZES)
