"""Ops that act on each element alone, broadcasting their operands.

Unary float functions take integers too and then return the default float dtype, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unified._dispatch import composite, front, op
from unified._dtype import DType, Number, bool_, float32, result_type
from unified._tensor import Tensor
from unified.errors import ArgumentError, DTypeError, ShapeError
from unified.ops._checks import broadcastable, is_complex_valued, on_the_real_line

__all__ = [
    "abs", "absolute", "acos", "add", "addcdiv", "addcmul", "arccos", "arcsin", "arctan", "arctan2", "asin",
    "atan", "atan2", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "ceil", "clamp", "clip", "cos",
    "cosh", "div", "divide", "eq", "erf", "exp", "expm1", "fill", "fix", "floor", "floor_divide", "fmod", "ge",
    "greater", "greater_equal", "gt", "isfinite", "isinf", "isnan", "le", "lerp", "less", "less_equal", "log",
    "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "maximum",
    "minimum", "mul", "multiply", "ne", "neg", "negative", "not_equal", "pow", "reciprocal", "relu",
    "remainder", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "sub", "subtract", "tan",
    "tanh", "true_divide", "trunc",
]  # fmt: skip

Operand = Tensor | Number
Scalar = Number


def _binary(input: object, other: object, *_: object) -> None:
    broadcastable(input, other)


def _are_bools(*values: Any) -> bool:
    return all(isinstance(value, bool) or getattr(value, "dtype", None) is bool_ for value in values)


def _subtraction(input: Any, other: Any) -> None:
    broadcastable(input, other)
    if _are_bools(input, other):
        raise DTypeError("bools cannot be subtracted; use ^ or logical_not")


def _powers(input: Any, exponent: Any) -> None:
    broadcastable(input, exponent)
    if _are_bools(input, exponent):
        raise DTypeError("bools have no powers; convert one with x.to(un.int32)")


def _division(input: object, other: object, rounding_mode: str | None) -> None:
    broadcastable(input, other)
    if rounding_mode not in (None, "trunc", "floor"):
        raise ArgumentError(f"rounding_mode must be None, 'trunc' or 'floor', not {rounding_mode!r}")


def _integers(*values: Any) -> None:
    broadcastable(*values)
    for value in values:
        if isinstance(value, float) or (hasattr(value, "dtype") and value.dtype.is_inexact):
            raise DTypeError("bitwise operations take integers and bools; compare the floats first, or convert them")


def _bounds(input: object, min: object, max: object) -> None:
    if min is None and max is None:
        raise ArgumentError("give min, max or both")
    broadcastable(input, min, max)


def _one_value(input: Any, value: Any) -> None:
    if getattr(value, "shape", ()):
        raise ShapeError(f"value must be a number or a 0-d tensor, not of shape {tuple(value.shape)}")
    if is_complex_valued(value) and not input.dtype.is_complex:
        raise DTypeError(f"a complex value does not fit into {input.dtype.name}; give value.real")


def _number_line(input: Any) -> None:
    if input.dtype.kind == "b":
        raise DTypeError("bools cannot be negated; use ~ or logical_not")


# ---- arithmetic ---------------------------------------------------------------------------------------------


@op(name="add", methods=("__add__", "__radd__"), inplace=True, check=_binary)
def _add(input: Operand, other: Operand) -> Tensor:
    """``input + other``, broadcast."""


@front("add", "add_")
def add(input: Operand, other: Operand, *, alpha: Number = 1) -> Tensor:
    """``input + alpha * other``, broadcast. Example: ``add([1, 2], 10) -> [11, 12]``."""
    return _add(input, other if alpha == 1 else other * alpha)


@op(name="sub", methods=("__sub__", "__rsub__"), inplace=True, check=_subtraction)
def _sub(input: Operand, other: Operand) -> Tensor:
    """``input - other``, broadcast."""


@front("sub", "subtract", "sub_", "subtract_")
def sub(input: Operand, other: Operand, *, alpha: Number = 1) -> Tensor:
    """``input - alpha * other``, broadcast. Example: ``sub([3, 2], 1) -> [2, 1]``."""
    return _sub(input, other if alpha == 1 else other * alpha)


@op(methods=("mul", "multiply", "multiply_", "__mul__", "__rmul__"), inplace=True, check=_binary)
def mul(input: Operand, other: Operand) -> Tensor:
    """``input * other``, broadcast. Example: ``mul([1, 2], 3) -> [3, 6]``."""


@op(
    methods=("div", "divide", "divide_", "true_divide", "true_divide_", "__truediv__", "__rtruediv__", "__rdiv__"),
    inplace=True,
    check=_division,
)
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``, broadcast; integers divide to floats. ``rounding_mode`` is None, "trunc" or "floor".

    Example: ``div([7, -7], 2) -> [3.5, -3.5]``; with ``"floor"`` ``[3, -4]``.
    """


