"""Normalisation by statistics of a batch, a layer or a group."""

from __future__ import annotations

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.functional import _checks
from unified.ops.elementwise import Operand, Scalar, clamp, rsqrt
from unified.ops.shape import pad


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
    eps: Scalar = 1e-5,
) -> tuple[Tensor, ...]:
    """Batch norm by the batch's own statistics, and the running statistics after it (None where there are none).

    Returns:
        The normalised input, the running mean and variance, and the batch's mean and ``1 / sqrt(var + eps)``.
    """
    dims = (0, *range(2, input.ndim))
    count = input.numel() // input.shape[1]
    mean = input.mean(dims)
    centred = input - _per_channel(mean, input)
    var = (centred * centred).mean(dims)
    inverse = rsqrt(var + eps)
    scale = None if weight is None else _per_channel(weight, input)
    shift = None if bias is None else _per_channel(bias, input)
    others = max(count - 1, 1) if isinstance(count, int) else clamp(count - 1, min=1)  # the length is a dynamic one
    unbiased = var * (count / others)
    return (  # type: ignore[return-value]
        _affine(centred, _per_channel(inverse, input), scale, shift),
        None if running_mean is None else running_mean + momentum * (mean - running_mean),
        None if running_var is None else running_var + momentum * (unbiased - running_var),
        mean,
        inverse,
    )


