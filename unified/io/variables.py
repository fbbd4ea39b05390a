"""TensorFlow's checkpoints of variables as state dicts: layers are told by the names and shapes of their variables.

A checkpoint holds ``<path of attributes>/<variable>/.ATTRIBUTES/VARIABLE_VALUE`` and no classes. Where two layers
would look the same and have different layouts, the file is refused; Keras's ``.weights.h5`` names its layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unified._tensor import Tensor
from unified.errors import CheckpointError
from unified.io import keras
from unified.io.container import Array
from unified.io.keras import State

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_SKIPPED = re.compile(r"(^|/)(_?optimizer|save_counter|_CHECKPOINTABLE_OBJECT_GRAPH|\.OPTIMIZER_SLOT)(/|$)")
_NORM = ("gamma", "beta")
_MOVING = ("moving_mean", "moving_variance")


def _kernel(held: Mapping[str, Array]) -> State:
    kernel, bias = held["kernel"], held.get("bias")
    arrays = [kernel] if bias is None else [kernel, bias]
    if kernel.ndim == 2:
        return keras.LAYERS["dense"](arrays)
    channels, outputs = kernel.shape[-2:]
    if kernel.ndim not in (3, 4, 5) or (channels > 1 and bias is None):
        raise ValueError(
            f"a kernel of shape {kernel.shape} without a bias may be that of a convolution or a depthwise one"
        )
    depthwise = channels > 1 and bias is not None and bias.shape == (channels * outputs,)
    return keras.LAYERS["depthwise_conv2d" if depthwise else "conv2d"](arrays)


def _layer(path: str, held: Mapping[str, Array]) -> State:
    names = held.keys()
    if path.rsplit("/", 1)[-1].strip("_") in ("query_dense", "key_dense", "value_dense", "output_dense"):
        raise ValueError("attention is told by its class alone")
    if "recurrent_kernel" in names:
        arrays = [held[name] for name in ("kernel", "recurrent_kernel", "bias") if name in names]
        gates = arrays[1].shape[1] // arrays[1].shape[0]
        if gates not in (3, 4):
            raise ValueError(f"a recurrent layer of {gates} gates")
        return keras.CELLS["lstm" if gates == 4 else "gru"](arrays)
    if "kernel" in names and names <= {"kernel", "bias"}:
        return _kernel(held)
    if names == {"embeddings"}:
        return {"weight": held["embeddings"]}
    if names == {*_NORM, *_MOVING}:
        return keras.LAYERS["batch_normalization"]([held[name] for name in (*_NORM, *_MOVING)])
    if names == set(_NORM):
        return keras.LAYERS["layer_normalization"]([held[name] for name in _NORM])
    return dict(held)  # variables of the user's own, as they are


def state_of(variables: Mapping[str, Any], path: Path, tensor: Callable[[Array], Tensor]) -> dict[str, Tensor]:
    """A state dict of a checkpoint's variables by name, with optimisers' and counters' left out.

    Raises:
        CheckpointError: a layer cannot be told; names it.
    """
    layers: dict[str, dict[str, Array]] = {}
    for name, value in variables.items():
        if name.endswith(_SUFFIX) and not _SKIPPED.search(name):
            owner, _, local = name.removesuffix(_SUFFIX).rpartition("/")
            layers.setdefault(owner, {})[local.lstrip("_")] = np.asarray(value)
    state: dict[str, Tensor] = {}
    for owner, held in layers.items():
        try:
            converted = _layer(owner, held)
        except ValueError as error:
            raise CheckpointError(
                f"{path}: the layer {owner!r} cannot be carried over: {error}; save it as .weights.h5 instead"
            ) from None
        prefix = owner.replace("/", ".")
        for local, array in converted.items():
            state[f"{prefix}.{local}" if prefix else local] = tensor(np.ascontiguousarray(array))
    return state