@op(methods=("floor_divide", "__floordiv__", "__rfloordiv__"), inplace=True, check=_binary)
def floor_divide(input: Operand, other: Operand) -> Tensor:
    """``floor(input / other)``. Example: ``floor_divide([7, -7], 2) -> [3, -4]``."""


@op(methods=("remainder", "__mod__", "__rmod__"), inplace=True, check=_binary)
def remainder(input: Operand, other: Operand) -> Tensor:
    """Python's modulus: the result has the sign of ``other``. Example: ``remainder([-3], 2) -> [1]``."""


@op(name="pow", check=_powers)
def _pow(input: Operand, exponent: Operand) -> Tensor:
    """``input ** exponent``, broadcast."""


@front("pow", "__pow__", "__rpow__", "pow_")
def pow(input: Operand, exponent: Operand) -> Tensor:
    """``input ** exponent``, broadcast. Example: ``pow([2., 3.], 2) -> [4., 9.]``.

    Raises:
        DTypeError: an integer tensor to a negative integer power, which would not be an integer.
    """
    if isinstance(input, Tensor) and isinstance(exponent, (int, float)):
        special = _POWERS.get(exponent)
        if special is not None and input.dtype.is_inexact:
            return special(input)
        if exponent < 0 and isinstance(exponent, int) and not input.dtype.is_inexact:
            raise DTypeError(
                f"pow: {input.dtype.name} elements to the power {exponent} are no integers; "
                f"write {float(exponent)} for a floating-point result"
            )
    return _pow(input, exponent)


@op(methods=("fmod",), inplace=True, check=_binary)
def fmod(input: Tensor, other: Operand) -> Tensor:
    """C's modulus: the result has the sign of ``input``. Example: ``fmod([-3], 2) -> [-1]``."""


@op(methods=("atan2", "arctan2", "arctan2_"), inplace=True, check=_binary)
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle in radians of the point ``(x=other, y=input)``, in ``[-pi, pi]``."""


@op(methods=("logaddexp",), check=_binary)
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """``log(exp(input) + exp(other))`` without overflow."""


@op(methods=("maximum",), check=_binary)
def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two elements; NaN wins; at a tie each gets half the gradient."""


@op(methods=("minimum",), check=_binary)
def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two elements; NaN wins; at a tie each gets half the gradient."""


def _rounded_once(formula: Callable[..., Tensor], *operands: Operand) -> Tensor:
    """``formula`` in float32 where the result has 16 bits, to be rounded once, as PyTorch's kernels do."""
    dtype = result_type(*[(v.dtype, v.ndim) if isinstance(v, Tensor) else v for v in operands])
    if dtype.itemsize != 2 or not dtype.is_floating_point:
        return formula(*operands)
    return formula(*[v.to(float32) if isinstance(v, Tensor) else v for v in operands]).to(dtype)


