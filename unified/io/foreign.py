"""Which reader a file of another library needs, told by its content; every one returns a nest of Tensors.

PyTorch's and Keras's readers are our own, and need neither. TensorFlow's and orbax's checkpoints are read by the
framework they belong to, which must be installed, and go to any backend.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unified._tensor import Tensor
from unified.backends import registry
from unified.backends.protocol import CheckpointReader
from unified.errors import CheckpointError
from unified.io import keras, pytorch, variables
from unified.io.container import Array

MakeTensor = Callable[[Array], Tensor]
Reader = Callable[[Path, MakeTensor], Any]

_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLE = b"\x80"


def reader_of(path: Path) -> Reader | None:
    """The reader for what is at ``path``; None for safetensors, and for nothing at all.

    Raises:
        CheckpointError: it is a pickle, which is never loaded, or a zip file of unknown content.
    """
    if path.with_name(f"{path.name}.index").is_file() or (path / "checkpoint").is_file():
        return _tensorflow
    if (path / "_CHECKPOINT_METADATA").is_file():
        return _orbax
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        start = file.read(8)
    if start == _HDF5:
        return keras.read_weights
    if start.startswith(_ZIP):
        return _zip_reader(path)
    if start.startswith(_PICKLE) and start[1:2] in b"\x02\x03\x04\x05":
        raise CheckpointError(
            f"{path} is a bare pickle, which can run any code when it is loaded; PyTorch's files of before 1.6 are "
            "that too. Save it again with un.save, or with torch.save of a present PyTorch"
        )
    return None


def _framework(name: str, path: Path) -> Any:
    """What a framework's own reader makes of ``path``."""
    backend = registry.load(name)
    assert isinstance(backend, CheckpointReader)
    try:
        return backend.read_checkpoint(str(path.resolve()))
    except Exception as error:  # frameworks raise anything
        raise CheckpointError(
            f"{path} is damaged or no checkpoint of {name} ({error}); nothing was loaded"
        ) from error


def _tensorflow(path: Path, tensor: MakeTensor) -> Any:
    return variables.state_of(_framework("tensorflow", path), path, tensor)


def _orbax(path: Path, tensor: MakeTensor) -> Any:
    return _with_tensors(_framework("jax", path), tensor)


def _with_tensors(nest: Any, tensor: MakeTensor) -> Any:
    if isinstance(nest, np.ndarray):
        return tensor(nest)
    if isinstance(nest, dict):
        return {key: _with_tensors(value, tensor) for key, value in nest.items()}
    if isinstance(nest, (list, tuple)):
        return type(nest)(_with_tensors(value, tensor) for value in nest)
    return nest


def _zip_reader(path: Path) -> Reader:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path} is a damaged zip file ({error}); nothing was loaded") from None
    if any(name.endswith("/data.pkl") for name in names):
        return pytorch.read
    if "model.weights.h5" in names:
        return keras.read_model
    raise CheckpointError(f"{path} is a zip file of neither PyTorch nor Keras; nothing was loaded")
