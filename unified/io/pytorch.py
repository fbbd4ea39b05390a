"""PyTorch's ``.pt`` files, read without PyTorch and without running anything that they name.

The file is a zip: ``<name>/data.pkl``, a pickle in which tensors are calls to ``torch._utils._rebuild_tensor_v2`` on
storages ``<name>/data/<key>``. The unpickler here knows a closed list of names and puts functions of our own in
place of them; any other name raises, as with ``torch.load(weights_only=True)``
(https://docs.pytorch.org/docs/stable/notes/serialization.html).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from unified import _dtype
from unified._device import device
from unified._dtype import DType
from unified._size import Size
from unified._tensor import Tensor
from unified.errors import CheckpointError
from unified.io.container import Array

_STORAGES = {
    "BoolStorage": _dtype.bool_, "ByteStorage": _dtype.uint8, "CharStorage": _dtype.int8,
    "ShortStorage": _dtype.int16, "IntStorage": _dtype.int32, "LongStorage": _dtype.int64,
    "HalfStorage": _dtype.float16, "BFloat16Storage": _dtype.bfloat16, "FloatStorage": _dtype.float32,
    "DoubleStorage": _dtype.float64, "ComplexFloatStorage": _dtype.complex64,
    "ComplexDoubleStorage": _dtype.complex128,
}  # fmt: skip
_DTYPES = (*_STORAGES.values(), _dtype.uint16, _dtype.uint32, _dtype.uint64)


class _Storage:
    """A storage's bytes, in the numpy dtype that its class names (bytes for an untyped one)."""

    def __init__(self, key: str, dtype: DType | None, data: bytes, swapped: bool) -> None:
        self.key, self.dtype, self.data, self.swapped = key, dtype, data, swapped

    def view(self, dtype: DType, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Array:
        """A dense copy of what a strided tensor shows, within the storage."""
        flat = np.frombuffer(self.data, dtype.numpy.newbyteorder(">") if self.swapped else dtype.numpy)
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"a tensor of size {size}, stride {stride} and offset {offset}")
        if 0 in size:
            return np.empty(size, dtype.numpy)
        last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if last >= len(flat):
            raise ValueError(f"a tensor that ends at element {last} of a storage of {len(flat)}")
        strides = tuple(step * flat.itemsize for step in stride)
        return np.array(np.lib.stride_tricks.as_strided(flat[offset:], size, strides), dtype.numpy, order="C")


class _Unpickler(pickle._Unpickler):
    """Python's own in Python, whose opcodes can be replaced: BUILD, which sets attributes of anything, and EXT, which
    finds objects without asking ``find_class``."""

    def __init__(self, file: io.BytesIO, storage: Callable[[str, DType | None], _Storage], tensor: Any) -> None:
        super().__init__(file)
        self._storage, self._tensor = storage, tensor
        self._views: dict[Any, Array] = {}
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("collections", "Counter"): Counter,
            ("builtins", "set"): set,
            ("torch", "Size"): Size,
            ("torch", "device"): device,
            ("torch._utils", "_rebuild_tensor_v2"): self._rebuild,
            ("torch._utils", "_rebuild_tensor_v3"): self._rebuild_typed,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
            ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
            ("torch.storage", "UntypedStorage"): None,
            **{("torch", name): dtype for name, dtype in _STORAGES.items()},
            **{("torch", dtype.name): dtype for dtype in _DTYPES},
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise CheckpointError(
                f"it names {module}.{name}, which is no tensor or plain data, and could run any code; "
                "nothing of it was run. Save a state_dict() instead"
            )
        return self._known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, _ = pid
        if kind != "storage" or type(key) is not str:
            raise CheckpointError(f"it refers to a {kind!r}, which is no storage")
        return self._storage(key, dtype)

    stack: list[Any]

    def _build(self) -> None:
        self.stack.pop()  # attributes of a state_dict, such as its versions
        if type(self.stack[-1]) is not OrderedDict:
            raise CheckpointError(f"it sets attributes of a {type(self.stack[-1]).__name__}")

    def _extension(self) -> None:
        raise CheckpointError("it names an object by a registered number")

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: _build,
        pickle.EXT1[0]: _extension,
        pickle.EXT2[0]: _extension,
        pickle.EXT4[0]: _extension,
    }

    def _view(self, storage: _Storage, dtype: DType, offset: int, size: Any, stride: Any) -> Tensor:
        place = (storage.key, dtype, offset, tuple(size), tuple(stride))
        if place not in self._views:  # tied weights are one place, and share a buffer here too
            self._views[place] = storage.view(dtype, offset, tuple(size), tuple(stride))
        tensor: Tensor = self._tensor(self._views[place])
        return tensor

    def _rebuild(self, storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
        if storage.dtype is None:
            raise CheckpointError("it has a tensor over a storage without a dtype")
        return self._view(storage, storage.dtype, offset, size, stride)

    def _rebuild_typed(
        self, storage: _Storage, offset: int, size: Any, stride: Any, grad: Any, hooks: Any, dtype: DType, *_: Any
    ) -> Tensor:
        return self._view(storage, dtype, offset, size, stride)


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def read(path: Path, tensor: Callable[[Array], Tensor]) -> Any:
    """What ``torch.save`` wrote: tensors, parameters (as Tensors), dicts, lists, tuples, numbers, strings and dtypes.

    Raises:
        CheckpointError: it names anything else, or is damaged; nothing that it names was run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            root = pickled.removesuffix("data.pkl")
            order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.namelist() else b"little"
            found: dict[str, _Storage] = {}

            def storage(key: str, dtype: DType | None) -> _Storage:
                if key not in found:
                    found[key] = _Storage(key, dtype, archive.read(f"{root}data/{key}"), order == b"big")
                return found[key]

            return _Unpickler(io.BytesIO(archive.read(pickled)), storage, tensor).load()
    except CheckpointError as error:
        raise CheckpointError(f"{path} was refused: {error}") from None
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, AttributeError,
            IndexError, RecursionError, OverflowError, NotImplementedError) as error:  # fmt: skip
        raise CheckpointError(f"{path} is damaged or no file of torch.save ({error}); nothing was loaded") from error
