"""What a function would return, by the framework's abstract evaluation: nothing is computed, and no state changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from unified import _structure as structure
from unified._dispatch import wrap
from unified._dtype import DType
from unified._recording import recording
from unified._tensor import Tensor
from unified.backends.protocol import Backend, Native
from unified.compile.entry import lock
from unified.compile.state import StateTracer


class Aval(NamedTuple):
    """Shape and dtype of a Tensor that has no value."""

    shape: tuple[int, ...]
    dtype: DType


def abstract_results(
    function: Callable[[list[Tensor]], Any], operands: Sequence[Aval], backend: Backend
) -> tuple[Hashable, list[Aval]]:
    """The structure of ``function(tensors)``, as ``_structure.flatten`` describes it, and what its Tensors would be.

    Every Tensor that the function reads or rebinds (parameters, running statistics, the state of a generator) is as
    before when this returns, also where it raises.

    Args:
        function: takes Tensors like ``operands``, which have no elements.
        operands: their shapes and dtypes.
        backend: where it would run.

    Raises:
        TracedValueError: the function asks for the value of a Tensor.
    """
    found: list[Any] = []

    def run(natives: list[Native]) -> list[Native]:
        tracer = StateTracer(backend, [])
        try:
            with tracer:
                scalars = [wrap(native) for native in natives]
                tensors = [s.expand(aval.shape) for s, aval in zip(scalars, operands, strict=True)]
                results: list[Tensor] = []
                described = structure.flatten(function(tensors), results)
                found[:] = [described, [Aval(tuple(result.shape), result.dtype) for result in results]]
                return []
        finally:
            for touched in tracer.touched.values():
                touched.restore()

    zeros = [backend.from_numpy(np.zeros((), aval.dtype.numpy), aval.dtype, None) for aval in operands]
    with lock, recording(False):
        backend.compiler.discover(run, zeros)
    return found[0], found[1]
