"""Batch normalisation in evaluation, folded into the layer before it."""

from __future__ import annotations

import copy
from typing import Any

from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn.parameter import Parameter


def _fold(
    weight: Tensor, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float, scale: Tensor | None,
    shift: Tensor | None, shape: tuple[int, ...],
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """Weight and bias of ``(layer(x) - mean) / sqrt(var + eps) * scale + shift``; ``shape`` is a channel's."""
    factor = (var + eps).rsqrt()
    if scale is not None:
        factor = factor * scale
    start = -mean if bias is None else bias - mean
    moved = start * factor
    if shift is not None:
        moved = moved + shift
    bias_dtype = weight.dtype if bias is None else bias.dtype
    required = (weight.requires_grad, bias is not None and bias.requires_grad)
    fused = (weight * factor.reshape(shape)).detach().to(weight.dtype)
    return Parameter(fused, required[0]), Parameter(moved.detach().to(bias_dtype), required[1])


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
    bn_b: Tensor | None, transpose: bool = False,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """The weight and bias of a convolution with the normalisation after it folded in.

    Args:
        conv_w: ``(out, in / groups, *kernel)``, or with the first two swapped if ``transpose``.
        conv_b: ``(out,)`` or None.
        bn_rm, bn_rv: running mean and variance, ``(out,)``.
        bn_eps: what is added to the variance.
        bn_w, bn_b: scale and shift, ``(out,)`` or None.
        transpose: whether the convolution is a transposed one.
    """
    ones = (1,) * (conv_w.ndim - 2)
    shape = (1, -1, *ones) if transpose else (-1, 1, *ones)
    return _fold(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    """The weight ``(out, in)`` and bias of an affine layer with the normalisation after it folded in."""
    return _fold(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, (-1, 1))


def _checked(name: str, layer: Any, bn: Any) -> Any:
    if layer.training or bn.training:
        raise ArgumentError(f"{name}: fusion is for evaluation only; call .eval() on both Modules")
    if bn.running_mean is None or bn.running_var is None:
        raise ArgumentError(f"{name}: the normalisation has no running statistics (track_running_stats=False)")
    return copy.deepcopy(layer)


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of ``conv`` that computes ``bn(conv(x))``. Both stay as they are.

    Raises:
        ArgumentError: one is in training mode, or ``bn`` has no running statistics.
    """
    fused = _checked("fuse_conv_bn_eval", conv, bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of ``linear`` that computes ``bn(linear(x))`` for ``x (N, in)``. Both stay as they are.

    Raises:
        ArgumentError: one is in training mode, or ``bn`` has no running statistics.
        ShapeError: ``bn`` has neither as many features as ``linear`` gives, nor one.
    """
    fused = _checked("fuse_linear_bn_eval", linear, bn)
    if bn.num_features not in (1, linear.out_features):
        raise ShapeError(
            f"fuse_linear_bn_eval: {linear.out_features} features are normalised as {bn.num_features}; they must be "
            "equal, or the latter 1"
        )
    fused.weight, fused.bias = fuse_linear_bn_weights(
        linear.weight, linear.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
