"""Activations: composites for compilers that fuse them, natives of the same name where a framework has one kernel.

Gradients at the kinks are PyTorch's: 0 at both ends of hardtanh and hardsigmoid, ``negative_slope`` at 0 of leaky
ReLU. A branch not taken is fed a harmless value, so that no infinity of its derivative turns into NaN.

``inplace=True`` rebinds the value of the Tensor that is given and returns that Tensor. With value semantics it saves
no memory; it is there for programs that count on the change.
"""

from __future__ import annotations

import math

from unified._dispatch import composite
from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.functional import _checks
from unified.ops import elementwise
from unified.ops._checks import floating
from unified.ops.creation import zeros_like
from unified.ops.elementwise import Scalar, clamp, erf, exp, expm1, log, log1p, sigmoid, tanh, where
from unified.ops.reduction import argmax, softmax

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _given(input: Tensor, activated: Tensor, inplace: bool) -> Tensor:
    """The activated Tensor, or ``input`` with its value."""
    return input._assign(activated) if inplace else activated


# ---- without an in-place variant -----------------------------------------------------------------------------


@composite(check=_checks.gelu)
def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """``input * Phi(input)`` with the normal distribution's Phi, or its tanh approximation.

    Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016). Example: ``gelu([1.]) -> [0.8413]``.

    Raises:
        ArgumentError: ``approximate`` is neither ``"none"`` nor ``"tanh"``.
    """
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (input + 0.044715 * (input * input * input))
        return 0.5 * input * (1 + tanh(inner))
    return 0.5 * input * (1 + erf(input * math.sqrt(0.5)))


