"""What the operands of nn functions must satisfy, with the message that every backend gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops import _checks as base

REDUCTIONS = ("none", "mean", "sum")


def expand(value: int | Sequence[int], spatial: int, name: str = "size") -> tuple[int, ...]:
    """``value`` once per spatial dimension. Example: ``expand(3, 2) -> (3, 3)``."""
    if isinstance(value, int):
        return (value,) * spatial
    found = tuple(value)
    if len(found) == 1:
        return found * spatial
    if len(found) != spatial:
        raise ArgumentError(f"{name} must be an int or {spatial} ints, not {value!r}")
    return found


def reduction(value: str) -> None:
    """A loss's ``reduction`` is one of the three."""
    if value not in REDUCTIONS:
        raise ArgumentError(f"reduction must be 'none', 'mean' or 'sum', not {value!r}")


def _convolution(
    spatial: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> None:
    if len(weight.shape) != spatial + 2:
        raise ShapeError(
            f"weight {tuple(weight.shape)} has {len(weight.shape)} dimensions; a {spatial}-d convolution takes "
            f"{spatial + 2} (out, in / groups, *kernel)"
        )
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"groups must be a positive int, not {groups!r}")
    base.convolution(input, weight, bias, stride, padding, dilation, groups)
    strides, dilations = expand(stride, spatial, "stride"), expand(dilation, spatial, "dilation")
    if min(strides) < 1 or min(dilations) < 1:
        raise ArgumentError(f"stride {stride!r} and dilation {dilation!r} must be positive")
    if padding == "same":
        if max(strides) > 1:
            raise ArgumentError("padding='same' needs stride 1")
        return
    if isinstance(padding, str) and padding != "valid":
        raise ArgumentError(f"padding must be 'same', 'valid', an int or {spatial} ints, not {padding!r}")
    pads = (0,) * spatial if isinstance(padding, str) else expand(padding, spatial, "padding")
    if min(pads) < 0:
        raise ArgumentError(f"padding {padding!r} must not be negative")
    for length, kernel, pad, step in zip(input.shape[-spatial:], weight.shape[2:], pads, dilations, strict=True):
        if length + 2 * pad < step * (kernel - 1) + 1:
            raise ShapeError(
                f"the kernel {tuple(weight.shape[2:])} with dilation {dilation!r} is larger than input "
                f"{tuple(input.shape)} with padding {padding!r}"
            )


def conv1d(input: Any, weight: Any, *rest: Any) -> None:
    """Operands of a 1-d convolution."""
    _convolution(1, input, weight, *rest)


def conv2d(input: Any, weight: Any, *rest: Any) -> None:
    """Operands of a 2-d convolution."""
    _convolution(2, input, weight, *rest)


def conv3d(input: Any, weight: Any, *rest: Any) -> None:
    """Operands of a 3-d convolution."""
    _convolution(3, input, weight, *rest)


def _transposed(
    spatial: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int,
    dilation: Any,
) -> None:  # fmt: skip
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"groups must be a positive int, not {groups!r}")
    shape, weights = tuple(input.shape), tuple(weight.shape)
    if len(weights) != spatial + 2 or len(shape) not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"input {shape} and weight {weights} must have {spatial + 2} dimensions, (N, C, ...) and "
            "(C, out / groups, *kernel); input may lack N"
        )
    if shape[-spatial - 1] != weights[0] or weights[0] % groups:
        raise ShapeError(
            f"input {shape} has {shape[-spatial - 1]} channels, weight {weights} takes {weights[0]}, which must be a "
            f"multiple of groups={groups}"
        )
    if bias is not None and tuple(bias.shape) != (weights[1] * groups,):
        raise ShapeError(f"bias {tuple(bias.shape)} must have the shape ({weights[1] * groups},) of the channels")
    base.same_dtype(input=input, weight=weight, bias=bias)
    strides, dilations = expand(stride, spatial, "stride"), expand(dilation, spatial, "dilation")
    pads, extras = expand(padding, spatial, "padding"), expand(output_padding, spatial, "output_padding")
    if min(strides) < 1 or min(dilations) < 1 or min(pads) < 0 or min(extras) < 0:
        raise ArgumentError(
            f"stride {stride!r} and dilation {dilation!r} must be positive, padding {padding!r} and output_padding "
            f"{output_padding!r} not negative"
        )
    for length, kernel, step, pad, extra, spacing in zip(
        shape[-spatial:], weights[2:], strides, pads, extras, dilations, strict=True
    ):
        if extra >= max(step, spacing):
            raise ArgumentError(f"output_padding {output_padding!r} must be smaller than either stride or dilation")
        if (length - 1) * step - 2 * pad + spacing * (kernel - 1) + extra < 0:
            raise ShapeError(f"padding {padding!r} leaves nothing of input {shape} with weight {weights}")


