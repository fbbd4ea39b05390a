"""Normalisation by statistics of a batch, a layer or a group."""

from __future__ import annotations

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.functional import _checks
from unified.ops.elementwise import Scalar, rsqrt


def _per_channel(values: Tensor, input: Tensor) -> Tensor:
    output: Tensor = values.reshape((1, -1, *[1] * (input.ndim - 2)))
    return output


def _affine(centred: Tensor, inverse: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """``centred * inverse * weight + bias``, operands already broadcastable."""
    result = centred * inverse
    if weight is not None:
        result = result * weight
    return result if bias is None else result + bias


@composite(check=_checks.batch_norm_train)
def batch_norm_train(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: Scalar = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, ...]:
    """Batch norm by the batch's own statistics, and the running statistics after it (None where there are none)."""
    dims = (0, *range(2, input.ndim))
    count = input.numel() // input.shape[1]
    mean = input.mean(dims)
    centred = input - _per_channel(mean, input)
    var = (centred * centred).mean(dims)
    scale = None if weight is None else _per_channel(weight, input)
    shift = None if bias is None else _per_channel(bias, input)
    out = _affine(centred, _per_channel(rsqrt(var + eps), input), scale, shift)
    return (  # type: ignore[return-value]
        out,
        None if running_mean is None else running_mean + momentum * (mean - running_mean),
        None if running_var is None else running_var + momentum * (var * (count / (count - 1)) - running_var),
    )


@composite(check=_checks.batch_norm_eval)
def batch_norm_eval(
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float = 1e-5,
) -> Tensor:
    """Batch norm by given statistics."""
    scale = None if weight is None else _per_channel(weight, input)
    shift = None if bias is None else _per_channel(bias, input)
    centred = input - _per_channel(running_mean, input)
    return _affine(centred, _per_channel(rsqrt(running_var + eps), input), scale, shift)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel of ``input (N, C, ...)``; while training the running statistics are updated in place.

    Ioffe and Szegedy, "Batch Normalization" (2015). ``running_var`` collects the unbiased variance.

    Raises:
        ArgumentError: not training, and no running statistics.
        ShapeError: a statistic or parameter has not the shape ``(C,)``, or training sees one value per channel.
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError("batch_norm: give running_mean and running_var, or training=True")
        normalized: Tensor = batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
        return normalized
    out, mean, var = batch_norm_train(input, running_mean, running_var, weight, bias, momentum, eps)
    if running_mean is not None:
        running_mean.copy_(mean.detach())
    if running_var is not None:
        running_var.copy_(var.detach())
    trained: Tensor = out
    return trained


@composite(check=_checks.layer_norm)
def layer_norm(
    input: Tensor,
    normalized_shape: tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises over the last dimensions, those of ``normalized_shape``; Ba et al. (2016).

    Raises:
        ShapeError: ``input`` does not end with ``normalized_shape``, or a parameter has another shape.
    """
    dims = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(dims, keepdim=True)
    return _affine(centred, rsqrt((centred * centred).mean(dims, keepdim=True) + eps), weight, bias)


@composite(check=_checks.group_norm)
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalises each of ``num_groups`` groups of channels of ``input (N, C, ...)``; Wu and He (2018).

    Raises:
        ShapeError: C is no multiple of ``num_groups``, or a parameter has not the shape ``(C,)``.
    """
    grouped = input.reshape((input.shape[0], num_groups, -1))
    centred = grouped - grouped.mean(-1, keepdim=True)
    normalized = centred * rsqrt((centred * centred).mean(-1, keepdim=True) + eps)
    result = normalized.reshape(tuple(input.shape))
    if weight is not None:
        result = result * _per_channel(weight, input)
    output: Tensor = result if bias is None else result + _per_channel(bias, input)
    return output


@composite(check=_checks.rms_norm)
def rms_norm(
    input: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """``input / rms(input) * weight`` over the last dimensions; Zhang and Sennrich (2019). eps: the dtype's epsilon.

    Raises:
        ShapeError: ``input`` does not end with ``normalized_shape``, or ``weight`` has another shape.
    """
    dims = tuple(range(-len(normalized_shape), 0))
    small = _EPSILON[input.dtype.name] if eps is None else eps
    result = input * rsqrt((input * input).mean(dims, keepdim=True) + small)
    return result if weight is None else result * weight


_EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
