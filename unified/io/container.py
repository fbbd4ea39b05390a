"""The safetensors format, and what we keep in its metadata: structure, aliases and checksums.

The file is 8 bytes of header length, a JSON header, and the tensors' bytes end to end
(https://github.com/huggingface/safetensors#format). The header's ``__metadata__`` may hold strings only; ours is one
string of JSON under the key ``unified``:

- ``structure``: the saved object, with names in place of tensors (``structure.py``);
- ``aliases``: names that share the bytes of another;
- ``complex``: names stored as real pairs, because the format lacks (or long lacked) complex dtypes;
- ``crc32``: a checksum of each tensor's bytes.

``checksum`` beside it is the SHA-256 of the rest of the header. Checksums tell accidents, not forgeries.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from unified.errors import CheckpointError

Array = np.ndarray[Any, Any]

FORMAT = 1
_LIMIT = 100_000_000
"""Bytes of a header that the format allows."""

_CODES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_), "U8": np.dtype("<u1"), "I8": np.dtype("<i1"), "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"), "U32": np.dtype("<u4"), "I32": np.dtype("<i4"), "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16), "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"), "C64": np.dtype("<c8"),
}  # fmt: skip
_NAMES = {dtype: code for code, dtype in _CODES.items() if code != "C64"}
_PAIRS: dict[np.dtype[Any], np.dtype[Any]] = {np.dtype("<c8"): np.dtype("<f4"), np.dtype("<c16"): np.dtype("<f8")}
_COMPLEX = {real: pair for pair, real in _PAIRS.items()}


@dataclass(frozen=True)
class Archive:
    """One file's content: arrays are views of the mapped file."""

    arrays: dict[str, Array]
    extra: dict[str, Any] | None
    """What ``unified`` wrote, or None where somebody else wrote the file."""
    checksum: str | None


def storable(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of this dtype can be written."""
    little = dtype.newbyteorder("<")
    return little in _NAMES or little in _PAIRS


def _plain(array: Array) -> Array:
    """Little-endian, dense, and real."""
    dense = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
    pair = _PAIRS.get(dense.dtype)
    return dense if pair is None else dense.reshape((*dense.shape, 1)).view(pair)


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def digest(value: Any) -> str:
    """SHA-256 of JSON, whatever its spacing and the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def prepare(arrays: Mapping[str, Array], extra: Mapping[str, Any]) -> tuple[str, Callable[[BinaryIO], None]]:
    """The header's checksum, and the function that writes the file."""
    stored = {name: _plain(array) for name, array in arrays.items()}
    order = sorted(stored, key=lambda name: (-stored[name].dtype.itemsize, name))  # so that every one is aligned
    header: dict[str, Any] = {}
    cursor = 0
    for name in order:
        array = stored[name]
        code = _NAMES[array.dtype]
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [cursor, cursor + array.nbytes]}
        cursor += array.nbytes
    ours = {
        **extra,
        "format": FORMAT,
        "complex": sorted(name for name, array in arrays.items() if array.dtype.kind == "c"),
        "crc32": {name: zlib.crc32(_bytes(array)) for name, array in stored.items()},
    }
    header["__metadata__"] = {"unified": json.dumps(ours, separators=(",", ":"), allow_nan=False)}
    checksum = digest(header)
    header["__metadata__"]["checksum"] = checksum
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LIMIT:
        raise CheckpointError(f"the structure takes {len(text)} bytes of JSON, and the format allows {_LIMIT}")

    def fill(file: BinaryIO) -> None:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            file.write(_bytes(stored[name]))

    return checksum, fill


def read(path: Path, verify: bool = True) -> Archive:
    """The content of a safetensors file, after every check that its bytes allow.

    Args:
        path: the file.
        verify: compare the tensors' checksums too, which reads all of it.

    Raises:
        CheckpointError: it is no safetensors file, is cut short, or a checksum differs.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        if size < 8:
            raise damaged(path, f"it has {size} bytes, fewer than any such file")
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    length = int.from_bytes(mapped[:8], "little")
    if length > min(_LIMIT, size - 8):
        raise damaged(path, f"its header of {length} bytes does not fit into a file of {size}")
    try:
        header = json.loads(bytes(mapped[8 : 8 + length]).decode(), object_pairs_hook=_unique)
        metadata = header.pop("__metadata__", {})
        entries = sorted(_entries(header), key=lambda entry: entry[3])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, f"its header cannot be read ({error})") from None
    data = mapped[8 + length :]
    arrays: dict[str, Array] = {}
    cursor = 0
    for name, dtype, shape, first, last in entries:
        if first != cursor or last - first != dtype.itemsize * _count(shape) or last > len(data):
            raise damaged(path, f"the bytes of tensor {name!r} are not where its header says")
        arrays[name] = np.frombuffer(data[first:last], dtype).reshape(shape)
        cursor = last
    if cursor != len(data):
        raise damaged(path, f"{len(data) - cursor} bytes follow its last tensor")
    if not isinstance(metadata, dict) or not ("unified" in metadata or "checksum" in metadata):
        return Archive(arrays, None, None)
    checksum = metadata.pop("checksum", None)
    if checksum != digest({**header, "__metadata__": metadata}):
        raise damaged(path, "the checksum of its header differs")
    extra = json.loads(metadata["unified"])
    if extra["format"] > FORMAT:
        raise CheckpointError(f"{path}: written in format {extra['format']}; this version reads up to {FORMAT}")
    if verify:
        for name, array in arrays.items():
            if zlib.crc32(_bytes(array)) != extra["crc32"][name]:
                raise damaged(path, f"the checksum of tensor {name!r} differs")
    for name in extra["complex"]:
        pair = arrays[name]
        arrays[name] = pair.view(_COMPLEX[pair.dtype]).reshape(pair.shape[:-1])
    return Archive(arrays, extra, checksum)


def damaged(path: Path, why: str) -> CheckpointError:
    """The error for a file that is not what was written."""
    return CheckpointError(
        f"{path} is damaged or no safetensors file: {why}. Nothing was loaded; take an older copy of it"
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _entries(header: Mapping[str, Any]) -> Iterator[tuple[str, np.dtype[Any], tuple[int, ...], int, int]]:
    for name, entry in header.items():
        if entry["dtype"] not in _CODES:
            raise ValueError(f"tensor {name!r} has the dtype {entry['dtype']}, which unified does not have")
        first, last = entry["data_offsets"]
        numbers = (*entry["shape"], first, last)
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"tensor {name!r} has the shape {entry['shape']} at {first} to {last}")
        yield name, _CODES[entry["dtype"]], tuple(entry["shape"]), first, last
