"""More arithmetic, comparison and rounding of elements on PyTorch."""

from __future__ import annotations

import torch

from unified.backends.protocol import Natives
from unified.backends.torch.elementwise import narrow

natives = Natives()
natives(**{name: getattr(torch, name) for name in (
    "acosh", "asinh", "atanh", "copysign", "deg2rad", "exp2", "fill", "fmax", "fmin", "frac", "frexp", "gcd",
    "heaviside", "hypot", "isclose", "isneginf", "isposinf", "lcm", "log10", "logaddexp2", "nan_to_num", "nextafter",
    "rad2deg", "signbit",
)}, ldexp=torch.ldexp, bitwise_left_shift=narrow(torch.bitwise_left_shift),
    bitwise_right_shift=narrow(torch.bitwise_right_shift))  # fmt: skip


def _with_value(function):
    def native(input, tensor1, tensor2, value):
        if not isinstance(tensor2, torch.Tensor):
            tensor2 = torch.tensor(tensor2, dtype=tensor1.dtype, device=tensor1.device)
        return function(input, tensor1, tensor2, value=value)

    return native


natives(addcmul=_with_value(torch.addcmul), addcdiv=_with_value(torch.addcdiv), lerp=torch.lerp)
