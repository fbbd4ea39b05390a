"""PyTorch behind the backend protocol: native calls under torch's own autograd."""

from __future__ import annotations

import functools
import shutil

import numpy as np
import torch
from torch._C._functorch import (
    get_unwrapped,
    is_batchedtensor,
    is_functorch_wrapped_tensor,
    peek_interpreter_stack,
)  # fmt: skip

from unified.backends.protocol import VALUE_ASKED, Natives, errors
from unified.backends.torch import bridges
from unified.backends.torch import device as _device
from unified.backends.torch.autograd import TorchEngine
from unified.backends.torch.compile import TorchCompiler
from unified.backends.torch.control_flow import TorchControlFlow
from unified.backends.torch.dtype import FROM_NATIVE, to_native
from unified.backends.torch.transforms import TorchTransforms


def _below_levels(native):
    """What a value in levels of functorch stands for, which must be one tensor."""
    while is_functorch_wrapped_tensor(native):
        if is_batchedtensor(native):
            raise errors.FunctionTransformError(VALUE_ASKED)
        native = get_unwrapped(native)
    return native


class TorchBackend:
    """Satisfies ``protocol.Backend``."""

    name = "torch"
    framework = "torch"

    def __init__(self) -> None:
        self.engine = TorchEngine()
        self.engine.transforms = TorchTransforms(self.engine)
        self.compiler = TorchCompiler()
        self.compiler.control_flow = TorchControlFlow()
        self.natives = Natives.of(__name__)

    def owns(self, kind):
        return issubclass(kind, torch.Tensor)

    def implement(self, op, kind):
        if op.whole_program:
            return self.compiler.differentiable(op)
        native = self.natives.get(op.name)
        if native is not None:
            return functools.partial(native, op.composite) if self.natives.has(op.name, "or composite") else native
        if op.composite is None:
            raise errors.UnsupportedOpError(f"{op.name} has no native on the torch backend and no composite")
        return op.guard(op.composite)

    def shape(self, native):
        return native.shape

    def dtype(self, native):
        return FROM_NATIVE[native.dtype]

    def device(self, native):
        return _device.from_native(native.device)

    def from_numpy(self, array, dtype, place):
        source = np.ascontiguousarray(array)
        if source.dtype.name == "bfloat16":
            source = source.astype(np.float32)
        native = torch.tensor(source, dtype=to_native(dtype)).reshape(np.shape(array))
        return native if place is None else native.to(_device.to_native(place))

    def adopt(self, native):
        return native

    def to_numpy(self, native):
        if peek_interpreter_stack() is not None:
            with self.engine.transforms.suspended():  # where each call would wrap its result
                return self.to_numpy(_below_levels(native))
        if native.dtype is torch.bfloat16:
            bits = native.detach().contiguous().view(torch.int16)  # numpy shares the memory, as for other dtypes
            return bits.numpy(force=True).view(FROM_NATIVE[torch.bfloat16].numpy)
        return native.numpy(force=True)

    def to_dlpack(self, native):
        return native.detach().contiguous()

    def from_dlpack(self, exported):
        return torch.from_dlpack(exported)

    def adapt_module(self, module):
        return bridges.Adapted(module)

    def export_module(self, state, run, set_training, random):
        return bridges.export(state, run, set_training, random)

    def devices(self):
        return _device.devices()

    def default_device(self):
        return _device.default_device()

    def memory_stats(self, place):
        return _device.memory_stats(place)

    def empty_cache(self):
        _device.empty_cache()

    def set_memory_growth(self, enabled, place):
        _device.set_memory_growth(enabled, place)

    def versions(self):
        return {"torch": torch.__version__}

    def compilers(self):
        compiler = shutil.which("g++") or shutil.which("clang++")
        return {"inductor": "ok" if compiler else "needs a C++ compiler (g++ or clang++) on PATH"}


BACKEND = TorchBackend()
