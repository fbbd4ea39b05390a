"""Parameters and buffers: the Tensors that a Module registers, and those whose shape waits for a first input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn, Self

from unified._device import device as Device
from unified._dtype import DType, dtype_named
from unified._engine import engine_of
from unified._op import backends_by_type
from unified._selection import backend as backend_scope
from unified._tensor import Tensor
from unified.errors import OperandError, UninitializedError
from unified.ops.creation import empty


def _hold(tensor: Tensor, value: Tensor) -> None:
    """Gives a new Tensor that value, outside of any graph."""
    value._shared = True
    tensor._native = engine_of(value).detach(value)
    tensor._node = None
    tensor._shared = True


class Parameter(Tensor):
    """A Tensor that a :class:`~unified.nn.Module` registers when it is assigned as an attribute.

    Unlike a plain Tensor it takes attributes of the user's own.

    Args:
        data: its value.
        requires_grad: whether backward collects a gradient for it.

    Raises:
        OperandError: ``data`` is not a Tensor.
        DTypeError: a gradient is asked for, but the dtype is neither floating nor complex.
    """

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise OperandError(f"Parameter takes a Tensor, not {type(data).__name__}; make one with un.tensor(...)")
        _hold(self, data)
        if requires_grad:
            self.requires_grad_()


class Buffer(Tensor):
    """A Tensor that a :class:`~unified.nn.Module` registers as a buffer when it is assigned as an attribute.

    Args:
        data: its value.
        persistent: whether it is in the state dict.

    Raises:
        OperandError: ``data`` is not a Tensor.
    """

    def __init__(self, data: Tensor, *, persistent: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise OperandError(f"Buffer takes a Tensor, not {type(data).__name__}; make one with un.tensor(...)")
        _hold(self, data)
        self.persistent = persistent


class _Pending:
    """In the place of a native: where one will be, once its shape is known."""

    __slots__ = ("backend", "device", "dtype")

    def __init__(self, backend: str, dtype: DType, device: Device) -> None:
        self.backend = backend
        self.dtype = dtype
        self.device = device


class _NoBackend:
    """What answers for a :class:`_Pending`: its engine is the tape, and everything else is refused."""

    engine = None

    def __getattr__(self, name: str) -> NoReturn:
        raise UninitializedError(
            "Attempted to use an uninitialized parameter or buffer, which has neither a shape nor values yet. Call "
            "the Module with a first batch, or load its state, before its parameters are used"
        )


backends_by_type[_Pending] = _NoBackend()  # type: ignore[assignment]


class UninitializedTensorMixin(Tensor):
    """A Tensor of which only dtype, device and backend are known; see :class:`~unified.nn.lazy.LazyModuleMixin`."""

    __slots__ = ()
    cls_to_become: ClassVar[type[Tensor]]

    def _begin(self, requires_grad: bool, device: Any, dtype: DType | None) -> None:
        sample = empty(0, device=device, dtype=dtype)
        self._wait(_Pending(sample.backend, sample.dtype, sample.device), requires_grad)

    def _wait(self, native: _Pending, requires_grad: bool) -> None:
        self._native = native
        self._node = None
        self._shared = False
        if requires_grad:
            self.requires_grad_(True)

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: DType | None = None) -> None:
        """Makes this an ordinary Parameter or Tensor of ``shape``, with zeros in it."""
        pending = self._native
        with backend_scope(pending.backend):
            self.become(empty(*shape, device=device or pending.device, dtype=dtype or pending.dtype))

    def become(self, value: Tensor) -> Callable[[], None]:
        """Makes this an ordinary Parameter or Tensor with that value; returns what makes it wait again."""
        pending, kind, required = self._native, type(self), self.requires_grad
        _hold(self, value)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]
        if required:
            self.requires_grad_(True)

        def wait_again() -> None:
            self.__class__ = kind
            kind._wait(self, pending, required)

        return wait_again

    @property
    def backend(self) -> str:
        """Name of the backend that it will be on."""
        return str(self._native.backend)

    @property
    def dtype(self) -> DType:
        """The type that its elements will have."""
        found: DType = self._native.dtype
        return found

    @property
    def device(self) -> Device:
        """Where its elements will be."""
        found: Device = self._native.device
        return found

    @property
    def shape(self) -> NoReturn:
        """Raises UninitializedError: there is none yet."""
        raise UninitializedError(
            "Can't access the shape of an uninitialized parameter or buffer; call the Module with a first batch, or "
            "load its state, before"
        )

    @property
    def native(self) -> NoReturn:
        """Raises UninitializedError: there is none yet."""
        raise UninitializedError("There is no native of an uninitialized parameter or buffer yet")

    def to(self, *args: Any, dtype: DType | None = None, device: Any = None, backend: str | None = None) -> Self:
        """One of another dtype, on another device or another backend."""
        for arg in args:
            if isinstance(arg, DType):
                dtype = arg
            elif isinstance(arg, Tensor):
                dtype, device, backend = arg.dtype, arg.device, arg.backend
            elif not isinstance(arg, bool):
                device = arg
        held = self._native
        moved = object.__new__(type(self))
        with backend_scope(backend or held.backend):
            moved._begin(self.requires_grad, held.device if device is None else device, dtype or held.dtype)
        return moved

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        duplicate = object.__new__(type(self))
        duplicate._wait(self._native, self.requires_grad)
        memo[id(self)] = duplicate
        return duplicate

    def __reduce__(self) -> tuple[Any, ...]:
        held = self._native
        return _rebuild, (type(self), held.backend, held.dtype.name, str(held.device), self.requires_grad)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _rebuild(kind: Any, backend: str, dtype: str, device: str, requires_grad: bool) -> Any:
    made = object.__new__(kind)
    with backend_scope(backend):
        made._begin(requires_grad, device, dtype_named(dtype))
    return made


class UninitializedParameter(Parameter, UninitializedTensorMixin):
    """A Parameter whose shape is not known yet. It can be moved, converted and made real, and nothing else.

    Args:
        requires_grad: whether backward will collect a gradient for it.
        device, dtype: where and of what type it will be; by default as any new Tensor.
    """

    cls_to_become = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: DType | None = None) -> None:
        self._begin(requires_grad, device, dtype)


class UninitializedBuffer(UninitializedTensorMixin):
    """A buffer whose shape is not known yet. It can be moved, converted and made real, and nothing else.

    Args:
        requires_grad: whether backward will collect a gradient for it.
        device, dtype: where and of what type it will be; by default as any new Tensor.
    """

    __slots__ = ()
    cls_to_become = Tensor

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: DType | None = None) -> None:
        self._begin(requires_grad, device, dtype)


def is_lazy(param: Any) -> bool:
    """Whether it is an :class:`UninitializedParameter` or :class:`UninitializedBuffer`."""
    return isinstance(param, UninitializedTensorMixin)
