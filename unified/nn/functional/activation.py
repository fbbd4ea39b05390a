"""Activations: composites for compilers that fuse them, natives of the same name where a framework has one kernel.

Gradients at the kinks are PyTorch's: 0 at both ends of hardtanh and hardsigmoid, ``negative_slope`` at 0 of leaky
ReLU. A branch not taken is fed a harmless value, so that no infinity of its derivative turns into NaN.
"""

from __future__ import annotations

import math

from unified._dispatch import composite
from unified._tensor import Tensor
from unified.nn.functional import _checks
from unified.ops._checks import floating
from unified.ops.elementwise import Scalar, clamp, erf, exp, expm1, log1p, sigmoid, tanh, where

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


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
def silu(input: Tensor) -> Tensor:
    """``input * sigmoid(input)``, also called swish."""
    return input * sigmoid(input)


@composite(check=floating)
def elu(input: Tensor, alpha: Scalar = 1.0) -> Tensor:
    """``input`` above 0, ``alpha * (exp(input) - 1)`` below."""
    return where(input > 0, input, alpha * expm1(clamp(input, max=0)))


@composite(check=floating)
def selu(input: Tensor) -> Tensor:
    """Scaled ELU whose activations keep zero mean and unit variance; Klambauer et al. (2017)."""
    return _SELU_SCALE * where(input > 0, input, _SELU_ALPHA * expm1(clamp(input, max=0)))


@composite(check=floating)
def celu(input: Tensor, alpha: Scalar = 1.0) -> Tensor:
    """``max(0, input) + min(0, alpha * (exp(input / alpha) - 1))``."""
    return where(input > 0, input, alpha * expm1(clamp(input, max=0) / alpha))


@composite(check=floating)
def leaky_relu(input: Tensor, negative_slope: Scalar = 0.01) -> Tensor:
    """``input`` above 0, ``negative_slope * input`` below."""
    return where(input > 0, input, negative_slope * input)


@composite()
def hardtanh(input: Tensor, min_val: Scalar = -1.0, max_val: Scalar = 1.0) -> Tensor:
    """``input`` limited to ``[min_val, max_val]``; unlike clamp's, its gradient at both ends is 0."""
    return where(input <= min_val, min_val, where(input >= max_val, max_val, input))


@composite()
def relu6(input: Tensor) -> Tensor:
    """``min(max(input, 0), 6)``."""
    return where(input <= 0, 0, where(input >= 6, 6, input))


@composite(check=floating)
def softplus(input: Tensor, beta: Scalar = 1.0, threshold: Scalar = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``; ``input`` itself where ``beta * input > threshold``."""
    scaled = input * beta
    return where(scaled > threshold, input, log1p(exp(clamp(scaled, max=threshold))) / beta)


@composite(check=floating)
def mish(input: Tensor) -> Tensor:
    """``input * tanh(softplus(input))``; Misra (2019)."""
    return input * tanh(where(input > 20, input, log1p(exp(clamp(input, max=20)))))


@composite(check=floating)
def hardswish(input: Tensor) -> Tensor:
    """``input * min(max(input + 3, 0), 6) / 6``; Howard et al., "Searching for MobileNetV3" (2019)."""
    return where(input <= -3, 0.0, where(input >= 3, input, input * (input + 3) / 6))


@composite(check=floating)
def hardsigmoid(input: Tensor) -> Tensor:
    """``min(max(input / 6 + 1 / 2, 0), 1)``."""
    return where(input <= -3, 0.0, where(input >= 3, 1.0, input / 6 + 0.5))


@composite(check=floating)
def logsigmoid(input: Tensor) -> Tensor:
    """``log(sigmoid(input))``, without overflow."""
    below, above = clamp(input, max=0), clamp(input, min=0)
    return where(input < 0, below - log1p(exp(below)), -log1p(exp(-above)))


@composite(check=floating)
def softsign(input: Tensor) -> Tensor:
    """``input / (1 + |input|)``."""
    output: Tensor = input / (1 + input.abs())
    return output


@composite(check=floating)
def tanhshrink(input: Tensor) -> Tensor:
    """``input - tanh(input)``."""
    return input - tanh(input)


@composite(check=_checks.glu)
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """``a * sigmoid(b)`` for the halves a and b of ``input`` along ``dim``. Example: ``(4, 6) -> (4, 3)``."""
    first, second = input.chunk(2, dim)
    output: Tensor = first * sigmoid(second)
    return output
