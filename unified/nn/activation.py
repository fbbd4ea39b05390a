"""Activations as Modules; see the functions of the same kind in :mod:`unified.nn.functional`."""

from __future__ import annotations

from unified._tensor import Tensor
from unified.nn import functional as F
from unified.nn.module import Module
from unified.ops.elementwise import sigmoid, tanh


class _InPlace(Module):
    """``inplace`` is taken for PyTorch's sake; with value semantics it would save nothing and is not needed."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """``inplace=True`` where it was asked for."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """``max(input, 0)``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return F.relu(input)


class SiLU(_InPlace):
    """``input * sigmoid(input)``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.silu(input)
        return activated


class SELU(_InPlace):
    """Scaled ELU; Klambauer et al. (2017)."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.selu(input)
        return activated


class ReLU6(_InPlace):
    """``min(max(input, 0), 6)``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.relu6(input)
        return activated


class Mish(_InPlace):
    """``input * tanh(softplus(input))``; Misra (2019)."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.mish(input)
        return activated


class Hardswish(_InPlace):
    """``input * hardsigmoid(input)``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.hardswish(input)
        return activated


class Hardsigmoid(_InPlace):
    """``min(max(input / 6 + 1 / 2, 0), 1)``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.hardsigmoid(input)
        return activated


class Sigmoid(Module):
    """``1 / (1 + exp(-input))``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return tanh(input)


class LogSigmoid(Module):
    """``log(sigmoid(input))``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.logsigmoid(input)
        return activated


class Softsign(Module):
    """``input / (1 + |input|)``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.softsign(input)
        return activated


class Tanhshrink(Module):
    """``input - tanh(input)``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.tanhshrink(input)
        return activated


class GELU(Module):
    """``input * Phi(input)``; Hendrycks and Gimpel (2016)."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.gelu(input, approximate=self.approximate)
        return activated

    def extra_repr(self) -> str:
        """The arguments."""
        return f"approximate={self.approximate!r}"


class ELU(_InPlace):
    """``input`` above 0, ``alpha * (exp(input) - 1)`` below."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.elu(input, self.alpha)
        return activated

    def extra_repr(self) -> str:
        """The arguments."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class CELU(_InPlace):
    """``max(0, input) + min(0, alpha * (exp(input / alpha) - 1))``."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.celu(input, self.alpha)
        return activated

    def extra_repr(self) -> str:
        """The arguments."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class LeakyReLU(_InPlace):
    """``input`` above 0, ``negative_slope * input`` below."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.leaky_relu(input, self.negative_slope)
        return activated

    def extra_repr(self) -> str:
        """The arguments."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class Hardtanh(_InPlace):
    """``input`` limited to ``[min_val, max_val]``."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.hardtanh(input, self.min_val, self.max_val)
        return activated

    def extra_repr(self) -> str:
        """The arguments."""
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class Softplus(Module):
    """``log(1 + exp(beta * input)) / beta``."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.softplus(input, self.beta, self.threshold)
        return activated

    def extra_repr(self) -> str:
        """The arguments."""
        return f"beta={self.beta}, threshold={self.threshold}"


class GLU(Module):
    """``a * sigmoid(b)`` for the halves of the input."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.glu(input, self.dim)
        return activated

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}"


class Softmax(Module):
    """Softmax along ``dim``."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """Logarithm of the softmax along ``dim``."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}"
