"""One Module/Tensor API on PyTorch, JAX and TensorFlow. ``import unified as un``; no framework is imported yet."""

from unified import autograd, errors
from unified._device import device, set_default_device
from unified._dtype import (
    DType, bfloat16, bool_ as bool, can_cast, complex64, complex128, float16, float32, float64, int8, int16,
    int32, int64, promote_types, uint8, uint16, uint32, uint64,
)  # fmt: skip
from unified._selection import available_backends, backend, get_backend, set_backend
from unified._tensor import Size, Tensor
from unified.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from unified.compile import compile
from unified.ops.creation import (
    arange, as_tensor, asarray, empty, empty_like, eye, from_native, from_numpy, full, full_like, get_default_dtype,
    is_tensor, linspace, ones, ones_like, result_type, scalar_tensor, tensor, zeros, zeros_like,
)  # fmt: skip
from unified.ops.elementwise import (
    abs, acos, add, addcdiv, addcmul, asin, atan, atan2, bitwise_and, bitwise_not, bitwise_or, bitwise_xor, ceil,
    clamp, cos, cosh, div, eq, erf, exp, expm1, floor, floor_divide, fmod, ge, gt, isfinite, isinf, isnan, le, lerp,
    log, log1p, log2, logaddexp, logical_and, logical_not, logical_or, logical_xor, lt, maximum, minimum, mul, ne,
    neg, pow, reciprocal, relu, remainder, round, rsqrt, sigmoid, sign, sin, sinh, sqrt, square, sub, tan, tanh,
    trunc, where,
)  # fmt: skip
from unified.ops.indexing import (
    argwhere, gather, index_add, index_copy, index_fill, index_select, masked_fill, masked_select, narrow, nonzero,
    scatter, scatter_add, select, take, take_along_dim,
)  # fmt: skip
from unified.ops.linalg import addmm, addmv, baddbmm, bmm, dot, einsum, matmul, mm, mv, outer
from unified.ops.reduction import (
    all, amax, amin, any, argmax, argmin, argsort, count_nonzero, cumprod, cumsum, log_softmax, logsumexp, max, mean,
    min, norm, prod, softmax, sort, std, sum, topk, var, var_mean,
)  # fmt: skip
from unified.ops.shape import (
    broadcast_tensors, broadcast_to, cat, chunk, concat, concatenate, diagonal, flatten, flip, hstack, meshgrid,
    moveaxis, movedim, pad, permute, repeat_interleave, reshape, roll, split, squeeze, stack, swapaxes, t, tile,
    transpose, tril, triu, unbind, unflatten, unsqueeze, vstack,
)  # fmt: skip
from unified import nn  # isort: skip
from unified.random import (
    Generator, bernoulli, default_generator, get_rng_state, initial_seed, manual_seed, multinomial, normal, rand,
    rand_like, randint, randint_like, randn, randn_like, randperm, seed, set_rng_state,
)  # fmt: skip
