"""Scaled dot-product attention; Vaswani et al., "Attention Is All You Need" (2017)."""

from __future__ import annotations

import math

from unified._dispatch import composite, op
from unified._dtype import DType, bool_, float32
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.nn.functional import _checks
from unified.nn.functional.dropout import dropout, keep_mask
from unified.nn.functional.linear import linear
from unified.ops.creation import zeros_like
from unified.ops.elementwise import Scalar, where
from unified.ops.linalg import matmul
from unified.ops.reduction import softmax
from unified.ops.shape import cat, pad


@op()
def causal_mask(query: Tensor, key: Tensor) -> Tensor:
    """Bool ``(L, S)``, True where position l of ``query (..., L, E)`` may see position s of ``key``: s <= l."""


@composite(check=_checks.attention)
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
    scale: float,
    dropout_mask: Tensor | None = None,
    dropout_scale: Scalar = 1.0,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value``, the weights thinned by ``dropout_mask``.

    A query that may see no key gets 0, as in PyTorch. Elements of 16 bits are computed with in 32.
    """
    dtype = query.dtype
    if dtype.itemsize == 2:
        query, key, value = (each.to(float32) for each in (query, key, value))
    scores = matmul(query * scale, key.transpose(-2, -1))
    if is_causal:
        scores = where(causal_mask(query, key), scores, -math.inf)
    if attn_mask is None:
        weights = softmax(scores, -1)
    else:
        scores = where(attn_mask, scores, -math.inf) if attn_mask.dtype.kind == "b" else scores + attn_mask
        blind = (scores == -math.inf).all(-1, keepdim=True)
        weights = where(blind, 0.0, softmax(where(blind, 0.0, scores), -1))
    if dropout_mask is not None:
        weights = weights * (dropout_mask.to(weights.dtype) * dropout_scale)
    attended: Tensor = matmul(weights, value).to(dtype)
    return attended


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T / sqrt(E) + mask) @ value``.

    Args:
        query: ``(..., L, E)``.
        key: ``(..., S, E)``.
        value: ``(..., S, Ev)``.
        attn_mask: broadcasts to ``(..., L, S)``; bool (True may be seen) or added to the scores.
        dropout_p: probability of zeroing an attention weight.
        is_causal: position l sees s <= l only; excludes ``attn_mask``.
        scale: factor of the scores, ``1 / sqrt(E)`` unless given.
        enable_gqa: key and value have fewer heads (dimension -3), each serving several of query's.

    Returns:
        ``(..., L, Ev)``; 0 for a query that may see nothing.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: both ``attn_mask`` and ``is_causal``, or ``dropout_p`` is no probability.
    """
    if is_causal and attn_mask is not None:
        raise ArgumentError("scaled_dot_product_attention: give attn_mask or is_causal, not both")
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (each.repeat_interleave(groups, -3) for each in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    mask, kept = None, 1.0
    if dropout_p != 0.0:
        shape = _checks.base.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        mask, kept = keep_mask(dropout_p, (*shape, query.shape[-2], key.shape[-2]), query)
    attended: Tensor = attention(query, key, value, attn_mask, is_causal, factor, mask, kept)
    return attended


def _masks(name: str, mask: Tensor | None, dtype: DType) -> Tensor | None:
    """A mask as what is added to the scores: -inf where a bool one forbids."""
    if mask is None or mask.dtype.is_floating_point:
        return mask
    if mask.dtype is not bool_:
        raise DTypeError(
            f"multi_head_attention_forward: {name} must be bool or floating point, not {mask.dtype.name}"
        )
    added: Tensor = zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf)
    return added


def _batched(query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None) -> bool:
    """Whether the operands have a batch dimension.

    Raises:
        ShapeError: they do not agree on it.
    """
    rank = query.ndim
    if rank not in (2, 3) or key.ndim != rank or value.ndim != rank:
        raise ShapeError(
            f"multi_head_attention_forward: query {tuple(query.shape)}, key {tuple(key.shape)} and value "
            f"{tuple(value.shape)} must all have 3 dimensions (L, N, E), or 2 (L, E)"
        )
    if padding is not None and padding.ndim != rank - 1:
        raise ShapeError(
            f"multi_head_attention_forward: key_padding_mask {tuple(padding.shape)} must have {rank - 1} dimensions"
        )
    if mask is not None and mask.ndim not in (2, 3):
        raise ShapeError(f"multi_head_attention_forward: attn_mask {tuple(mask.shape)} must have 2 or 3 dimensions")
    return rank == 3


def _thirds(tensor: Tensor | None) -> tuple[Tensor | None, ...]:
    return (None, None, None) if tensor is None else tuple(tensor.chunk(3))


def _by_head(projected: Tensor, batch_heads: int, head_dim: int) -> Tensor:
    """``(length, N, E)`` as ``(N * heads, length, E / heads)``."""
    split: Tensor = projected.reshape((projected.shape[0], batch_heads, head_dim)).transpose(0, 1)
    return split


def _static(name: str, given: Tensor, batch_heads: int, head_dim: int) -> Tensor:
    if given.ndim != 3 or given.shape[0] != batch_heads or given.shape[2] != head_dim:
        raise ShapeError(
            f"multi_head_attention_forward: {name} {tuple(given.shape)} must be ({batch_heads}, S, {head_dim})"
        )
    return given


