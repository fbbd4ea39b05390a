"""Which reader a file of another library needs, told by its content; every one returns a nest of Tensors.

The readers are our own, and need neither PyTorch nor Keras.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unified._tensor import Tensor
from unified.errors import CheckpointError
from unified.io import keras, pytorch
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
