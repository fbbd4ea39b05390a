"""Scaled dot-product attention; Vaswani et al., "Attention Is All You Need" (2017)."""

from __future__ import annotations

import math

from unified._dispatch import composite, op
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.functional import _checks
from unified.nn.functional.dropout import keep_mask
from unified.ops.elementwise import Scalar, where
from unified.ops.linalg import matmul
from unified.ops.reduction import softmax


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

    A query that may see no key gets 0, as in PyTorch.
    """
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
    return matmul(weights, value)


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