@composite(check=_checks.batch_norm_eval)
def batch_norm_eval(
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: Scalar = 1e-5,
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
        ArgumentError: not training, and no running statistics; or training, and ``eps`` is not positive.
        ShapeError: a statistic or parameter has not the shape ``(C,)``, or training sees one value per channel.
    """
    if training and eps <= 0.0:
        raise ArgumentError(f"batch_norm: eps must be positive during training, but got {eps}")
    if not input.numel():
        nothing: Tensor = input.clone()
        return nothing
    if training:
        _checks.several_values(input, "batch_norm")
    return native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """``batch_norm`` with what its derivative uses, under the name of PyTorch's kernel.

    Returns:
        The result, the batch's mean and its ``1 / sqrt(var + eps)``, both empty when not training.

    Raises:
        ArgumentError: not training, and no running statistics.
        ShapeError: a statistic or parameter has not the shape ``(C,)``.
    """
    out: Tensor
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError("batch_norm: give running_mean and running_var, or training=True")
        out = batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
        empty = running_mean.narrow(0, 0, 0)
        return out, empty, empty
    out, mean, var, batch_mean, inverse = batch_norm_train(
        input, running_mean, running_var, weight, bias, momentum, eps
    )
    _update(running_mean, mean)
    _update(running_var, var)
    return out, batch_mean, inverse


def _update(statistic: Tensor | None, value: Tensor) -> None:
    if statistic is not None:
        statistic.copy_(value.detach())


@composite(check=_checks.instance_norm_train)
def instance_norm_train(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: Scalar,
    eps: Scalar,
) -> tuple[Tensor, ...]:
    """Instance norm by each instance's statistics, and the running statistics after it, None where there are none."""
    dims = tuple(range(2, input.ndim))
    count = input.numel() // (input.shape[0] * input.shape[1])
    mean = input.mean(dims, keepdim=True)
    centred = input - mean
    var = (centred * centred).mean(dims, keepdim=True)
    scale = None if weight is None else _per_channel(weight, input)
    shift = None if bias is None else _per_channel(bias, input)
    over = (0, *dims)
    unbiased = var.mean(over) * (count / (count - 1))
    return (  # type: ignore[return-value]
        _affine(centred, rsqrt(var + eps), scale, shift),
        None if running_mean is None else running_mean + momentum * (mean.mean(over) - running_mean),
        None if running_var is None else running_var + momentum * (unbiased - running_var),
    )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel of each instance of ``input (N, C, ...)``; Ulyanov et al. (2016).

    With ``use_input_stats`` the running statistics, where given, are updated in place by the means over the batch;
    without it they are what normalises.

    Raises:
        ArgumentError: neither ``use_input_stats`` nor running statistics.
        ShapeError: a statistic or parameter has not the shape ``(C,)``, or there is one value per channel.
    """
    out: Tensor
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError("instance_norm: give running_mean and running_var, or use_input_stats=True")
        out = batch_norm_eval(input, running_mean, running_var, weight, bias, eps)
        return out
    out, mean, var = instance_norm_train(input, running_mean, running_var, weight, bias, momentum, eps)
    _update(running_mean, mean)
    _update(running_var, var)
    return out


@composite(check=_checks.local_response_norm)
def local_response_norm(
    input: Tensor, size: int, alpha: Scalar = 1e-4, beta: Scalar = 0.75, k: Scalar = 1.0
) -> Tensor:
    """``input / (k + alpha * mean of squares of size neighbouring channels) ** beta``; Krizhevsky et al. (2012).

    Channels outside of ``input (N, C, ...)`` count as 0.

    Raises:
        ShapeError: ``input`` has fewer than 3 dimensions.
        ArgumentError: ``size`` is not positive.
    """
    around = (size // 2, (size - 1) // 2)
    squares = pad(input * input, (*[0, 0] * (input.ndim - 2), *around))
    channels = input.shape[1]
    neighbours = [squares.split((shift, channels, size - 1 - shift), 1)[1] for shift in range(size)]
    total = sum(neighbours[1:], start=neighbours[0])
    mean = total / size if input.dtype.is_inexact else total // size
    output: Tensor = input / (mean * alpha + k) ** beta
    return output


@composite(check=_checks.layer_norm)
def layer_norm(
    input: Tensor,
    normalized_shape: tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: Scalar = 1e-5,
) -> Tensor:
    """Normalises over the last dimensions, those of ``normalized_shape``; Ba et al. (2016).

    Raises:
        ShapeError: ``input`` does not end with ``normalized_shape``, or a parameter has another shape.
    """
    return native_layer_norm(input, normalized_shape, weight, bias, eps)[0]


@composite(check=_checks.layer_norm)
def native_layer_norm(
    input: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: Scalar
) -> tuple[Tensor, ...]:
    """``layer_norm``, and the mean and ``1 / sqrt(var + eps)`` that it used, under the name of PyTorch's kernel.

    Raises:
        ShapeError: ``input`` does not end with ``normalized_shape``, or a parameter has another shape.
    """
    dims = tuple(range(-len(normalized_shape), 0))
    mean = input.mean(dims, keepdim=True)
    centred = input - mean
    inverse = rsqrt((centred * centred).mean(dims, keepdim=True) + eps)
    return _affine(centred, inverse, weight, bias), mean, inverse


@composite(check=_checks.group_norm)
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: Scalar = 1e-5
) -> Tensor:
    """Normalises each of ``num_groups`` groups of channels of ``input (N, C, ...)``; Wu and He (2018).

    Raises:
        ShapeError: C is no multiple of ``num_groups``, or a parameter has not the shape ``(C,)``.
    """
    return _group_norm(input, num_groups, weight, bias, eps)[0]


def _group_norm(
    input: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: Scalar
) -> tuple[Tensor, Tensor, Tensor]:
    shape = tuple(input.shape)
    grouped = input.reshape((shape[0], groups, input.numel() // max(shape[0] * groups, 1)))
    mean = grouped.mean(-1, keepdim=True)
    centred = grouped - mean
    inverse = rsqrt((centred * centred).mean(-1, keepdim=True) + eps)
    result: Tensor = (centred * inverse).reshape(shape)
    if weight is not None:
        result = result * _per_channel(weight, input)
    if bias is not None:
        result = result + _per_channel(bias, input)
    return result, mean.squeeze(-1), inverse.squeeze(-1)


@composite(check=_checks.native_group_norm)
def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,  # noqa: N803  (PyTorch's names)
    C: int,  # noqa: N803
    HxW: int,  # noqa: N803
    group: int,
    eps: Scalar,
) -> tuple[Tensor, ...]:
    """``group_norm``, and the mean and ``1 / sqrt(var + eps)`` that it used, under the name of PyTorch's kernel.

    ``input`` has ``N * C * HxW`` elements, and the statistics are ``(N, group)``.

    Raises:
        ShapeError: ``input`` has another number of elements, or C is no multiple of ``group``.
    """
    out, mean, inverse = _group_norm(input.reshape((N, C, HxW)), group, weight, bias, eps)
    return out.reshape(tuple(input.shape)), mean, inverse


@composite(check=_checks.rms_norm)
def rms_norm(
    input: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None = None, eps: Operand | None = None
) -> Tensor:
    """``input / rms(input) * weight`` over the last dimensions; Zhang and Sennrich (2019). eps: the dtype's epsilon.

    Raises:
        ShapeError: ``input`` does not end with ``normalized_shape``, or ``weight`` has another shape.
    """
    dims = tuple(range(-len(normalized_shape), 0))
    small = _EPSILON[input.dtype.name] if eps is None else eps
    result = input * rsqrt((input * input).mean(dims, keepdim=True) + small)
    return result if weight is None else result * weight


_EPSILON = {
    "float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7,
    "complex128": 2.0**-52, "complex64": 2.0**-23,
}  # fmt: skip
