"""``autocast``: a block in which products are computed in 16 bits, and what would suffer from it in 32."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from unified import _dispatch
from unified._device import device
from unified._dispatch import Op, backends_by_type
from unified._dtype import DType, bfloat16, float16, float32, promote_types
from unified._engine import engine_of
from unified._selection import current_backend
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.amp.policy import POLICIES, Policy
from unified.autograd.grad_mode import _Mode
from unified.errors import DTypeError

_DEFAULTS = {"cpu": bfloat16, "gpu": float16, "tpu": bfloat16}
"""The dtype by device type where none is given, PyTorch's."""

_KINDS = tuple(_DEFAULTS)
_NARROW = (float16, bfloat16)
_ELIGIBLE = (float16, bfloat16, float32)


class Casting:
    """What is in force in a thread: the 16-bit dtype by device type. ``_dispatch`` sends all ops through it.

    Args:
        dtypes: of the device types for which it is enabled.
        keeps: whether what parameters were cast to is kept for their next use.
    """

    __slots__ = ("_dtypes", "_everywhere", "_keeps", "_kept", "key")

    def __init__(self, dtypes: Mapping[str, DType], keeps: bool) -> None:
        self._dtypes = dict(dtypes)
        found = {dtypes.get(kind) for kind in _KINDS}
        self._everywhere = found.pop() if len(found) == 1 else None  # then no Tensor is asked where it lives
        self._keeps = keeps
        self._kept: dict[tuple[int, bool], tuple[weakref.ref[Any], weakref.ref[Any], Tensor]] = {}
        """By a parameter's id, and whether it was recorded: the parameter, the value that it had, and that cast."""
        self.key = tuple(sorted((kind, dtype.name) for kind, dtype in dtypes.items()))
        """What tells it from another, apart from what is kept."""

    @property
    def dtypes(self) -> Mapping[str, DType]:
        """The dtype by device type, where enabled."""
        return self._dtypes

    def apply(self, op: Op, args: Sequence[Any]) -> Any:
        """The op on operands of the dtypes that its policy asks for; within the op nothing is cast."""
        policy = POLICIES.get(op.name)
        grad_mode.autocast = None
        try:
            if policy is not None:
                args = self._cast(policy, op, args)
            return _dispatch.apply(op, args)
        finally:
            _dispatch.set_autocast(self)  # what ran within may have opened and closed a block of its own

    def _cast(self, policy: Policy, op: Op, args: Sequence[Any]) -> Sequence[Any]:
        dtype = float32 if policy is Policy.FLOAT32 else None
        if policy is Policy.WIDEST:
            found = [v.dtype for v in op.operands(args) if isinstance(v, Tensor) and self._lower(v) is not None]
            if not found:
                return args
            dtype = functools.reduce(promote_types, found)
        return op.mapped(args, lambda v: self._to(v, dtype) if isinstance(v, Tensor) else v)

    def _lower(self, tensor: Tensor) -> DType | None:
        """The 16-bit dtype where ``tensor`` lives; None where it is not to be cast."""
        native = tensor._native
        backend = backends_by_type[type(native)]
        if backend.dtype(native) not in _ELIGIBLE:
            return None
        return self._everywhere or self._dtypes.get(backend.device(native).type)

    def _to(self, tensor: Tensor, dtype: DType | None) -> Tensor:
        """``tensor`` in ``dtype``, by default the 16-bit one where it lives, if it is to be cast."""
        lower = self._lower(tensor)
        target = lower if dtype is None else dtype
        if lower is None or target is None or tensor.dtype is target:
            return tensor
        if dtype is not None or not self._keeps or tensor.dtype is not float32:
            return tensor.to(target)
        engine = engine_of(tensor)
        if not (engine.requires_grad(tensor) and engine.is_leaf(tensor)) or _dispatch.tracing() is not None:
            return tensor.to(target)
        place = (id(tensor), grad_mode.enabled)
        found = self._kept.get(place)
        if found is not None and found[0]() is tensor and found[1]() is tensor._native:
            return found[2]
        cast = tensor.to(target)
        self._kept[place] = (weakref.ref(tensor), weakref.ref(tensor._native), cast)
        return cast


def _kind(name: str | None) -> str:
    return current_backend().default_device().type if name is None else device(name).type


class autocast(_Mode):  # noqa: N801  (PyTorch's name)
    """Ops within choose their precision: products in 16 bits, sums, norms, softmax and losses in 32.

    Parameters stay as they are, and so do their gradients, since the casts are part of the graph. A cast of a
    parameter is computed once and kept until the block ends or the parameter changes. Call ``backward`` outside of
    the block: derivatives are in the dtypes that the forward pass chose anyway. Which op computes how is the same on
    every backend and device; see :mod:`unified.amp.policy`. Also a decorator: ``@un.autocast("cuda")``.

    Args:
        device_type: Tensors on which devices are meant: ``"cpu"``, ``"gpu"`` (or ``"cuda"``), ``"tpu"``; by default
            wherever they are.
        dtype: ``un.float16`` or ``un.bfloat16``; by default float16 on a GPU and bfloat16 elsewhere, as in PyTorch,
            and by the current backend's default device if no type is given. float16 wants a :class:`GradScaler`.
        enabled: False turns it off for that device type, or for all, within an enabled block.
        cache_enabled: whether what parameters are cast to is kept.

    Raises:
        DTypeError: ``dtype`` has not 16 bits.
        DeviceError: there is no such device type.

    Example:
        >>> with un.autocast("cpu"):
        ...     loss = F.cross_entropy(model(x), y)
        >>> loss.backward()
    """

    def __init__(
        self,
        device_type: str | None = None,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self._options = (device_type, dtype, enabled, cache_enabled)
        self.device = _kind(device_type)
        if dtype is not None and dtype not in _NARROW:
            name = dtype.name if isinstance(dtype, DType) else repr(dtype)
            raise DTypeError(f"autocast: dtype must be float16 or bfloat16, not {name}")
        self.fast_dtype = dtype or _DEFAULTS[self.device]
        self._kinds = _KINDS if device_type is None else (self.device,)
        self._enabled = enabled
        self._keeps = cache_enabled is None or cache_enabled
        self._previous: list[Casting | None] = []

    def __enter__(self) -> autocast:
        outer = grad_mode.autocast
        self._previous.append(outer)
        dtypes = {} if outer is None else dict(outer.dtypes)
        for kind in self._kinds:
            dtypes.pop(kind, None)
            if self._enabled:
                dtypes[kind] = self.fast_dtype
        if outer is None or outer.dtypes != dtypes:
            _dispatch.set_autocast(Casting(dtypes, self._keeps) if dtypes else None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _dispatch.set_autocast(self._previous.pop())

    def _again(self) -> autocast:
        return autocast(*self._options)


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether ops on Tensors of that device type choose their precision here; by default of the default device."""
    return grad_mode.autocast is not None and _kind(device_type) in grad_mode.autocast.dtypes


def get_autocast_dtype(device_type: str | None = None) -> DType:
    """The 16-bit dtype in force for that device type, or the one that :class:`autocast` takes by default."""
    kind = _kind(device_type)
    found: DType | None = None if grad_mode.autocast is None else grad_mode.autocast.dtypes.get(kind)
    return found or _DEFAULTS[kind]


def is_autocast_available(device_type: str) -> bool:
    """Whether :class:`autocast` takes that device type: each of ``"cpu"``, ``"gpu"``, ``"cuda"`` and ``"tpu"``."""
    return device(device_type).type in _DEFAULTS
