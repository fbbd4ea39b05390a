"""Bytes that tensors hold while backward runs, sampled by a hook on the output of every layer of an MLP.

JAX lists its live arrays. For PyTorch every storage that an op makes is remembered weakly, which also sees what only
the graph in C++ holds. TensorFlow has neither: there it is the eager tensors that Python's collector reaches, which
is what our tape keeps, but not what TensorFlow's own would.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import unified as un
import unified.nn as nn

Live = Callable[[], int]


class Shape(NamedTuple):
    """Of an MLP whose layers are all alike."""

    layers: int = 50
    batch: int = 1024
    width: int = 64


class Curve(NamedTuple):
    """Bytes over what was there before forward."""

    saved: int
    """When forward is through."""
    samples: list[int]
    """In backward, from the last layer's output to the first one's."""

    @property
    def peak(self) -> int:
        return max(self.saved, *self.samples)


def ours(backend: str, activation: str, shape: Shape, retain_graph: bool = False) -> Curve:
    """Of our MLP on ``backend``."""
    with un.backend(backend), _METERS[backend]() as live:
        return _curve(nn, un.ones, getattr(un, activation), live, shape, retain_graph)


def native(activation: str, shape: Shape) -> Curve:
    """Of PyTorch's own."""
    import torch

    with _torch() as live:
        return _curve(torch.nn, torch.ones, getattr(torch, activation), live, shape)


def _curve(library: Any, ones: Any, activation: Any, live: Live, shape: Shape, retain_graph: bool = False) -> Curve:
    """The same program of either library."""
    linears = [library.Linear(shape.width, shape.width) for _ in range(shape.layers)]
    hidden = ones(shape.batch, shape.width)
    gc.collect()
    before = live()
    samples: list[int] = []
    for linear in linears:
        hidden = activation(linear(hidden))
        hidden.register_hook(lambda _: samples.append(live() - before))
    loss = hidden.sum()
    del hidden
    saved = live() - before
    loss.backward(retain_graph=retain_graph)
    return Curve(saved, samples)


@contextlib.contextmanager
def _jax() -> Iterator[Live]:
    import jax

    yield lambda: sum(array.nbytes for array in jax.live_arrays())


@contextlib.contextmanager
def _torch() -> Iterator[Live]:
    from torch.multiprocessing.reductions import StorageWeakRef
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    made: dict[int, tuple[Any, int]] = {}

    class Remember(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            results = function(*args, **(kwargs or {}))
            for tensor in tree_leaves(results):
                if hasattr(tensor, "untyped_storage"):
                    storage = tensor.untyped_storage()
                    reference = StorageWeakRef(storage)
                    made[reference.cdata] = (reference, storage.nbytes())
            return results

    with Remember():
        yield lambda: sum(size for reference, size in made.values() if not reference.expired())


@contextlib.contextmanager
def _tensorflow() -> Iterator[Live]:
    import tensorflow as tf

    kind = type(tf.constant(0.0))

    def live() -> int:
        found = {
            id(held): held for owner in gc.get_objects() for held in gc.get_referents(owner) if type(held) is kind
        }
        return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in found.values())

    gc.collect()
    gc.freeze()  # get_objects leaves out what there was before
    try:
        yield live
    finally:
        gc.unfreeze()


_METERS = {"jax": _jax, "torch": _torch, "tensorflow": _tensorflow}
