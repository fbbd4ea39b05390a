"""Activations as Modules; see the functions of the same kind in :mod:`unified.nn.functional`."""

from __future__ import annotations

from typing import Any

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ShapeError
from unified.nn import functional as F
from unified.nn import init as initial
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty
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


class Threshold(_InPlace):
    """``input`` above ``threshold``, ``value`` elsewhere."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.threshold(input, self.threshold, self.value)
        return activated

    def extra_repr(self) -> str:
        """The arguments."""
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class RReLU(_InPlace):
    """Leaky ReLU, its slopes drawn from ``[lower, upper)`` while training, and their mean else; Xu et al. (2015)."""

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.lower = lower
        self.upper = upper

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return F.rrelu(input, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")


class Hardshrink(Module):
    """0 within ``[-lambd, lambd]``, ``input`` outside."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        activated: Tensor = F.hardshrink(input, self.lambd)
        return activated

    def extra_repr(self) -> str:
        """The argument."""
        return f"{self.lambd}"


class Softshrink(Module):
    """``input`` moved by ``lambd`` towards 0, and 0 within ``[-lambd, lambd]``."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The argument."""
        return f"{self.lambd}"


class PReLU(Module):
    """``input`` above 0, a learned ``weight * input`` below; He et al. (2015).

    Args:
        num_parameters: 1, or one slope for each channel.
        init: what the slopes start with.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All slopes are ``init``."""
        initial.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """``input (N, C, ...)``, activated."""
        activated: Tensor = F.prelu(input, self.weight)
        return activated

    def extra_repr(self) -> str:
        """The argument."""
        return f"num_parameters={self.num_parameters}"


class _Along(Module):
    """What works along ``dim``; without it along 0 of tensors of 0, 1 or 3 dimensions, else along 1."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _dim_of(self, input: Tensor) -> int:
        if self.dim is not None:
            return self.dim
        return 0 if input.ndim in (0, 1, 3) else 1

    def extra_repr(self) -> str:
        """The argument."""
        return f"dim={self.dim}"


class Softmax(_Along):
    """Softmax along ``dim``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return F.softmax(input, self._dim_of(input))


class LogSoftmax(_Along):
    """Logarithm of the softmax along ``dim``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return F.log_softmax(input, self._dim_of(input))


class Softmin(_Along):
    """Softmax of ``-input`` along ``dim``."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated."""
        return F.softmin(input, self._dim_of(input))


class Softmax2d(Module):
    """Softmax over the channels of ``(N, C, H, W)`` or ``(C, H, W)``, for each place."""

    def forward(self, input: Tensor) -> Tensor:
        """``input``, activated.

        Raises:
            ShapeError: ``input`` has neither three nor four dimensions.
        """
        if input.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)
