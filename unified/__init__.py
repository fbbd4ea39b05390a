"""One Module/Tensor API on PyTorch, JAX and TensorFlow. ``import unified as un``; no framework is imported yet."""

from unified import errors
from unified._device import device, set_default_device
from unified._dtype import (
    DType, bfloat16, bool_ as bool, can_cast, complex64, complex128, float16, float32, float64, int8, int16,
    int32, int64, promote_types, uint8, uint16, uint32, uint64,
)  # fmt: skip
from unified._selection import available_backends, backend, get_backend, set_backend
from unified._tensor import Size, Tensor
from unified.ops.elementwise import (
    abs, add, addcdiv, addcmul, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, ceil, clamp, cos, div, eq, erf,
    exp, expm1, floor, floor_divide, ge, gt, isfinite, isinf, isnan, le, lerp, log, log1p, log2, logical_and,
    logical_not, logical_or, lt, maximum, minimum, mul, ne, neg, pow, reciprocal, relu, remainder, round, rsqrt,
    sigmoid, sign, sin, sqrt, square, sub, tanh, trunc, where,
)  # fmt: skip
from unified.ops.linalg import bmm, matmul, mm
