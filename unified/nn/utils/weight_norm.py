"""Weight normalisation by a hook, with the names of PyTorch's older checkpoints: ``weight_g`` and ``weight_v``."""

from __future__ import annotations

from unified._tensor import Tensor
from unified.errors import ArgumentError
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.nn.utils._recomputed import Recomputed, attached
from unified.nn.utils.parametrizations import norm_except_dim


class WeightNorm(Recomputed):
    """``g * v / |v|``, before every forward pass."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute(self, module: Module) -> Tensor:
        v: Tensor = getattr(module, f"{self.name}_v")
        g: Tensor = getattr(module, f"{self.name}_g")
        return v * (g / norm_except_dim(v, self.dim))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Trains a weight's magnitude ``<name>_g`` and direction ``<name>_v`` apart; returns ``module``.

    :func:`nn.utils.parametrizations.weight_norm` is newer: it computes the weight whenever it is read.

    Args:
        module: the owner.
        name: the parameter.
        dim: the dimension with one magnitude for each index; None for one magnitude of all.

    Raises:
        ArgumentError: no such parameter, or it is normalised already.
        IndexOutOfRangeError: no such dimension.
    """
    if attached(module, WeightNorm, name):
        raise ArgumentError(f"weight_norm: {name!r} of {type(module).__name__} is normalised already")
    weight = module._parameters.get(name)
    if weight is None:
        raise ArgumentError(f"weight_norm: {type(module).__name__} has no parameter named {name!r}")
    hook = WeightNorm(name, dim)
    magnitude = norm_except_dim(weight.detach(), hook.dim)
    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(magnitude))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    setattr(module, name, hook.compute(module))
    hook.attach(module)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Makes the weight a plain parameter again, with its present value; returns ``module``.

    Raises:
        ArgumentError: it is not normalised by :func:`weight_norm`.
    """
    for hook in attached(module, WeightNorm, name):
        value = hook.compute(module).detach()
        hook.detach()
        delattr(module, name)
        del module._parameters[f"{name}_g"], module._parameters[f"{name}_v"]
        module.register_parameter(name, Parameter(value))
        return module
    raise ArgumentError(f"remove_weight_norm: {name!r} of {type(module).__name__} is not normalised")