def conv_transpose1d(input: Any, weight: Any, *rest: Any) -> None:
    """Operands of a transposed 1-d convolution."""
    _transposed(1, input, weight, *rest)


def conv_transpose2d(input: Any, weight: Any, *rest: Any) -> None:
    """Operands of a transposed 2-d convolution."""
    _transposed(2, input, weight, *rest)


def conv_transpose3d(input: Any, weight: Any, *rest: Any) -> None:
    """Operands of a transposed 3-d convolution."""
    _transposed(3, input, weight, *rest)


def _channels(input: Any, **operands: Any) -> None:
    if len(input.shape) < 2:
        raise ShapeError(f"input {tuple(input.shape)} must have at least 2 dimensions (N, C, ...)")
    base.floating(input)
    for name, value in operands.items():
        if value is not None and tuple(value.shape) != (input.shape[1],):
            raise ShapeError(
                f"{name} {tuple(value.shape)} must have the shape ({input.shape[1]},) of the channels of input "
                f"{tuple(input.shape)}"
            )


def several_values(input: Any, name: str) -> None:
    """More than one value per channel, which a variance needs."""
    values = math.prod(input.shape) // max(input.shape[1], 1)
    if values <= 1:
        raise ShapeError(
            f"{name}: input {tuple(input.shape)} has {values} value per channel; training needs more than one"
        )


def batch_norm_train(input: Any, mean: Any, var: Any, weight: Any, bias: Any, momentum: float, eps: float) -> None:
    """Operands of batch norm in training."""
    _channels(input, running_mean=mean, running_var=var, weight=weight, bias=bias)


