"""TensorFlow behind the backend protocol: eager kernels, cached programs, differentiated by the front end's tape."""

from __future__ import annotations

import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # oneDNN's and CUDA's notices on import

import numpy as np
import tensorflow as tf

from unified.backends.protocol import SHAPE_BY_VALUE, Natives, errors
from unified.backends.tensorflow import autograd, bridges, layout, transforms
from unified.backends.tensorflow import device as _device
from unified.backends.tensorflow.compile import TensorFlowCompiler
from unified.backends.tensorflow.control_flow import TensorFlowControlFlow
from unified.backends.tensorflow.dtype import FROM_NATIVE, to_native

_EAGER = type(tf.constant(0))
_DERIVATIONS = {
    "pullback": autograd.pullback,
    "pushforward": transforms.pushforward,
    "batched": transforms.batched,
}


def _host(tensor):
    """The values of an index in the host's memory."""
    return tensor.numpy() if isinstance(tensor, _EAGER) else None


class TensorFlowBackend:
    """Satisfies ``protocol.Backend``."""

    name = "tensorflow"
    framework = "tensorflow"
    engine = None

    def __init__(self) -> None:
        self.compiler = TensorFlowCompiler()
        self.compiler.control_flow = TensorFlowControlFlow()
        self.natives = Natives.of(__name__)

    def owns(self, kind):
        return issubclass(kind, (tf.Tensor, tf.Variable))

    def implement(self, op, kind):
        if op.transform == "batched" and self.natives.has(self._root(op), "eager"):
            raise errors.FunctionTransformError(SHAPE_BY_VALUE)
        function = self._function(op)
        kernel = op.name in self.natives and not self.natives.has(op.name, "program")
        if kind is not _EAGER:
            carried = op.transform in ("", "pullback") and self._root(op) in layout.ELEMENTWISE
            return layout.carried(function) if carried else function
        if not kernel:
            function = autograd.Programs(function, op)
        return op.within(function, _host) if self.default_device().type == "cpu" else function

    def _root(self, op):
        return op.name if op.primal is None else self._root(op.primal)

    def _function(self, op):
        if op.primal is not None:
            return _DERIVATIONS[op.transform](self._function(op.primal), op)
        native = self.natives.get(op.name)
        if native is not None:  # a kernel refuses by itself what is not for it; a check at every call would cost more
            if self.natives.has(op.name, "unjitted"):
                native = autograd.kept_from_xla(native)
            if self.natives.has(op.name, "or composite"):
                native = functools.partial(native, op.composite)
            return op.guard(native) if self.natives.has(op.name, "program") else native
        if op.composite is None:
            raise errors.UnsupportedOpError(f"{op.name} has no native on the tensorflow backend and no composite")
        return op.guard(op.composite)

    def shape(self, native):
        return tuple(native.shape)

    def dtype(self, native):
        return FROM_NATIVE[native.dtype]

    def device(self, native):
        return _device.from_native(getattr(native, "device", ""))

    def from_numpy(self, array, dtype, place):
        with tf.device(None if place is None else _device.to_native(place)):
            return tf.constant(np.asarray(array), dtype=to_native(dtype))

    def adopt(self, native):
        return tf.convert_to_tensor(native)  # the value of a Variable

    def to_numpy(self, native):
        return native.numpy() if native.shape.rank else np.asarray(native.numpy())

    def to_dlpack(self, native):
        return native

    def read_checkpoint(self, path):
        reader = tf.train.load_checkpoint(path)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}

    def from_dlpack(self, exported):
        return tf.experimental.dlpack.from_dlpack(exported.__dlpack__())

    def adapt_module(self, module):
        return bridges.Adapted(module)

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
        return {"tensorflow": tf.__version__}

    def compilers(self):
        return {"xla": "ok", "graph": "ok"}


BACKEND = TensorFlowBackend()