@composite(methods=("addcmul",), inplace=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Operand, *, value: Scalar = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``."""
    return _rounded_once(lambda x, y, z: x + value * (y * z), input, tensor1, tensor2)


@composite(methods=("addcdiv",), inplace=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Operand, *, value: Scalar = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``."""
    return _rounded_once(lambda x, y, z: x + value * (y / z), input, tensor1, tensor2)


@composite(methods=("lerp",), inplace=True)
def lerp(input: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """``input + weight * (end - input)``: ``input`` at weight 0, ``end`` at 1."""
    return _rounded_once(lambda x, y, w: x + w * (y - x), input, end, weight)


# ---- unary ---------------------------------------------------------------------------------------------------


@op(methods=("neg", "negative", "negative_", "__neg__"), inplace=True, check=_number_line)
def neg(input: Tensor) -> Tensor:
    """``-input``."""


@op(methods=("abs", "absolute", "absolute_", "__abs__"), inplace=True)
def abs(input: Tensor) -> Tensor:
    """Absolute value; its gradient at 0 is 0."""


@op(methods=("sign",), inplace=True)
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1; the gradient is 0 everywhere."""


@op(methods=("exp",), inplace=True, by_result=lambda result, cotangent: cotangent * result.conj())
def exp(input: Tensor) -> Tensor:
    """``e ** input``."""


@op(methods=("expm1",), inplace=True)
def expm1(input: Tensor) -> Tensor:
    """``exp(input) - 1``, accurate near 0."""


@op(methods=("log",), inplace=True)
def log(input: Tensor) -> Tensor:
    """Natural logarithm; NaN below 0, -inf at 0."""


@op(methods=("log1p",), inplace=True)
def log1p(input: Tensor) -> Tensor:
    """``log(1 + input)``, accurate near 0."""


@op(methods=("log2",), inplace=True)
def log2(input: Tensor) -> Tensor:
    """Base-2 logarithm."""


@op(methods=("sqrt",), inplace=True, by_result=lambda result, cotangent: cotangent / (2 * result.conj()))
def sqrt(input: Tensor) -> Tensor:
    """Square root; its gradient at 0 is inf."""


@op(methods=("rsqrt",), inplace=True)
def rsqrt(input: Tensor) -> Tensor:
    """``1 / sqrt(input)``."""


@op(methods=("square",), inplace=True)
def square(input: Tensor) -> Tensor:
    """``input ** 2``."""


@composite(name="cube")
def _cube(input: Tensor) -> Tensor:
    """``input ** 3``."""
    return input * input * input


@op(methods=("reciprocal",), inplace=True)
def reciprocal(input: Tensor) -> Tensor:
    """``1 / input``."""


# A power whose exponent is a dynamic number is 5 to 10 times as slow under XLA, forward and backward.
_POWERS: dict[float, Callable[[Tensor], Tensor]] = {2: square, 3: _cube, 0.5: sqrt, -0.5: rsqrt, -1: reciprocal}


@op(methods=("sin",), inplace=True)
def sin(input: Tensor) -> Tensor:
    """Sine of radians."""


@op(methods=("cos",), inplace=True)
def cos(input: Tensor) -> Tensor:
    """Cosine of radians."""


@op(methods=("tan",), inplace=True)
def tan(input: Tensor) -> Tensor:
    """Tangent of radians."""


@op(methods=("asin", "arcsin", "arcsin_"), inplace=True)
def asin(input: Tensor) -> Tensor:
    """Inverse sine, in radians; NaN outside ``[-1, 1]``."""


@op(methods=("acos", "arccos", "arccos_"), inplace=True)
def acos(input: Tensor) -> Tensor:
    """Inverse cosine, in radians; NaN outside ``[-1, 1]``."""


@op(methods=("atan", "arctan", "arctan_"), inplace=True)
def atan(input: Tensor) -> Tensor:
    """Inverse tangent, in radians."""


@op(methods=("sinh",), inplace=True)
def sinh(input: Tensor) -> Tensor:
    """Hyperbolic sine."""


@op(methods=("cosh",), inplace=True)
def cosh(input: Tensor) -> Tensor:
    """Hyperbolic cosine."""


@op(methods=("tanh",), inplace=True, by_result=lambda result, cotangent: cotangent * (1 - result * result).conj())
def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""


@op(
    methods=("sigmoid",), inplace=True,
    by_result=lambda result, cotangent: cotangent * ((1 - result) * result).conj(),
)  # fmt: skip
def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``."""


@op(methods=("erf",), inplace=True)
def erf(input: Tensor) -> Tensor:
    """The error function."""


@op(methods=("relu",), inplace=True, idempotent=True)
def relu(input: Tensor) -> Tensor:
    """``max(input, 0)``; its gradient at 0 is 0."""


@op(methods=("floor",), inplace=True)
def floor(input: Tensor) -> Tensor:
    """The largest integer not above; gradient 0."""


@op(methods=("ceil",), inplace=True)
def ceil(input: Tensor) -> Tensor:
    """The smallest integer not below; gradient 0."""


@op(methods=("round",), inplace=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Rounded to ``decimals`` places after the point, halves to even; gradient 0.

    Example: ``round([2.5, 12.34]) -> [2., 12.]``; with ``decimals=1`` ``[2.5, 12.3]``, with ``-1`` ``[0., 10.]``.
    """


@op(methods=("trunc", "fix", "fix_"), inplace=True)
def trunc(input: Tensor) -> Tensor:
    """The integer part; gradient 0."""


@op(methods=("isnan",))
def isnan(input: Tensor) -> Tensor:
    """Where the element is NaN."""


@op(methods=("isinf",))
def isinf(input: Tensor) -> Tensor:
    """Where the element is infinite."""


@op(methods=("isfinite",))
def isfinite(input: Tensor) -> Tensor:
    """Where the element is neither infinite nor NaN."""


@op(methods=("clamp", "clip", "clip_"), inplace=True, check=_bounds)
def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """``input`` limited to ``[min, max]``; the gradient at a bound is 1.

    Example: ``clamp([-1, 5], 0, 3) -> [0, 3]``.
    """


# ---- comparison and logic ------------------------------------------------------------------------------------


@op(methods=("eq", "__eq__"), inplace=True, check=_binary)
def eq(input: Tensor, other: Operand) -> Tensor:
    """``input == other``, elementwise."""


@op(methods=("ne", "not_equal", "not_equal_", "__ne__"), inplace=True, check=_binary)
def ne(input: Tensor, other: Operand) -> Tensor:
    """``input != other``, elementwise."""


@op(methods=("lt", "less", "less_", "__lt__"), inplace=True, check=on_the_real_line)
def lt(input: Tensor, other: Operand) -> Tensor:
    """``input < other``, elementwise."""


@op(methods=("le", "less_equal", "less_equal_", "__le__"), inplace=True, check=on_the_real_line)
def le(input: Tensor, other: Operand) -> Tensor:
    """``input <= other``, elementwise."""


@op(methods=("gt", "greater", "greater_", "__gt__"), inplace=True, check=on_the_real_line)
def gt(input: Tensor, other: Operand) -> Tensor:
    """``input > other``, elementwise."""


@op(methods=("ge", "greater_equal", "greater_equal_", "__ge__"), inplace=True, check=on_the_real_line)
def ge(input: Tensor, other: Operand) -> Tensor:
    """``input >= other``, elementwise."""


@op(methods=("logical_and",), inplace=True, check=_binary)
def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Where both are nonzero."""


@op(methods=("logical_or",), inplace=True, check=_binary)
def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Where either is nonzero."""


@composite(methods=("logical_xor",), inplace=True, check=_binary)
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Where exactly one is nonzero."""
    return ne(logical_not(input), logical_not(other))


@op(methods=("logical_not",), inplace=True)
def logical_not(input: Tensor) -> Tensor:
    """Where the element is zero."""


@op(methods=("bitwise_and", "__and__", "__rand__"), inplace=True, check=_integers)
def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """``input & other`` for integers and bools."""


@op(methods=("bitwise_or", "__or__", "__ror__"), inplace=True, check=_integers)
def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """``input | other`` for integers and bools."""


@op(methods=("bitwise_xor", "__xor__", "__rxor__"), inplace=True, check=_integers)
def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """``input ^ other`` for integers and bools."""


@op(methods=("bitwise_not", "__invert__"), inplace=True, check=_integers)
def bitwise_not(input: Tensor) -> Tensor:
    """``~input`` for integers and bools."""


@op(check=broadcastable)
def where(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """``input`` where ``condition`` holds, else ``other``; no NaN of the branch not taken enters a gradient."""


# ---- dtype and identity ---------------------------------------------------------------------------------------


@op()
def cast(input: Tensor, dtype: DType) -> Tensor:
    """``input`` converted to ``dtype``; ``x.to(dtype)`` is the public spelling. Floats truncate to integers."""


@op(methods=("clone", "contiguous"))
def clone(input: Tensor) -> Tensor:
    """A Tensor of the same value, through which gradients flow."""


@op(check=_one_value)
def fill(input: Tensor, value: Operand) -> Tensor:
    """``value``, a number or a 0-d Tensor, in the shape and dtype of ``input``; gradients flow to ``value`` alone.

    Raises:
        ShapeError: ``value`` has dimensions.
    """


# ---- PyTorch's other names -------------------------------------------------------------------------------------

absolute = abs
arccos, arcsin, arctan, arctan2 = acos, asin, atan, atan2
clip = clamp
divide = true_divide = div
fix = trunc
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
multiply, negative, subtract = mul, neg, sub


@op()
def stop_gradient(input: Tensor) -> Tensor:
    """``input``, a constant to every derivative; inside a composite what ``detach()`` is outside of one."""