def batch_norm_eval(input: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> None:
    """Operands of batch norm by running statistics."""
    _channels(input, running_mean=mean, running_var=var, weight=weight, bias=bias)


def instance_norm_train(input: Any, mean: Any, var: Any, weight: Any, bias: Any, momentum: Any, eps: Any) -> None:
    """Operands of instance norm by the input's statistics."""
    _channels(input, running_mean=mean, running_var=var, weight=weight, bias=bias)
    values = math.prod(input.shape[2:])
    if values <= 1:
        raise ShapeError(f"input {tuple(input.shape)} has {values} value per instance and channel, not several")


def local_response_norm(input: Any, size: int, *_: Any) -> None:
    """Operands of local response norm."""
    if len(input.shape) < 3:
        raise ShapeError(f"input {tuple(input.shape)} must have at least 3 dimensions (N, C, ...)")
    if size < 1:
        raise ArgumentError(f"size must be positive, not {size}")


def group_norm(input: Any, num_groups: int, weight: Any, bias: Any, eps: float) -> None:
    """Operands of group norm."""
    _channels(input, weight=weight, bias=bias)
    _groups(input.shape[1], num_groups)


def _groups(channels: int, groups: int) -> None:
    if groups < 1 or channels % groups:
        raise ShapeError(f"{channels} channels cannot be split into {groups} groups")


def native_group_norm(
    input: Any, weight: Any, bias: Any, batch: int, channels: int, size: int, groups: int, eps: Any
) -> None:
    """Operands of group norm under its kernel's name."""
    base.floating(input)
    _groups(channels, groups)
    if math.prod(input.shape) != batch * channels * size:
        raise ShapeError(f"input {tuple(input.shape)} has not N * C * HxW = {batch * channels * size} elements")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != (channels,):
            raise ShapeError(f"{name} {tuple(value.shape)} must have the shape ({channels},) of the channels")


def layer_norm(input: Any, normalized_shape: Any, weight: Any, bias: Any = None, eps: Any = None) -> None:
    """Operands of layer norm and RMS norm."""
    base.floating(input)
    shape = tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise ShapeError(f"input {tuple(input.shape)} must end with normalized_shape {shape}")
    for name, value in (("weight", weight), ("bias", bias)):
        if hasattr(value, "shape") and tuple(value.shape) != shape:
            raise ShapeError(f"{name} {tuple(value.shape)} must have the normalized_shape {shape}")


def rms_norm(input: Any, normalized_shape: Any, weight: Any, eps: Any) -> None:
    """Operands of RMS norm."""
    layer_norm(input, normalized_shape, weight)


def one_hot(tensor: Any, num_classes: int) -> None:
    """Integer class indices."""
    if tensor.dtype.kind not in "iu":
        raise DTypeError(f"class indices must be integers, not {tensor.dtype.name}")


def _positive(name: str, value: float, zero: bool = False) -> None:
    if value < 0 or (value == 0 and not zero):
        raise ArgumentError(f"{name} must {'not be negative' if zero else 'be positive'}, not {value}")


def kl_div(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction_: str = "mean", *_: Any
) -> None:
    """``input`` and ``target`` broadcast; besides the three reductions there is ``"batchmean"``."""
    base.broadcastable(input, target)
    if reduction_ != "batchmean":
        reduction(reduction_)


def elementwise_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction_: str = "mean", extra: Any = None
) -> None:
    """``input`` and ``target`` broadcast; ``extra`` is a weight for each element, or smooth L1's beta."""
    base.broadcastable(input, target)
    reduction(reduction_)
    if isinstance(extra, (int, float)):
        _positive("beta", extra, zero=True)
    elif extra is not None and tuple(extra.shape) != tuple(input.shape):
        raise ShapeError(f"weight {tuple(extra.shape)} must have the shape {tuple(input.shape)} of input")


def huber_loss(input: Any, target: Any, reduction_: str, delta: float, weight: Any) -> None:
    """As any elementwise loss, with a positive ``delta``."""
    elementwise_loss(input, target, None, None, reduction_, weight)
    _positive("delta", delta)


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction_: str = "mean",
    pos_weight: Any = None,
) -> None:
    """``input`` and ``target`` have one shape, to which the weights broadcast."""
    base.floating(input)
    if tuple(input.shape) != tuple(target.shape):
        raise ShapeError(f"target {tuple(target.shape)} must have the shape of input {tuple(input.shape)}")
    base.broadcastable(input, *[w for w in (weight, pos_weight) if w is not None])
    reduction(reduction_)


def classes(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction_: str = "mean",
    *_: Any,
) -> None:
    """Operands of a loss over classes: cross entropy and negative log likelihood."""
    reduction(reduction_)
    base.cross_entropy(input, target)
    channels = input.shape[1] if len(input.shape) > 1 else input.shape[0]
    if weight is not None and tuple(weight.shape) != (channels,):
        raise ShapeError(f"weight {tuple(weight.shape)} must have the shape ({channels},) of the classes")
    if target.dtype.kind not in "iuf":
        raise DTypeError(f"target must be class indices or probabilities, not {target.dtype.name}")
    if weight is not None:
        base.same_dtype(input=input, weight=weight)
    if target.dtype.kind == "f" and ignore_index >= 0:
        raise ArgumentError("ignore_index is not supported for floating point target")


def nll_loss(input: Any, target: Any, *options: Any) -> None:
    """Operands of the negative log likelihood, whose target must be indices."""
    if target.dtype.kind not in "iu":
        raise DTypeError(f"target must be class indices, not {target.dtype.name}")
    classes(input, target, *options)


