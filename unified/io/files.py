"""``save`` and ``load``: one safetensors file, or a folder of them where there is too much for one.

A file is as ``container.py`` says. A folder holds shards, each a safetensors file, and
``model.safetensors.index.json``, which maps each tensor's name to its shard as Hugging Face's does. A save writes
new shards beside the old ones, then replaces the index in one rename, then removes the shards that nothing names any
more.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unified._device import current_device, device
from unified._dispatch import backends_by_type, tracing, wrap
from unified._dtype import from_numpy_dtype
from unified._selection import current_backend
from unified._tensor import Tensor
from unified.backends import registry
from unified.errors import ArgumentError, CheckpointError, UnifiedError
from unified.io import atomic, container, foreign
from unified.io.container import Archive, Array
from unified.io.structure import Decoder, Encoder, Value

INDEX = "model.safetensors.index.json"
SHARD_BYTES = 5_000_000_000
Place = device | str | None
Pathlike = str | os.PathLike[str]


class Snapshot:
    """An object taken apart: what it holds at this moment, whatever happens to it before it is written."""

    def __init__(self, structure: Any, values: Mapping[str, Value], copy: bool) -> None:
        self.structure = structure
        tracer = tracing()
        if tracer is not None:
            raise tracer.refuse_value("un.save(x)")
        self._held = {name: _hold(value, copy) for name, value in values.items()}

    def arrays(self) -> tuple[dict[str, Array], dict[str, str]]:
        """What to store, on the host, and the names that are aliases of others: equal memory is stored once."""
        stored: dict[str, Array] = {}
        aliases: dict[str, str] = {}
        first: dict[Any, str] = {}
        for name, held in self._held.items():
            array = held if isinstance(held, np.ndarray) else np.asarray(backends_by_type[type(held)].to_numpy(held))
            memory = (array.__array_interface__["data"][0], array.dtype, array.shape, array.strides)
            keys = [("object", id(held)), *([("memory", memory)] if array.size else [])]
            known = next((first[key] for key in keys if key in first), None)
            if known is not None:
                aliases[name] = known
                continue
            stored[name] = array  # holding it keeps its address its own
            first.update(dict.fromkeys(keys, name))
        return stored, aliases


def _hold(value: Value, copy: bool) -> Any:
    if isinstance(value, Tensor):
        value._shared = True  # so that no update writes into the buffer or donates it
        return value.detach()._native
    return np.array(value) if copy else value


def snapshot(obj: Any, copy: bool = True) -> Snapshot:
    """Takes ``obj`` apart; see :func:`save` for what it may be. ``copy`` is for numpy arrays that change later."""
    encoder = Encoder()
    return Snapshot(encoder.encode(obj), encoder.values, copy)


def save(obj: Any, path: Pathlike, *, max_shard_bytes: int = SHARD_BYTES) -> None:
    """Writes ``obj`` to ``path``, without pickle. A crash while it does leaves the old file.

    Args:
        obj: any nesting of dicts, lists and tuples of Tensors, numpy arrays, numbers, strings, bools, None, dtypes
            and devices; so the ``state_dict()`` of a Module, optimiser or schedule, and ``un.get_rng_state()``.
            Values alone are saved, not graphs or ``requires_grad``; a Tensor that occurs twice is saved once.
        path: a file. Above ``max_shard_bytes`` of tensors it becomes a folder of files, and a folder stays one.
        max_shard_bytes: size of a shard; a larger tensor has one of its own.

    Raises:
        OperandError: ``obj`` holds something else; says where. Nothing is written then.
        ArgumentError: a folder is needed where a file is, or a folder there is no checkpoint.
    """
    write(snapshot(obj, copy=False), path, max_shard_bytes)


def write(taken: Snapshot, path: Pathlike, max_shard_bytes: int = SHARD_BYTES) -> None:
    """Writes a snapshot; see :func:`save`."""
    if max_shard_bytes <= 0:
        raise ArgumentError(f"save: max_shard_bytes must be positive, not {max_shard_bytes}")
    target = Path(path)
    arrays, aliases = taken.arrays()
    extra = {"structure": taken.structure, "aliases": aliases}
    if target.is_dir() or sum(array.nbytes for array in arrays.values()) > max_shard_bytes:
        _write_folder(target, arrays, extra, max_shard_bytes)
        return
    _, fill = container.prepare(arrays, extra)
    atomic.write(target, fill)


def _shards(arrays: Mapping[str, Array], limit: int) -> list[dict[str, Array]]:
    shards: list[dict[str, Array]] = [{}]
    size = 0
    for name, array in arrays.items():
        if shards[-1] and size + array.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    return shards


def _write_folder(folder: Path, arrays: Mapping[str, Array], extra: Mapping[str, Any], limit: int) -> None:
    if folder.is_file():
        raise ArgumentError(
            f"save: {folder} is a file, and these tensors need a folder of shards; remove it, choose another path, "
            "or raise max_shard_bytes"
        )
    index = folder / INDEX
    if folder.is_dir() and not index.exists() and any(not name.name.startswith(".") for name in folder.iterdir()):
        raise ArgumentError(f"save: the folder {folder} holds other files and no checkpoint; choose another path")
    folder.mkdir(exist_ok=True)
    shards = _shards(arrays, limit)
    token = secrets.token_hex(4)
    names = [f"model-{token}-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    checksums = {}
    try:
        for name, shard in zip(names, shards, strict=True):
            checksums[name], fill = container.prepare(shard, {})
            atomic.write(folder / name, fill)
        content: dict[str, Any] = {
            "metadata": {
                "total_size": sum(array.nbytes for array in arrays.values()),
                "unified": {**extra, "format": container.FORMAT, "shards": checksums},
            },
            "weight_map": {name: file for file, shard in zip(names, shards, strict=True) for name in shard},
        }
        content["metadata"]["checksum"] = container.digest(content)
        atomic.write(index, lambda file: _put(file, content))
    except BaseException:
        for name in names:
            (folder / name).unlink(missing_ok=True)
        raise
    atomic.sync(folder.parent)
    for old in folder.glob("model-*.safetensors"):
        if old.name not in checksums:
            old.unlink(missing_ok=True)


def _put(file: BinaryIO, content: Any) -> None:
    file.write(json.dumps(content, indent=1).encode())


def _read_folder(folder: Path, verify: bool) -> Archive:
    index = folder / INDEX
    try:
        content = json.loads(index.read_bytes().decode())
        metadata, weights = content.get("metadata") or {}, content["weight_map"]
        checksum = metadata.pop("checksum", None)
        ours = metadata.get("unified")
        intact = (ours is None and checksum is None) or container.digest(content) == checksum
        files = sorted({str(name) for name in weights.values()} | set((ours or {}).get("shards", ())))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise container.damaged(index, f"it cannot be read as JSON of an index ({error})") from None
    if not intact:
        raise container.damaged(index, "its checksum differs")
    arrays: dict[str, Array] = {}
    for file in files:
        if Path(file).name != file:
            raise CheckpointError(f"{index}: the shard {file!r} lies outside of the folder; nothing was loaded")
        if not (folder / file).exists():
            raise CheckpointError(f"{folder / file} is missing, which {index} names; nothing was loaded")
        shard = container.read(folder / file, verify)
        if shard.checksum != (None if ours is None else ours["shards"].get(file)):
            raise container.damaged(folder / file, f"it is not the shard that {index} was written with")
        arrays.update(shard.arrays)
    lost = sorted(weights.keys() - arrays.keys())
    if lost:
        raise CheckpointError(f"{index} names tensors that its shards do not hold: {lost}; nothing was loaded")
    return Archive({name: arrays[name] for name in weights}, ours, checksum)


def read(path: Path, verify: bool = True) -> Archive:
    """What a file or folder of :func:`save`, or of other writers of safetensors, holds.

    Raises:
        CheckpointError: it is damaged or incomplete.
        FileNotFoundError: there is nothing.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return _read_folder(path, verify) if path.is_dir() else container.read(path, verify)


