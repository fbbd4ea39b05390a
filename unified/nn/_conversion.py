"""What a Module does to all of its parameters and buffers at once: move, convert, freeze, forget gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, cast

from unified._device import device as Device
from unified._dispatch import tracing
from unified._dtype import DType, bfloat16, float16, float32, float64
from unified._engine import engine_of
from unified._tensor import Tensor
from unified.errors import DTypeError, UnsupportedOpError
from unified.nn.parameter import is_lazy

if TYPE_CHECKING:
    from unified.nn.module import Module


class Convertible:
    """The part of a Module that converts what it holds, keeping every Parameter the object that it is."""

    if TYPE_CHECKING:

        def children(self) -> Iterator[Module]: ...
        def parameters(self, recurse: bool = True) -> Iterator[Any]: ...
        def buffers(self, recurse: bool = True) -> Iterator[Tensor]: ...

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Calls ``fn`` on every Module below and then on this one; returns itself."""
        for module in self.children():
            module.apply(fn)
        fn(cast("Module", self))
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Starts or stops recording for every parameter; returns itself."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or sets them to zero."""
        traced = tracing() is not None
        for param in self.parameters():
            if set_to_none and not traced:
                engine_of(param).write_grad(param, None)  # no look at what is there, which torch would hand over
            elif set_to_none:
                param.grad = None  # nor here, where a compiled step would have to guard it
            elif param.grad is not None:
                param.grad = param.grad.detach().zeros_like()

    def _convert(self, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Rebinds the value of every parameter, its gradient, and every buffer: identities stay."""
        for param in self.parameters(recurse):
            if is_lazy(param):
                param._native = convert(param)._native
                continue
            grad = param.grad
            param.grad = None
            param.data = convert(param.data)
            if grad is not None:
                param.grad = convert(grad)
        for buffer in self.buffers(recurse):
            if is_lazy(buffer):
                buffer._native = convert(buffer)._native
            else:
                buffer.data = convert(buffer.data)
        return self

    def to(self, *args: Any, device: Any = None, dtype: DType | None = None, backend: str | None = None) -> Self:
        """Moves parameters and buffers to a device, a backend or (the floating ones) a dtype; returns itself.

        Each Parameter stays the same object, so that an optimiser made before still holds it.
        Forms: ``to("gpu")``, ``to(un.float64)``, ``to(tensor)``, ``to(backend="jax")`` and mixtures.

        Raises:
            DTypeError: the dtype is neither floating nor complex.
            DeviceError, UnknownBackendError, MissingBackendError: the target does not exist.
        """
        for arg in args:
            if isinstance(arg, DType):
                dtype = arg
            elif isinstance(arg, Tensor):
                dtype, device, backend = arg.dtype, arg.device, arg.backend
            elif not isinstance(arg, bool):
                device = arg
        if dtype is not None and not dtype.is_inexact:
            raise DTypeError(f"nn.Module.to only accepts floating point or complex dtypes, not {dtype.name}")
        return self._convert(
            lambda t: t.to(device=device, dtype=dtype if t.dtype.is_inexact else None, backend=backend)
        )

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Puts zeros in the place of all values, on ``device``; where ``recurse`` is False, not below this Module."""
        return self._convert(
            lambda t: t.to(device=device) if is_lazy(t) else t.zeros_like().to(device=device), recurse
        )

    def type(self, dst_type: DType) -> Self:
        """All parameters and buffers, those of integers too, with another dtype; returns itself."""
        return self._convert(lambda t: t.to(dst_type))

    def _floating(self, dtype: DType) -> Self:
        return self._convert(lambda t: t.to(dtype) if t.dtype.is_floating_point else t)

    def float(self) -> Self:
        """Floating parameters and buffers as float32."""
        return self._floating(float32)

    def double(self) -> Self:
        """Floating parameters and buffers as float64."""
        return self._floating(float64)

    def half(self) -> Self:
        """Floating parameters and buffers as float16."""
        return self._floating(float16)

    def bfloat16(self) -> Self:
        """Floating parameters and buffers as bfloat16."""
        return self._floating(bfloat16)

    def cpu(self) -> Self:
        """Parameters and buffers on the host."""
        return self.to("cpu")

    def cuda(self, device: int | Device | None = None) -> Self:
        """Parameters and buffers on a GPU."""
        return self.to(device if isinstance(device, Device) else Device("gpu", device or 0))

    def share_memory(self) -> Self:
        """Raises UnsupportedOpError: Tensors are values, so nothing that a process writes is seen in another."""
        raise UnsupportedOpError(
            "share_memory: a Tensor is a value, and what one process writes is not seen in another; send the "
            "state_dict() to the others instead, e.g. through a queue or a file (un.save)"
        )
