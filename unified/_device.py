"""Where a Tensor lives: ``"cpu"``, ``"gpu:0"``, ``"tpu:3"``, the same words on every backend."""

from __future__ import annotations

import re
import threading
from types import TracebackType

from unified.errors import DeviceError

_PATTERN = re.compile(r"^(cpu|gpu|cuda|tpu)(?::(\d+))?$")


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.stack: list[device | None] = [None]


_scopes = _Scopes()


class device:  # noqa: N801  (PyTorch's name)
    """A device, and a scope in which new Tensors are placed on it.

    ``un.device("gpu:1")``, ``un.device("cuda")`` (the same as ``"gpu"``), ``with un.device("tpu"): ...``.

    Raises:
        DeviceError: the name cannot be read.
    """

    __slots__ = ("index", "type")

    def __init__(self, name: str | device, index: int | None = None) -> None:
        if isinstance(name, device):
            self.type: str = name.type
            self.index: int = name.index
            return
        match = _PATTERN.match(name)
        if match is None or (match[2] is not None and index is not None):
            raise DeviceError(f"cannot read {name!r} as a device; use 'cpu', 'gpu', 'gpu:1' or 'tpu:0'")
        self.type = "gpu" if match[1] == "cuda" else match[1]
        self.index = int(match[2]) if match[2] is not None else (index or 0)

    def __str__(self) -> str:
        return self.type if self.type == "cpu" and self.index == 0 else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}, index={self.index})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                other = device(other)
            except DeviceError:
                return False
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        _scopes.stack.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _scopes.stack.pop()


def current_device() -> device | None:
    """The innermost ``with un.device(...)``, or None where the backend's default applies."""
    return _scopes.stack[-1]


def set_default_device(name: str | device | None) -> None:
    """Where new Tensors go in this thread when no ``device=`` is given and no scope is open."""
    _scopes.stack[0] = None if name is None else device(name)
