"""Tensors out of data, out of other frameworks' tensors, and out of nothing.

Data is 32-bit unless ``dtype=`` asks for more: int64 becomes int32, Python floats the default dtype, which is float32
unless :func:`set_default_dtype` says otherwise, and numpy's float64 becomes float32 unless that is float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unified import _dtype
from unified._default import default_complex, default_dtype
from unified._device import current_device
from unified._device import device as Device
from unified._dispatch import backends_by_type, front, op, tracing, wrap
from unified._dtype import DType, Number
from unified._length import Length
from unified._selection import current_backend
from unified._tensor import Tensor
from unified.backends import registry
from unified.backends.protocol import Backend
from unified.errors import (
    ArgumentError,
    DTypeError,
    DynamicLengthError,
    MissingBackendError,
    OperandError,
    ShapeError,
)  # fmt: skip
from unified.ops._axes import sizes
from unified.ops.dtypes import result_type
from unified.ops.elementwise import fill
from unified.ops.shape import stack

__all__ = [
    "arange", "as_tensor", "asarray", "empty", "empty_like", "eye", "from_native", "from_numpy", "full",
    "full_like", "is_tensor", "linspace", "logspace", "ones", "ones_like",
    "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros", "zeros_like",
]  # fmt: skip

Operand = Tensor | Number
Scalar = Number
Place = Device | str | None


def _place(device: Place) -> Device | None:
    if device is None:
        return current_device()
    return device if isinstance(device, Device) else Device(device)


# ---- from data -----------------------------------------------------------------------------------------------


def tensor(data: Any, *, dtype: DType | None = None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """A new Tensor with a copy of ``data`` on the current backend (a Tensor's copy stays on its own).

    Args:
        data: a number, nested lists, a numpy array, a Tensor, or lists of Tensors of one shape.
        dtype: by default that of the data, in 32 bits.
        device: by default the innermost ``with un.device(...)``, else the backend's default.

    Example: ``un.tensor([[1, 2], [3, 4]])`` is int32 of shape (2, 2).

    Raises:
        ShapeError: nested lists of unequal lengths.
        DTypeError: data that is not numeric.
        ArgumentError: integers that need int64, which was not asked for.
    """
    if not isinstance(data, Tensor) and _holds_tensors(data):
        parts = [tensor(member, dtype=dtype) for member in data]
        data = stack(parts)
    if isinstance(data, Tensor):
        return _required(data.detach().to(dtype=dtype, device=device).clone(), requires_grad)
    return _required(from_host(current_backend(), data, dtype, device), requires_grad)


def _holds_tensors(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and any(isinstance(m, Tensor) or _holds_tensors(m) for m in data)


def _required(result: Tensor, requires_grad: bool) -> Tensor:
    return result.requires_grad_() if requires_grad else result


def _host_array(data: Any, dtype: DType | None) -> tuple[np.ndarray[Any, Any], DType]:
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"tensor: nested lists must be of equal lengths ({error})") from None
    if array.size == 0 and not hasattr(data, "dtype"):
        array = array.astype(default_dtype().numpy)
    try:
        given = _dtype.from_numpy_dtype(array.dtype)
    except TypeError:
        kind = type(data).__name__ if array.dtype == object else array.dtype.name
        raise DTypeError(f"tensor: cannot make a tensor of {kind} data; numbers and bools only") from None
    if dtype is not None:
        return array, dtype
    kept = _kept(given, hasattr(data, "dtype"))
    if kept is not given and given.kind in "iu" and array.size:
        limits = np.iinfo(kept.numpy)
        if array.max() > limits.max or array.min() < limits.min:
            raise ArgumentError(f"tensor: the values do not fit into {kept.name}; pass dtype=un.{given.name}")
    return array, kept


def _kept(given: DType, stated: bool) -> DType:
    """What data of a numpy dtype becomes, which its owner has ``stated``, or numpy found for Python numbers."""
    if given in (_dtype.float64, _dtype.complex128):
        floating = default_dtype()
        if stated and floating is not _dtype.float64:
            floating = _dtype.float32
        return floating if given is _dtype.float64 else _dtype.wide_complex(floating)
    return _dtype.narrow(given)


def from_host(backend: Backend, data: Any, dtype: DType | None, device: Place) -> Tensor:
    """A Tensor of numbers, lists or numpy arrays on a given backend; see :func:`tensor`."""
    array, kept = _host_array(data, dtype)
    result = wrap(backend.from_numpy(array, kept, _place(device)))
    tracer = tracing()
    if tracer is not None:
        tracer.made(result)
        if tracer.padding is not None:
            tracer.padding.mark(result, (None,) * result.ndim)
    return result


def as_tensor(data: Any, *, dtype: DType | None = None, device: Place = None) -> Tensor:
    """``data`` itself where it is a Tensor that fits (or converted, in its graph), else :func:`tensor` of it."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)


asarray = as_tensor


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A Tensor with a copy of ``array``; 64-bit data becomes 32-bit, as everywhere.

    Raises:
        OperandError: it is no numpy array.
    """
    if not isinstance(array, np.ndarray):
        raise OperandError(f"from_numpy: takes a numpy array, not {type(array).__name__}; use un.tensor(data)")
    return tensor(array)


def scalar_tensor(
    value: Number, *, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """A 0-d Tensor of a Python number."""
    return tensor(value, dtype=dtype, device=device, requires_grad=requires_grad)


def from_native(native: Any) -> Tensor:
    """Wraps a framework's own tensor without a copy; its backend is loaded if need be.

    The buffer counts as shared: nothing of ours ever writes to it in place. A torch tensor that requires grad
    keeps its place in torch's graph.

    Raises:
        OperandError: it is no tensor of a registered backend.
    """
    backend = registry.owner_of(type(native)) or _load_owner(type(native))
    if backend is None:
        names = ", ".join(registry.registered())
        raise OperandError(
            f"from_native: {type(native).__module__}.{type(native).__qualname__} is no tensor of a registered "
            f"backend ({names}); make a Tensor of data with un.tensor(data)"
        )
    result = wrap(backend.adopt(native))
    result._shared = True
    tracer = tracing()
    if tracer is not None:
        tracer.touch(result)
    return result


def _load_owner(kind: type) -> Backend | None:
    """The backend of a type whose framework is known by its top module; no other framework is imported for it."""
    roots = {base.__module__.split(".")[0] for base in kind.__mro__} - {"builtins"}
    roots |= {root.removesuffix("lib") for root in roots}  # jaxlib's arrays are jax's
    for name in registry.available():
        if name in roots:
            try:
                backend = registry.load(name)
            except MissingBackendError:
                continue
            if backend.owns(kind):
                return backend
    return None


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a unified Tensor."""
    return isinstance(value, Tensor)


# ---- out of nothing ------------------------------------------------------------------------------------------


@op()
def make_full(size: tuple[int, ...], value: Scalar, dtype: DType, device: Device | None) -> Tensor:
    """A Tensor of ``size`` filled with ``value``; :func:`full` and its like are the public spellings."""


@op()
def make_arange(start: int, step: int, length: int, dtype: DType, device: Device | None) -> Tensor:
    """``length`` integers ``step`` apart; :func:`arange` is the public spelling."""


def _spaces(start: Any, end: Any, steps: Any, base: Any, *_: Any) -> None:
    if not isinstance(steps, int) or steps < 0:
        raise ArgumentError(f"steps must be an int that is not negative, but it is {steps!r}")
    for limit in (start, end):
        if getattr(limit, "shape", ()):
            raise ShapeError(f"start and end must be numbers or 0-d tensors, not of shape {tuple(limit.shape)}")


@op(check=_spaces)
def make_spaced(
    start: Operand, end: Operand, steps: int, base: Operand | None, dtype: DType, device: Device | None
) -> Tensor:
    """``steps`` evenly spaced numbers, as powers of ``base`` if there is one; computed in 64 bits and rounded once.

    :func:`linspace` and :func:`logspace` are the public spellings. For integers both ends are truncated first.
    """


@op()
def make_full_like(input: Tensor, value: Scalar, dtype: DType | None) -> Tensor:
    """A Tensor of the shape, device and (unless given) dtype of ``input``, filled with ``value``."""


@front()
def full(
    size: Any,
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Place = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of ``size`` filled with a number, whose kind decides the dtype unless one is given.

    Example: ``un.full((2, 3), 7)`` is int32, ``un.full((2, 3), 7.)`` of the default dtype.
    """
    if isinstance(fill_value, Tensor):
        filled = fill_value.detach().to(dtype=dtype, device=device).expand(sizes((size,))).clone()
        return _required(filled, requires_grad)
    kept = dtype or _dtype.scalar_dtype(fill_value, default_dtype())
    return _required(make_full(_lengths("full", (size,)), fill_value, kept, _place(device)), requires_grad)


def _lengths(name: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    found = sizes(given)
    if any(length < 0 for length in found):
        raise ShapeError(f"{name}: size {found} has a negative length")
    return found


@front()
def zeros(*size: Any, dtype: DType | None = None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """Zeros, of the default dtype unless one is given. ``un.zeros(2, 3)`` and ``un.zeros((2, 3))`` are the same."""
    made = make_full(_lengths("zeros", size), 0.0, dtype or default_dtype(), _place(device))
    return made.requires_grad_() if requires_grad else made


@front()
def ones(*size: Any, dtype: DType | None = None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """Ones, of the default dtype unless one is given. ``un.ones(2, 3)`` and ``un.ones((2, 3))`` are the same."""
    made = make_full(_lengths("ones", size), 1.0, dtype or default_dtype(), _place(device))
    return made.requires_grad_() if requires_grad else made


@front()
def empty(*size: Any, dtype: DType | None = None, device: Place = None, requires_grad: bool = False) -> Tensor:
    """A Tensor to be written to; zeros, because uninitialised memory would differ from run to run."""
    made = make_full(_lengths("empty", size), 0.0, dtype or default_dtype(), _place(device))
    return made.requires_grad_() if requires_grad else made


@front()
def eye(
    n: int, m: int | None = None, *, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """Ones on the diagonal of an ``(n, m)`` matrix of zeros; square unless ``m`` is given."""
    columns = n if m is None else m
    _lengths("eye", (n, columns))
    made = from_host(current_backend(), np.eye(n, columns, dtype=np.float32), dtype or default_dtype(), device)
    return _required(made, requires_grad)


@front()
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: Place = None) -> Tensor:
    """Row and column numbers of the lower triangle of a ``(row, col)`` matrix, ``(2, n)``, row by row; int32.

    It ends ``offset`` diagonals above the main one. Example: ``tril_indices(2, 2) -> [[0, 1, 1], [0, 0, 1]]``.
    """
    _lengths("tril_indices", (row, col))
    return from_host(current_backend(), np.stack(np.tril_indices(row, offset, col)), dtype, device)


@front()
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: Place = None) -> Tensor:
    """Row and column numbers of the upper triangle, which begins ``offset`` diagonals above the main one.

    As :func:`tril_indices`. Example: ``triu_indices(2, 2) -> [[0, 0, 1], [0, 1, 1]]``.
    """
    _lengths("triu_indices", (row, col))
    return from_host(current_backend(), np.stack(np.triu_indices(row, offset, col)), dtype, device)


@front()
def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DType | None = None,
    device: Place = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from ``start`` (0 if only one is given) up to but without ``end``, ``step`` apart.

    int32 for ints, the default dtype for floats. Example: ``arange(3) -> [0, 1, 2]``.

    Raises:
        ArgumentError: ``step`` is 0 or leads away from ``end``, or an end is infinite.
    """
    if end is None:
        start, end = 0, start
    if isinstance(end, Length):
        if (start, step) != (0, 1) or requires_grad:
            raise DynamicLengthError("arange: with a dynamic length it starts at 0 and counts by 1")
        return make_arange(0, 1, end, dtype or _dtype.int32, _place(device))
    first, last, stride = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if not (math.isfinite(first) and math.isfinite(last)):
        raise ArgumentError(f"arange: there are infinitely many numbers from {first} to {last}")
    if stride == 0 or (last - first) / stride < 0:
        raise ArgumentError(f"arange: step {stride} does not lead from {first} to {last}")
    whole = isinstance(first, int) and isinstance(last, int) and isinstance(stride, int)
    length = -int((first - last) // stride) if whole else math.ceil((last - first) / stride)
    kept = dtype or (_dtype.int32 if whole else default_dtype())
    if kept.kind in "iu":
        first, stride = int(first), int(stride)
        if whole:
            return make_arange(first, stride, length, kept, _place(device))
    values = first + np.arange(length) * stride
    return _required(from_host(current_backend(), values, kept, device), requires_grad)


@front()
def linspace(
    start: Operand, end: Operand, steps: int, *, dtype: DType | None = None, device: Place = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``steps`` numbers from ``start`` to ``end``, both included, evenly spaced; of the default dtype unless told.

    Both are numbers or 0-d Tensors, through which no gradient flows. Example: ``linspace(0, 1, 3) -> [0, 0.5, 1]``.

    Raises:
        ArgumentError: ``steps`` is negative or no int.
        ShapeError: an end has dimensions.
    """
    return _required(_spaced(start, end, steps, None, dtype, device), requires_grad)


@front()
def logspace(
    start: Operand, end: Operand, steps: int, base: float = 10.0, *, dtype: DType | None = None,
    device: Place = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """``base ** linspace(start, end, steps)``. Example: ``logspace(0, 2, 3) -> [1, 10, 100]``."""
    return _required(_spaced(start, end, steps, base, dtype, device), requires_grad)


def _spaced(
    start: Operand, end: Operand, steps: int, base: float | None, dtype: DType | None, device: Place
) -> Tensor:
    first, last = (limit.detach() if isinstance(limit, Tensor) else limit for limit in (start, end))
    kept = dtype or (default_complex() if result_type(first, last).is_complex else default_dtype())
    if not isinstance(first, Tensor) and not isinstance(last, Tensor):
        first = tensor(first, dtype=kept if kept.is_inexact or kept.is_wide else None, device=device)
    return make_spaced(first, last, steps, base, kept, _place(device))


# ---- like another --------------------------------------------------------------------------------------------


@front("full_like")
def full_like(
    input: Tensor,
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Place = None,
    requires_grad: bool = False,
) -> Tensor:
    """``fill_value`` in the shape of ``input``, with its backend, device and dtype unless given otherwise."""
    source = input.detach() if input.requires_grad else input
    filled = make_full_like(source, fill_value, dtype)
    if device is not None:
        filled = filled.to(device=device)
    return _required(filled, requires_grad)


@front("zeros_like", "empty_like")
def zeros_like(
    input: Tensor, *, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """Zeros in the shape of ``input``, with its backend, device and dtype unless given otherwise."""
    return full_like(input, 0, dtype=dtype, device=device, requires_grad=requires_grad)


@front("ones_like")
def ones_like(
    input: Tensor, *, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """Ones in the shape of ``input``, with its backend, device and dtype unless given otherwise."""
    return full_like(input, 1, dtype=dtype, device=device, requires_grad=requires_grad)


empty_like = zeros_like


@front("new_tensor")
def new_tensor(
    input: Tensor, data: Any, *, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor of ``data`` with the backend, device and dtype of ``input`` unless given otherwise."""
    place = input.device if device is None else device
    if isinstance(data, Tensor):
        copy = data.detach().to(backend=input.backend, dtype=dtype or input.dtype, device=place).clone()
        return _required(copy, requires_grad)
    backend = backends_by_type[type(input._native)]
    return _required(from_host(backend, data, dtype or input.dtype, place), requires_grad)


@front("new_full")
def new_full(
    input: Tensor,
    size: Any,
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Place = None,
    requires_grad: bool = False,
) -> Tensor:
    """``fill_value`` in ``size``, with the backend, device and dtype of ``input`` unless given otherwise."""
    one = new_tensor(input, fill_value, dtype=dtype, device=device)
    return _required(one.expand(_lengths("new_full", (size,))).clone(), requires_grad)


@front("new_zeros", "new_empty")
def new_zeros(
    input: Tensor, *size: Any, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """Zeros in ``size``, with the backend, device and dtype of ``input`` unless given otherwise."""
    return new_full(input, sizes(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)


@front("new_ones")
def new_ones(
    input: Tensor, *size: Any, dtype: DType | None = None, device: Place = None, requires_grad: bool = False
) -> Tensor:
    """Ones in ``size``, with the backend, device and dtype of ``input`` unless given otherwise."""
    return new_full(input, sizes(size), 1, dtype=dtype, device=device, requires_grad=requires_grad)


# ---- written in place ----------------------------------------------------------------------------------------


@front("fill_")
def filled(input: Tensor, value: Any) -> Tensor:
    """``value``, a number or a 0-d Tensor, in the shape and dtype of ``input``: what ``x.fill_(value)`` rebinds to.

    Raises:
        ShapeError: ``value`` has dimensions.
    """
    if not isinstance(value, Tensor):
        return fill(input, value)
    if value.ndim:
        raise ShapeError(f"fill_: value must be a number or a 0-d tensor, not of shape {tuple(value.shape)}")
    return copied(input, value)


@front("zero_")
def zeroed(input: Tensor) -> Tensor:
    """Zeros in the shape and dtype of ``input``: what ``x.zero_()`` rebinds to."""
    return fill(input, 0)


@front("copy_")
def copied(input: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """``src`` broadcast and cast to ``input``: what ``x.copy_(src)`` rebinds to; gradients flow to ``src``.

    ``src`` may live on another backend, from which gradients do not flow. ``non_blocking`` is PyTorch's hint.

    Raises:
        ShapeError: ``src`` does not broadcast to ``input``.
    """
    if not isinstance(src, Tensor):
        raise OperandError(f"copy_: src must be a Tensor, not {type(src).__name__}; use fill_ for numbers")
    moved = src.detach().to(backend=input.backend) if src.backend != input.backend else src
    fitted: Tensor = moved.to(dtype=input.dtype, device=input.device).expand(input.shape)
    copy: Tensor = fitted.clone()
    return copy
