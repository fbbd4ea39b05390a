"""Keras 3's ``.keras`` and ``.weights.h5`` files as state dicts in PyTorch's names and layouts; Keras is not needed.

In the HDF5 file a layer is a group named after its class, ``layers/conv2d_1``, whose ``vars`` hold its arrays in the
order of construction and, as an attribute, its own name. The names here are those, dotted: ``stem.weight``,
``encoder.dense.bias``.
"""

from __future__ import annotations

import importlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unified._tensor import Tensor
from unified.errors import CheckpointError, MissingBackendError
from unified.io.container import Array

State = dict[str, Array]
_GRU_ORDER = (1, 0, 2)
"""PyTorch's gates are reset, update, new; Keras's update, reset, new. Those of LSTMs have one order."""


def _affine(arrays: list[Array], weight: Array) -> State:
    return {"weight": weight, **({"bias": arrays[1]} if len(arrays) > 1 else {})}


def _dense(arrays: list[Array]) -> State:
    return _affine(arrays, arrays[0].T)


def _convolution(arrays: list[Array]) -> State:
    """``(*kernel, in, out)`` to ``(out, in, *kernel)``."""
    kernel = arrays[0]
    return _affine(arrays, kernel.transpose(kernel.ndim - 1, kernel.ndim - 2, *range(kernel.ndim - 2)))


def _depthwise(arrays: list[Array]) -> State:
    """``(*kernel, in, multiplier)`` to ``(in * multiplier, 1, *kernel)``, for ``groups=in``."""
    kernel = arrays[0]
    size = kernel.shape[:-2]
    moved = kernel.transpose(kernel.ndim - 2, kernel.ndim - 1, *range(kernel.ndim - 2))
    return _affine(arrays, moved.reshape(-1, 1, *size))


def _batch_norm(arrays: list[Array]) -> State:
    if len(arrays) == 2:
        return {"running_mean": arrays[0], "running_var": arrays[1]}
    _expect(arrays, 4, "one of scale and center is off, which has no counterpart")
    return dict(zip(("weight", "bias", "running_mean", "running_var"), arrays, strict=True))


def _norm(arrays: list[Array]) -> State:
    _expect(arrays, 2, "one of scale and center is off, and the file does not say which")
    return {"weight": arrays[0], "bias": arrays[1]}


def _embedding(arrays: list[Array]) -> State:
    return {"weight": arrays[0]}


def _lstm(arrays: list[Array]) -> State:
    state = {"weight_ih_l0": arrays[0].T, "weight_hh_l0": arrays[1].T}
    if len(arrays) > 2:
        state.update(bias_ih_l0=arrays[2], bias_hh_l0=np.zeros_like(arrays[2]))
    return state


def _gru(arrays: list[Array]) -> State:
    if len(arrays) > 2 and arrays[2].ndim != 2:
        raise ValueError("reset_after=False applies the reset gate elsewhere than PyTorch does")

    def gates(array: Array) -> Array:
        blocks = np.split(array, 3, axis=-1)
        return np.concatenate([blocks[index] for index in _GRU_ORDER], axis=-1)

    state = {"weight_ih_l0": gates(arrays[0]).T, "weight_hh_l0": gates(arrays[1]).T}
    if len(arrays) > 2:
        state.update(bias_ih_l0=gates(arrays[2])[0], bias_hh_l0=gates(arrays[2])[1])
    return state


def _attention(parts: dict[str, list[Array]]) -> State:
    """Query, key and value ``(embed, heads, size)`` as one ``in_proj_weight``; needs ``heads * size == embed``."""
    rows, biases = [], []
    for name in ("query_dense", "key_dense", "value_dense"):
        kernel = parts[name][0]
        if kernel.shape[0] != kernel.shape[1] * kernel.shape[2]:
            raise ValueError(
                f"its {name} maps {kernel.shape[0]} features to {kernel.shape[1:]}; PyTorch's keeps the width"
            )
        rows.append(kernel.reshape(kernel.shape[0], -1).T)
        biases += [bias.reshape(-1) for bias in parts[name][1:]]
    output = parts["output_dense"]
    state = {
        "in_proj_weight": np.concatenate(rows),
        "out_proj.weight": output[0].reshape(-1, output[0].shape[-1]).T,
    }
    if biases:
        state.update({"in_proj_bias": np.concatenate(biases), "out_proj.bias": output[1]})
    return state