def attention(query: Any, key: Any, value: Any, attn_mask: Any, *_: Any) -> None:
    """``query (..., L, E)``, ``key (..., S, E)``, ``value (..., S, Ev)``, ``attn_mask`` to ``(..., L, S)``."""
    if min(len(query.shape), len(key.shape), len(value.shape)) < 2:
        raise ShapeError("query, key and value must have at least 2 dimensions (..., length, features)")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)} do not fit: query "
            "and key must end with the same number of features, key and value have the same length"
        )
    base.same_dtype(query=query, key=key, value=value)
    batch = base.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    if attn_mask is not None:
        base.broadcast_shapes(attn_mask.shape, (*batch, query.shape[-2], key.shape[-2]))
        if attn_mask.dtype.name not in ("bool", query.dtype.name):
            raise DTypeError(
                f"attn_mask must be bool or have query's dtype {query.dtype.name}, not {attn_mask.dtype.name}"
            )


def gelu(input: Any, approximate: str) -> None:
    """A floating input and a known approximation."""
    base.floating(input)
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"approximate must be 'none' or 'tanh', not {approximate!r}")


def glu(input: Any, dim: int) -> None:
    """A dimension of even length."""
    base.floating(input)
    rank = len(input.shape)
    if not -rank <= dim < rank or input.shape[dim] % 2:
        raise ShapeError(f"dimension {dim} of input {tuple(input.shape)} must exist and have an even length")


def prelu(input: Any, weight: Any) -> None:
    """One slope, or one for each channel."""
    base.floating(input)
    if len(weight.shape) > 1:
        raise ShapeError(f"weight {tuple(weight.shape)} must have at most one dimension")
    if math.prod(weight.shape) == 1:
        return
    channels = input.shape[1] if len(input.shape) > 1 else 1
    if not input.shape or weight.shape[0] != channels:
        raise ShapeError(
            f"weight {tuple(weight.shape)} must have one slope, or one for each channel of input {tuple(input.shape)}"
        )


def _table(input: Any, weight: Any) -> None:
    if input.dtype.name not in ("int32", "int64"):
        raise DTypeError(f"input must be int32 or int64 indices, not {input.dtype.name}")
    if len(weight.shape) != 2:
        raise ShapeError(f"weight {tuple(weight.shape)} must have 2 dimensions (num_embeddings, embedding_dim)")


def rows(input: Any, weight: Any, *_: Any) -> list[tuple[Any, int, int, bool]]:
    """Where an index of a table's rows must lie; negative ones name none."""
    return [(input, 0, weight.shape[0], False)]


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> None:
    """Integer ``input`` and a matrix ``weight``."""
    _table(input, weight)
    if padding_idx is not None and not -weight.shape[0] <= padding_idx < weight.shape[0]:
        raise ArgumentError(f"padding_idx {padding_idx} lies outside of the {weight.shape[0]} rows of weight")


def renormalized(weight: Any, input: Any, *_: Any) -> None:
    """As of embedding."""
    _table(input, weight)


def bags(input: Any, weight: Any, per_sample_weights: Any, mode: str, scale_grad_by_freq: bool, padding: Any) -> None:
    """As of embedding, with a factor for each index."""
    embedding(input, weight, padding)
    if per_sample_weights is not None:
        if tuple(per_sample_weights.shape) != tuple(input.shape):
            raise ShapeError(
                f"per_sample_weights {tuple(per_sample_weights.shape)} must have input's shape {tuple(input.shape)}"
            )
        base.same_dtype(weight=weight, per_sample_weights=per_sample_weights)


def bags_by_offsets(input: Any, weight: Any, offsets: Any, *options: Any) -> None:
    """As of bags, with integer offsets in one dimension."""
    bags(input, weight, *options)
    if len(offsets.shape) != 1 or offsets.dtype.name not in ("int32", "int64"):
        raise ShapeError(f"offsets must be integers in 1 dimension, not {offsets.dtype.name} {tuple(offsets.shape)}")