class Loader:
    """Makes Tensors of host arrays on one backend and device; aliases share one buffer."""

    def __init__(self, backend: str | None, place: Place) -> None:
        self._backend = current_backend() if backend is None else registry.load(backend)
        self._place = current_device() if place is None else device(place)
        self._natives: dict[int, tuple[Array, Any]] = {}

    def tensor(self, array: Array) -> Tensor:
        """A Tensor of ``array``; of the same array, a Tensor that shares the buffer."""
        if id(array) in self._natives:
            result = wrap(self._natives[id(array)][1])
            result._shared = True
            return result
        native = self._backend.from_numpy(array, from_numpy_dtype(array.dtype), self._place)
        self._natives[id(array)] = (array, native)
        return wrap(native)

    def decoder(
        self, archive: Archive, special: Mapping[str, Callable[[Any, Decoder], Any]] | None = None
    ) -> Decoder:
        """Decodes the structure of ``archive``."""
        aliases: Mapping[str, str] = (archive.extra or {}).get("aliases", {})
        several = {*aliases.keys(), *aliases.values()}

        def array(name: str) -> Array:
            return archive.arrays[aliases.get(name, name)]

        def tensor(name: str) -> Tensor:
            result = self.tensor(array(name))
            if name in several:
                result._shared = True
            return result

        return Decoder(tensor, lambda name: array(name).copy(), special)


def load(path: Pathlike, backend: str | None = None, device: Place = None) -> Any:
    """What :func:`save` wrote, on any backend; and what others wrote.

    Of a safetensors file or folder of another writer, a dict of Tensors by name. PyTorch's ``.pt`` and
    Keras's files are recognised by their content; see :mod:`unified.io.foreign`.

    Args:
        path: the file or folder.
        backend: where Tensors go; by default the current backend, whichever they were saved from.
        device: by default the innermost ``with un.device(...)``, else the backend's default.

    Raises:
        CheckpointError: it is damaged, incomplete or of an unknown format; names the file. Nothing is loaded then.
        FileNotFoundError: there is nothing at ``path``.
        UnknownBackendError, MissingBackendError, DeviceError: the target does not exist.
    """
    source = Path(path)
    loader = Loader(backend, device)
    reader = foreign.reader_of(source)
    if reader is not None:
        return reader(source, loader.tensor)
    archive = read(source)
    if archive.extra is None:
        return {name: loader.tensor(array) for name, array in archive.arrays.items()}
    return decoded(source, archive, loader.decoder(archive))


def decoded(source: Path, archive: Archive, decoder: Decoder) -> Any:
    """The object in ``archive``; a structure that cannot be read is the file's fault, and says so."""
    assert archive.extra is not None
    try:
        return decoder.decode(archive.extra["structure"])
    except UnifiedError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{source}: its structure cannot be read ({error}); nothing was loaded") from error