def _expect(arrays: list[Array], count: int, otherwise: str) -> None:
    if len(arrays) != count:
        raise ValueError(otherwise)


LAYERS: dict[str, Callable[[list[Array]], State]] = {
    "dense": _dense, "conv1d": _convolution, "conv2d": _convolution, "conv3d": _convolution,
    "depthwise_conv1d": _depthwise, "depthwise_conv2d": _depthwise, "batch_normalization": _batch_norm,
    "layer_normalization": _norm, "group_normalization": _norm, "embedding": _embedding,
}  # fmt: skip
CELLS: dict[str, Callable[[list[Array]], State]] = {"lstm": _lstm, "gru": _gru}


def _arrays(group: Any) -> list[Array]:
    held = group.get("vars", {})
    return [np.asarray(held[key]) for key in sorted(held, key=int)]


def _kind(key: str) -> str:
    """The class of a layer, by its group: ``conv2d_1`` is the second ``conv2d``."""
    return re.sub(r"_\d+$", "", key)


def _layer_state(kind: str, group: Any) -> State | None:
    """One layer's state; None where it is a container of others."""
    if kind in CELLS:
        return CELLS[kind](_arrays(group["cell"]))
    if kind == "bidirectional":
        return _bidirectional(group)
    if kind == "multi_head_attention":
        return _attention({key: _arrays(group[key]) for key in group if key.endswith("_dense")})
    arrays = _arrays(group)
    if not arrays:
        return None
    if kind not in LAYERS:
        raise ValueError(f"no PyTorch layout is known for it; known are {', '.join(sorted({*LAYERS, *CELLS}))}")
    return LAYERS[kind](arrays)


def _bidirectional(group: Any) -> State:
    state: State = {}
    for part, suffix in (("forward_layer", ""), ("backward_layer", "_reverse")):
        name = str(group[part]["vars"].attrs["name"])
        cell = next((CELLS[kind] for kind in CELLS if kind in _kind(name)), None)
        if cell is None:
            raise ValueError(f"it wraps {name!r}, which by its name is neither an LSTM nor a GRU")
        state.update({f"{key}{suffix}": value for key, value in cell(_arrays(group[part]["cell"])).items()})
    return state


def _walk(group: Any, prefix: str) -> Iterator[tuple[str, Array]]:
    for key in group:
        if key in ("vars", "optimizer"):
            continue
        child = group[key]
        if key == "layers":
            yield from _walk(child, prefix)
            continue
        name = str(child["vars"].attrs.get("name", key)) if "vars" in child else key
        path = f"{prefix}{name}"
        try:
            state = _layer_state(_kind(key), child)
        except (ValueError, KeyError, IndexError) as error:
            raise CheckpointError(f"the layer {path!r} ({_kind(key)}) cannot be carried over: {error}") from None
        if state is None:
            yield from _walk(child, f"{path}.")
        else:
            yield from ((f"{path}.{local}", np.ascontiguousarray(array)) for local, array in state.items())


def _read(source: Any, path: Path, tensor: Callable[[Array], Tensor]) -> dict[str, Tensor]:
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise MissingBackendError(f"{path} is an HDF5 file: pip install 'unified-nn[h5]' to read it") from error
    try:
        with h5py.File(source, "r") as file:
            state = dict(_walk(file, ""))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is damaged or no weights file of Keras 3 ({error}); nothing was loaded"
        ) from error
    return {name: tensor(array) for name, array in state.items()}


def read_weights(path: Path, tensor: Callable[[Array], Tensor]) -> dict[str, Tensor]:
    """A state dict of ``model.save_weights("x.weights.h5")``.

    Raises:
        CheckpointError: a layer has no PyTorch counterpart, or the file is damaged; names the layer.
        MissingBackendError: h5py is not installed.
    """
    return _read(path, path, tensor)


def read_model(path: Path, tensor: Callable[[Array], Tensor]) -> dict[str, Tensor]:
    """A state dict of ``model.save("x.keras")``; its configuration, which may name code, is not looked at.

    Raises:
        CheckpointError, MissingBackendError: as :func:`read_weights`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            weights = archive.read("model.weights.h5")
    except (zipfile.BadZipFile, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); nothing was loaded") from None
    return _read(io.BytesIO(weights), path, tensor)