@composite(check=floating)
def softplus(input: Tensor, beta: Scalar = 1.0, threshold: Scalar = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``; ``input`` itself where ``beta * input > threshold``."""
    scaled = input * beta
    return where(scaled > threshold, input, log1p(exp(clamp(scaled, max=threshold))) / beta)


@composite(check=floating)
def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(input))``, without overflow."""
    below, above = clamp(input, max=0), clamp(input, min=0)
    return where(input < 0, below - log1p(exp(below)), -log1p(exp(-above)))


@composite()
def softsign(input: Tensor) -> Tensor:
    """``input / (1 + |input|)``."""
    output: Tensor = input / (1 + input.abs())
    return output


@composite()
def tanhshrink(input: Tensor) -> Tensor:
    """``input - tanh(input)``."""
    return input - tanh(input)


@composite(check=_checks.glu)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """``a * sigmoid(b)`` for the halves a and b of ``input`` along ``dim``. Example: ``(4, 6) -> (4, 3)``."""
    first, second = input.chunk(2, dim)
    output: Tensor = first * sigmoid(second)
    return output


@composite(methods=("prelu",), check=_checks.prelu)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """``input`` above 0, ``weight * input`` below; He et al., "Delving Deep into Rectifiers" (2015).

    Args:
        input: ``(N, C, ...)``.
        weight: one slope, or ``(C,)`` of them.

    Raises:
        ShapeError: ``weight`` has neither one element nor one for each channel.
    """
    if weight.numel() == 1:
        slope = weight.reshape(())
    elif input.ndim > 1:
        slope = weight.reshape((-1, *[1] * (input.ndim - 2)))
    else:
        slope = weight
    return where(input > 0, input, slope * input)


@composite(methods=("hardshrink",), check=floating)
def hardshrink(input: Tensor, lambd: Scalar = 0.5) -> Tensor:
    """0 within ``[-lambd, lambd]``, ``input`` outside. Example: ``hardshrink([0.3, 0.7]) -> [0., 0.7]``."""
    return where((input >= -lambd) & (input <= lambd), 0.0, input)


@composite(name="softshrink", check=floating)
def _softshrink(input: Tensor, lambd: Scalar) -> Tensor:
    """``input`` moved by ``lambd`` towards 0, and 0 within ``[-lambd, lambd]``."""
    inside = (input >= -lambd) & (input <= lambd)
    return where(inside, 0.0, where(input < 0, input + lambd, input - lambd))


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input`` moved by ``lambd`` towards 0, and 0 within ``[-lambd, lambd]``.

    Example: ``softshrink([0.3, 0.7]) -> [0., 0.2]``.

    Raises:
        ArgumentError: ``lambd`` is negative.
    """
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambd must not be negative, not {lambd}")
    shrunk: Tensor = _softshrink(input, lambd)
    return shrunk


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None) -> Tensor:
    """``softmax(-input)`` along ``dim``; without it along 0 of tensors of 0, 1 or 3 dimensions, else along 1."""
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
    return softmax(-input, dim, dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample from the Gumbel-softmax distribution; Jang et al. (2016), Maddison et al. (2016).

    Args:
        logits: unnormalised log-probabilities.
        tau: the temperature.
        hard: the sample is one-hot, and has the gradient of the soft one.
        eps: taken for PyTorch's sake, where it has no effect either.
        dim: along which the probabilities sum to 1.
    """
    waits = clamp(zeros_like(logits).exponential_(), min=2.0**-24)  # the logarithm of 0 would make NaN
    gumbels = -log(waits)
    soft: Tensor = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    one_hot = zeros_like(logits).scatter(dim, argmax(soft, dim, keepdim=True), 1.0)
    sample: Tensor = one_hot - soft.detach() + soft
    return sample


# ---- with an in-place variant ------------------------------------------------------------------------------------


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """``max(input, 0)``; its gradient at 0 is 0."""
    return _given(input, elementwise.relu(input), inplace)


@composite(name="silu", check=floating)
def _silu(input: Tensor) -> Tensor:
    """``input * sigmoid(input)``."""
    return input * sigmoid(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * sigmoid(input)``, also called swish."""
    return _given(input, _silu(input), inplace)


@composite(name="elu", check=floating)
def _elu(input: Tensor, alpha: Scalar) -> Tensor:
    """``input`` above 0, ``alpha * (exp(input) - 1)`` below."""
    return where(input <= 0, alpha * expm1(clamp(input, max=0)), input)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` above 0, ``alpha * (exp(input) - 1)`` below; Clevert et al. (2015)."""
    return _given(input, _elu(input, alpha), inplace)


@composite(name="selu", check=floating)
def _selu(input: Tensor) -> Tensor:
    """``elu`` with fixed constants, scaled."""
    return _SELU_SCALE * where(input <= 0, _SELU_ALPHA * expm1(clamp(input, max=0)), input)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """Scaled ELU whose activations keep zero mean and unit variance; Klambauer et al. (2017)."""
    return _given(input, _selu(input), inplace)


@composite(name="celu", check=floating)
def _celu(input: Tensor, alpha: Scalar) -> Tensor:
    """``input`` above 0, ``alpha * (exp(input / alpha) - 1)`` below."""
    return where(input <= 0, alpha * expm1(clamp(input, max=0) / alpha), input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``max(0, input) + min(0, alpha * (exp(input / alpha) - 1))``.

    Raises:
        ArgumentError: ``alpha`` is 0.
    """
    if alpha == 0:
        raise ArgumentError("celu: alpha must not be 0, by which it divides")
    return _given(input, _celu(input, alpha), inplace)


@composite(name="leaky_relu", check=floating)
def _leaky_relu(input: Tensor, negative_slope: Scalar) -> Tensor:
    """``input`` above 0, ``negative_slope * input`` below."""
    return where(input > 0, input, negative_slope * input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input`` above 0, ``negative_slope * input`` below."""
    return _given(input, _leaky_relu(input, negative_slope), inplace)


@composite(name="hardtanh", idempotent=True)
def _hardtanh(input: Tensor, min_val: Scalar, max_val: Scalar) -> Tensor:
    """``input`` limited to ``[min_val, max_val]``."""
    limited: Tensor = where(input <= min_val, min_val, where(input >= max_val, max_val, input)).to(input.dtype)
    return limited


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` limited to ``[min_val, max_val]``; unlike clamp's, its gradient at both ends is 0.

    Raises:
        ArgumentError: ``min_val`` exceeds ``max_val``.
    """
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} exceeds max_val {max_val}")
    return _given(input, _hardtanh(input, min_val, max_val), inplace)


@composite(name="relu6", idempotent=True)
def _relu6(input: Tensor) -> Tensor:
    """``min(max(input, 0), 6)``."""
    return where(input <= 0, 0, where(input >= 6, 6, input))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(input, 0), 6)``; its gradient at both ends is 0."""
    return _given(input, _relu6(input), inplace)


@composite(name="threshold")
def _threshold(input: Tensor, threshold: Scalar, value: Scalar) -> Tensor:
    """``input`` above ``threshold``, ``value`` elsewhere."""
    replaced: Tensor = where(input <= threshold, value, input).to(input.dtype)
    return replaced


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``input`` above ``threshold``, ``value`` elsewhere. Example: ``threshold([1., 3.], 2., 0.) -> [0., 3.]``."""
    return _given(input, _threshold(input, threshold, value), inplace)


@composite(name="mish", check=floating)
def _mish(input: Tensor) -> Tensor:
    """``input * tanh(softplus(input))``."""
    return input * tanh(where(input > 20, input, log1p(exp(clamp(input, max=20)))))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * tanh(softplus(input))``; Misra (2019)."""
    return _given(input, _mish(input), inplace)


@composite(name="hardswish", check=floating)
def _hardswish(input: Tensor) -> Tensor:
    """``input * min(max(input + 3, 0), 6) / 6``."""
    return where(input <= -3, 0.0, where(input >= 3, input, input * (input + 3) / 6))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """``input * min(max(input + 3, 0), 6) / 6``; Howard et al., "Searching for MobileNetV3" (2019)."""
    return _given(input, _hardswish(input), inplace)


@composite(name="hardsigmoid", check=floating)
def _hardsigmoid(input: Tensor) -> Tensor:
    """``min(max(input / 6 + 1 / 2, 0), 1)``."""
    return where(input <= -3, 0.0, where(input >= 3, 1.0, input / 6 + 0.5))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``min(max(input / 6 + 1 / 2, 0), 1)``; its gradient at both ends is 0."""
    return _given(input, _hardsigmoid(input), inplace)


# ---- in place ----------------------------------------------------------------------------------------------------


def relu_(input: Tensor) -> Tensor:
    """:func:`relu` that writes to ``input``, and returns it."""
    return relu(input, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """:func:`elu` that writes to ``input``, and returns it."""
    return elu(input, alpha, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """:func:`selu` that writes to ``input``, and returns it."""
    return selu(input, inplace=True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """:func:`celu` that writes to ``input``, and returns it."""
    return celu(input, alpha, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """:func:`leaky_relu` that writes to ``input``, and returns it."""
    return leaky_relu(input, negative_slope, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """:func:`hardtanh` that writes to ``input``, and returns it."""
    return hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """:func:`threshold` that writes to ``input``, and returns it."""
    return _given(input, _threshold(input, threshold, value), True)
