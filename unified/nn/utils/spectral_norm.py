"""Spectral normalisation by a hook, with the names of PyTorch's older checkpoints: ``weight_orig``, ``weight_u``."""

from __future__ import annotations

from unified._tensor import Tensor
from unified.autograd import no_grad
from unified.errors import ArgumentError
from unified.nn.functional.distance import normalize
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.nn.utils._recomputed import Recomputed, attached
from unified.nn.utils.parametrizations import leading_matrix, output_dim


class SpectralNorm(Recomputed):
    """The weight over its largest singular value, before every forward pass."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        if n_power_iterations <= 0:
            raise ArgumentError(f"spectral_norm: n_power_iterations must be positive, not {n_power_iterations}")
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def compute(self, module: Module) -> Tensor:
        return self.normalised(module, module.training)

    def normalised(self, module: Module, iterates: bool) -> Tensor:
        """The weight over the present estimate, which moves on if ``iterates``."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = leading_matrix(weight, self.dim)
        if iterates:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(normalize(matrix.T @ u, dim=0, eps=self.eps))
                    u.copy_(normalize(matrix @ v, dim=0, eps=self.eps))
        divided: Tensor = weight / (u.clone() @ (matrix @ v.clone()))
        return divided


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divides a weight by its largest singular value (Miyato et al., ICLR 2018); returns ``module``.

    What is trained becomes ``<name>_orig``; the estimate is in the buffers ``<name>_u`` and ``<name>_v``. In training
    mode each forward pass moves it on. :func:`nn.utils.parametrizations.spectral_norm` is newer.

    Args:
        module: the owner.
        name: the parameter.
        n_power_iterations: how many for each forward pass.
        eps: the least norm that is divided by.
        dim: the dimension of outputs; 1 for transposed convolutions, else 0.

    Raises:
        ArgumentError: no such parameter, no iterations, or it is normalised already.
    """
    if attached(module, SpectralNorm, name):
        raise ArgumentError(f"spectral_norm: {name!r} of {type(module).__name__} is normalised already")
    weight = module._parameters.get(name)
    if weight is None:
        raise ArgumentError(f"spectral_norm: {type(module).__name__} has no parameter named {name!r}")
    hook = SpectralNorm(name, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    with no_grad():
        matrix = leading_matrix(weight.detach(), hook.dim)
        u, v = (normalize(matrix.new_empty(length).normal_(), dim=0, eps=eps) for length in matrix.shape)
    del module._parameters[name]
    module.register_parameter(f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    hook.attach(module)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Makes the weight a plain parameter again, with its present value; returns ``module``.

    Raises:
        ArgumentError: it is not normalised by :func:`spectral_norm`.
    """
    for hook in attached(module, SpectralNorm, name):
        with no_grad():
            value = hook.normalised(module, iterates=False)
        hook.detach()
        for part in (name, f"{name}_u", f"{name}_v", f"{name}_orig"):
            delattr(module, part)
        module.register_parameter(name, Parameter(value))
        return module
    raise ArgumentError(f"remove_spectral_norm: {name!r} of {type(module).__name__} is not normalised")
