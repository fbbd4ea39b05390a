"""The Tensor: a thin wrapper with slots around one native tensor.

Math methods and operators are not written here: they come from the op table (``ops/__init__`` installs them).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unified import _dispatch, _epoch, _repr
from unified._device import device
from unified._dispatch import backends_by_type, tracing, wrap
from unified._dtype import DType, Number, can_cast, dtype_named
from unified._engine import engine_of
from unified._recorded import Recorded
from unified._size import Size
from unified._tape import grad_mode
from unified.backends import registry
from unified.backends.protocol import Backend, Native
from unified.errors import (
    AutogradError,
    DTypeError,
    InPlaceLeafError,
    OperandError,
    ShapeError,
)  # fmt: skip


def placement(
    args: Sequence[Any], dtype: DType | None, device: Any, backend: str | None
) -> tuple[DType | None, Any, str | None]:
    """What the arguments of ``to``, positional ones in any order, say of dtype, device and backend."""
    for arg in args:
        if isinstance(arg, DType):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype, device, backend = arg.dtype, arg.device, arg.backend
        elif not isinstance(arg, bool):  # PyTorch's non_blocking and copy
            device = arg
    return dtype, device, backend


class Tensor(Recorded):
    """An array on one backend and device, with PyTorch's names and value semantics.

    In-place methods rebind this Tensor's value; no other Tensor ever sees the change. Make one with
    :func:`unified.tensor`, :func:`unified.zeros` and the like, or wrap a framework's own tensor with
    :func:`unified.from_native`.
    """

    __slots__ = ("__weakref__", "_base", "_grad", "_hooks", "_native", "_node", "_output", "_shared")

    _native: Native
    _node: Any
    _output: int
    _grad: Tensor | None
    _hooks: Any
    _shared: bool
    _base: Tensor

    def __init__(self, *data: object) -> None:
        raise OperandError("make a Tensor with un.tensor(data), un.zeros(shape) or un.from_native(native)")

    if TYPE_CHECKING:  # the op table installs these at run time

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Tensor | Number) -> Tensor: ...
        def __radd__(self, other: Number) -> Tensor: ...
        def __sub__(self, other: Tensor | Number) -> Tensor: ...
        def __rsub__(self, other: Number) -> Tensor: ...
        def __mul__(self, other: Tensor | Number) -> Tensor: ...
        def __rmul__(self, other: Number) -> Tensor: ...
        def __truediv__(self, other: Tensor | Number) -> Tensor: ...
        def __rtruediv__(self, other: Number) -> Tensor: ...
        def __pow__(self, other: Tensor | Number) -> Tensor: ...
        def __matmul__(self, other: Tensor) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Tensor | Number) -> Tensor: ...
        def __or__(self, other: Tensor | Number) -> Tensor: ...
        def __eq__(self, other: Tensor | Number) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Tensor | Number) -> Tensor: ...  # type: ignore[override]
        def __gt__(self, other: Tensor | Number) -> Tensor: ...
        def __ge__(self, other: Tensor | Number) -> Tensor: ...
        def __lt__(self, other: Tensor | Number) -> Tensor: ...
        def __le__(self, other: Tensor | Number) -> Tensor: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...

    # ---- what it is ------------------------------------------------------------------------------------

    @property
    def native(self) -> Native:
        """The framework's own tensor. From here on its buffer counts as shared and is never written in place."""
        tracer = tracing()
        if tracer is not None:
            tracer.touch(self)
        self._shared = True
        return self._native

    @property
    def backend(self) -> str:
        """Name of the backend this Tensor lives on."""
        return backends_by_type[type(self._native)].name

    @property
    def shape(self) -> Size:
        """The lengths of its dimensions."""
        padding = _dispatch.padding()
        if padding is not None:
            return padding.shape(self)  # type: ignore[no-any-return]
        return Size(backends_by_type[type(self._native)].shape(self._native))

    @property
    def dtype(self) -> DType:
        """The type of its elements."""
        return backends_by_type[type(self._native)].dtype(self._native)

    @property
    def device(self) -> device:
        """Where its elements are."""
        return backends_by_type[type(self._native)].device(self._native)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(backends_by_type[type(self._native)].shape(self._native))

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        shape = self.shape
        return shape if dim is None else shape[dim]

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """Number of elements."""
        return self.shape.numel()

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is a complex one."""
        return self.dtype.is_complex

    def is_contiguous(self) -> bool:
        """Always True: with value semantics, strides are the backend's own affair."""
        return True

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise OperandError("len() of a 0-d tensor")
        return shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise OperandError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return _repr.render(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.ndim == 0 else repr(self)

    # ---- out to Python and to other frameworks -----------------------------------------------------------

    def _values(self, what: str) -> np.ndarray[Any, Any]:
        tracer = tracing()
        if tracer is not None:
            raise tracer.refuse_value(what)
        array: np.ndarray[Any, Any] = backends_by_type[type(self._native)].to_numpy(self._native)
        return array

    def item(self) -> Any:
        """The one element as a Python number; raises ShapeError unless there is exactly one."""
        values = self._values("x.item()")
        if values.size != 1:
            raise ShapeError(f"item: a tensor of shape {tuple(values.shape)} has {values.size} elements, not one")
        return values.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        return self._values("x.tolist()").tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a read-only numpy array, sharing memory where it can; ``.copy()`` it to write.

        Raises:
            AutogradError: the Tensor requires grad; ``x.detach().numpy()`` says that gradients end here.
        """
        values = self._values("x.numpy()")
        if self.requires_grad:
            raise AutogradError("numpy() on a Tensor that requires grad; use x.detach().numpy()")
        self._shared = True
        view = values.view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.detach().numpy(), dtype=dtype, copy=copy)

    __array_priority__ = 1000
    """As PyTorch's: an operator with a numpy array on its left is ours to refuse, and its gradient not lost."""

    def __dlpack__(self, **options: Any) -> Any:
        tracer = tracing()
        if tracer is not None:
            raise tracer.refuse_value("from_dlpack(x)")
        if self.requires_grad:
            raise AutogradError("DLPack carries no gradients: export x.detach()")
        self._shared = True
        return backends_by_type[type(self._native)].to_dlpack(self._native).__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return backends_by_type[type(self._native)].to_dlpack(self._native).__dlpack_device__()

    def __bool__(self) -> bool:
        return bool(self._scalar("bool(x), as in `if x:` or `while x:`"))

    def __int__(self) -> int:
        return int(self._scalar("int(x)"))

    def __float__(self) -> float:
        return float(self._scalar("float(x)"))

    def __complex__(self) -> complex:
        return complex(self._scalar("complex(x)"))

    def __index__(self) -> int:
        if self.dtype.kind not in "bui":
            raise DTypeError(f"a {self.dtype.name} tensor cannot be an index; only integer ones can")
        return int(self._scalar("x as a Python index or loop bound"))

    def _scalar(self, what: str) -> Any:
        values = self._values(what)
        if values.size != 1:
            raise ShapeError(
                f"the value of a tensor of shape {tuple(values.shape)} is ambiguous in {what}; "
                "reduce it first, e.g. with x.any(), x.all() or x.sum()"
            )
        return values.item()

    # ---- moving and converting -----------------------------------------------------------------------------

    def to(self, *args: Any, dtype: DType | None = None, device: Any = None, backend: str | None = None) -> Tensor:
        """This Tensor with another dtype, on another device or on another backend; itself where nothing changes.

        ``x.to(un.float64)``, ``x.to("gpu")``, ``x.to(other)``, ``x.to(backend="jax")``. Between backends data goes
        by DLPack, without a copy where the device allows, and gradients do not follow.

        Raises:
            DeviceError, UnknownBackendError, MissingBackendError: the target does not exist.
        """
        dtype, device, backend = placement(args, dtype, device, backend)
        moved = self if backend is None or backend == self.backend else self._transfer(registry.load(backend))
        if device is not None and _device(device) != moved.device:
            moved = moved.to_device(_device(device))
        if dtype is not None and dtype is not moved.dtype:
            moved = _dispatch.apply(_dispatch.table["cast"], (moved, dtype))
        return moved

    def _transfer(self, target: Backend) -> Tensor:
        tracer = tracing()
        if tracer is not None:
            raise tracer.refuse_value(f"x.to(backend={target.name!r})")
        source = backends_by_type[type(self._native)]
        self._shared = True
        native: Native = None
        with contextlib.suppress(RuntimeError, BufferError, TypeError, ValueError, NotImplementedError):
            native = target.from_dlpack(source.to_dlpack(self._native))  # some layouts and dtypes have no DLPack
        if native is None or target.dtype(native) is not self.dtype:  # JAX narrows 64 bits without a word
            native = target.from_numpy(source.to_numpy(self._native), self.dtype, None)
        moved = wrap(native)
        moved._shared = True
        return moved

    def type(self, dtype: DType) -> Tensor:
        """The same as ``x.to(dtype)``."""
        return self.to(dtype)

    def cpu(self) -> Tensor:
        """On the host."""
        return self.to("cpu")

    def cuda(self, index: int = 0) -> Tensor:
        """On a GPU."""
        return self.to(device("gpu", index))

    def type_as(self, other: Tensor) -> Tensor:
        """With the dtype of ``other``."""
        return self.to(other.dtype)

    # ---- the value ------------------------------------------------------------------------------------------

    @property
    def data(self) -> Tensor:
        """The value outside of any graph. Writing to it (in place, or ``x.data = t``) writes to this Tensor."""
        view = self.detach()
        view._base = self
        return view

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise OperandError(f"data must be a Tensor, not {type(value).__name__}")
        tracer = tracing()
        if tracer is not None:
            tracer.touch(self)
            tracer.touch(value)
        if value.shape != self.shape or value.dtype is not self.dtype or value.backend != self.backend:
            _epoch.state_epoch.bump()
        value._shared = True
        self._shared = True
        self._replace(engine_of(value).detach(value))

    def _replace(self, native: Native) -> None:
        if backends_by_type[type(native)] is backends_by_type[type(self._native)]:
            engine_of(self).replace(self, native)
            return
        required = self.requires_grad and self.is_leaf
        if required:
            engine_of(self).require_grad(self, False)
        self._native = native
        if required:
            engine_of(self).require_grad(self, True)

    def _assign(self, result: Tensor, reshapes: bool = False) -> Tensor:
        """Rebinds the value to ``result``'s: what every in-place method does in the end.

        ``reshapes`` lets the shape change, as ``squeeze_`` and the like do; what ``.data`` gave out keeps its own.
        """
        engine = engine_of(self)
        if grad_mode.enabled and engine.requires_grad(self) and engine.is_leaf(self):
            raise InPlaceLeafError(
                "a leaf Tensor that requires grad is written in place while gradients are recorded; "
                "wrap the write in un.no_grad(), or write to x.data"
            )
        base = getattr(self, "_base", None)
        if result.shape != self.shape and (base is not None or not reshapes):
            raise ShapeError(
                f"an in-place result of shape {tuple(result.shape)} does not fit a Tensor of shape "
                f"{tuple(self.shape)}; use the method without the trailing underscore"
            )
        if result.dtype is not self.dtype:
            if not can_cast(result.dtype, self.dtype):
                raise DTypeError(
                    f"an in-place result of dtype {result.dtype.name} cannot be cast to {self.dtype.name}; "
                    "use the method without the trailing underscore"
                )
            result = result.to(self.dtype)
        if reshapes and result.shape != self.shape:
            _epoch.state_epoch.bump()
        tracer = tracing()
        if tracer is not None:
            tracer.touch(self)
        engine.rebind(self, result)
        padding = _dispatch.padding()
        if padding is not None:
            padding.aliased(result, self)
        if base is not None:
            if tracer is not None:
                tracer.touch(base)
            engine.replace(base, engine.detach(self))
        return self

    # ---- copies ------------------------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise AutogradError("only leaf Tensors can be deep-copied; use x.clone() or x.detach() first")
        duplicate: Tensor = object.__new__(type(self))
        memo[id(self)] = duplicate
        duplicate._native = self.detach().clone()._native
        duplicate._node = None
        if self.requires_grad:
            duplicate.requires_grad_()
        if hasattr(self, "__dict__"):
            duplicate.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return duplicate

    def __reduce__(self) -> tuple[Any, ...]:
        array = np.asarray(self.detach().numpy())
        return _rebuild, (type(self), self.backend, self.dtype.name, array, self.requires_grad)


def _rebuild(kind: type[Tensor], backend: str, dtype: str, array: Any, requires_grad: bool) -> Tensor:
    tensor: Tensor = object.__new__(kind)
    tensor._native = registry.load(backend).from_numpy(array, dtype_named(dtype), None)
    tensor._node = None
    return tensor.requires_grad_(requires_grad)


def _device(place: Any) -> device:
    return place if isinstance(place, device) else device(place)


_dispatch.bind_tensor_class(Tensor)