def _longer(mask: Tensor | None) -> Tensor | None:
    """The mask with one more key, which may be seen."""
    return None if mask is None else pad(mask, (0, 1))


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Projects query, key and value, attends in several heads, and projects what comes out.

    Args:
        query: ``(L, N, E)``, or ``(L, E)`` without a batch.
        key, value: ``(S, N, E)``, or ``(S, E)``.
        embed_dim_to_check: E.
        num_heads: divides E.
        in_proj_weight, in_proj_bias: the three projections one below the other, ``(3 E, E)`` and ``(3 E,)``.
        bias_k, bias_v: ``(1, 1, E)``, one key and value more for every query.
        add_zero_attn: one key and value more, of zeros.
        dropout_p: of the attention weights, while ``training``.
        out_proj_weight, out_proj_bias: ``(E, E)`` and ``(E,)``.
        key_padding_mask: ``(N, S)`` or ``(S,)``; bool (True is *not* seen) or added to the scores.
        need_weights: also return the weights.
        attn_mask: ``(L, S)`` or ``(N * num_heads, L, S)``, as ``key_padding_mask``.
        use_separate_proj_weight: project by ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight``.
        static_k, static_v: ``(N * num_heads, S, E / num_heads)``, in place of the projected key and value.
        average_attn_weights: return the weights' mean over the heads.
        is_causal: says that ``attn_mask`` is the causal one.

    Returns:
        ``(L, N, E)``, and weights ``(N, L, S)``, ``(N, num_heads, L, S)`` or None; all without N for no batch.

    Raises:
        ShapeError, DTypeError: the operands do not fit.
        ArgumentError: weights are missing, ``num_heads`` does not divide E, or ``is_causal`` comes without a mask.
    """
    batched = _batched(query, key, value, key_padding_mask, attn_mask)
    if not batched:
        query, key, value = (each.unsqueeze(1) for each in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, embed_dim = query.shape
    if embed_dim != embed_dim_to_check or embed_dim % num_heads:
        raise ArgumentError(
            f"multi_head_attention_forward: {embed_dim} features are not the {embed_dim_to_check} expected, or no "
            f"multiple of {num_heads} heads"
        )
    if is_causal and attn_mask is None:
        raise ArgumentError("multi_head_attention_forward: is_causal needs the causal attn_mask as well")
    batch_heads, head_dim = batch * num_heads, embed_dim // num_heads
    hinted = is_causal and key_padding_mask is None and not need_weights
    mask = None if hinted else _masks("attn_mask", attn_mask, query.dtype)
    padding = _masks("key_padding_mask", key_padding_mask, query.dtype)

    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else _thirds(in_proj_weight)
    projected = []
    for operand, weight, bias in zip((query, key, value), weights, _thirds(in_proj_bias), strict=True):
        if weight is None:
            raise ArgumentError("multi_head_attention_forward: the weights of the projections are missing")
        projected.append(linear(operand, weight, bias))
    q, k, v = projected

    if mask is not None:
        mask = mask.unsqueeze(0) if mask.ndim == 2 else mask
        if tuple(mask.shape) not in ((1, length, key.shape[0]), (batch_heads, length, key.shape[0])):
            raise ShapeError(
                f"multi_head_attention_forward: attn_mask {tuple(mask.shape)} must be ({length}, {key.shape[0]}) or "
                f"({batch_heads}, {length}, {key.shape[0]})"
            )
    if (bias_k is None) is not (bias_v is None) or (
        bias_k is not None and (static_k is not None or static_v is not None)
    ):
        raise ArgumentError(
            "multi_head_attention_forward: give bias_k and bias_v together, without static_k, static_v"
        )
    if bias_k is not None and bias_v is not None:
        k = cat([k, bias_k.expand((1, batch, embed_dim))])
        v = cat([v, bias_v.expand((1, batch, embed_dim))])
        mask, padding = _longer(mask), _longer(padding)
    q = _by_head(q, batch_heads, head_dim)
    k = (
        _by_head(k, batch_heads, head_dim)
        if static_k is None
        else _static("static_k", static_k, batch_heads, head_dim)
    )
    v = (
        _by_head(v, batch_heads, head_dim)
        if static_v is None
        else _static("static_v", static_v, batch_heads, head_dim)
    )
    if add_zero_attn:
        k, v = (pad(each, (0, 0, 0, 1)) for each in (k, v))
        mask, padding = _longer(mask), _longer(padding)
    keys = k.shape[1]
    if padding is not None:
        if tuple(padding.shape) != (batch, keys):
            raise ShapeError(
                f"multi_head_attention_forward: key_padding_mask {tuple(padding.shape)} must be ({batch}, {keys})"
            )
        by_head = padding.reshape((batch, 1, 1, keys)).expand((batch, num_heads, 1, keys))
        padding = by_head.reshape((batch_heads, 1, keys))
        mask = padding if mask is None else mask + padding
    if not training:
        dropout_p = 0.0

    attention_weights: Tensor | None = None
    if need_weights:
        scores = matmul(q * math.sqrt(1.0 / head_dim), k.transpose(-2, -1))
        attention_weights = dropout(softmax(scores if mask is None else scores + mask, -1), dropout_p)
        out = matmul(attention_weights, v)
    else:
        out = scaled_dot_product_attention(q, k, v, mask, dropout_p, hinted)
    attended = linear(out.transpose(0, 1).reshape((length, batch, embed_dim)), out_proj_weight, out_proj_bias)
    if attention_weights is not None:
        attention_weights = attention_weights.reshape((batch, num_heads, length, keys))
        if average_attn_weights:
            attention_weights = attention_weights.mean(1)
    if batched:
        return attended, attention_weights
    return attended.squeeze(1), None if attention_weights is None else attention_weights.squeeze(0)
