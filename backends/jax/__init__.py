"""JAX behind the backend protocol: every op one cached ``jax.jit``, differentiated by the front end's tape."""

from __future__ import annotations

import functools
import importlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from unified.backends.jax import autograd, bridges, transforms
from unified.backends.jax import device as _device
from unified.backends.jax.compile import JaxCompiler
from unified.backends.jax.control_flow import JaxControlFlow
from unified.backends.jax.dtype import FROM_NATIVE, enable_x64, is_wide, to_native, wide
from unified.backends.protocol import Natives, errors

_DERIVATIONS = {
    "pullback": autograd.pullback,
    "pushforward": transforms.pushforward,
    "batched": transforms.batched,
}


def _host(array):
    """The values of an index in the host's memory, without a copy."""
    return None if isinstance(array, jax.core.Tracer) else np.asarray(array)


class JaxBackend:
    """Satisfies ``protocol.Backend``."""

    name = "jax"
    framework = "jax"
    engine = None

    def __init__(self) -> None:
        self.compiler = JaxCompiler()
        self.compiler.control_flow = JaxControlFlow()
        self.natives = Natives.of(__name__)

    def owns(self, kind):
        return issubclass(kind, jax.Array) or issubclass(kind, jax.core.Tracer)

    def implement(self, op, kind):
        function = self._function(op)
        if self.natives.has(op.name, "eager"):
            return autograd.scoped(function, op)
        compiled = autograd.compiled(function, op)
        looks = kind is not None and not issubclass(kind, jax.core.Tracer) and jax.default_backend() == "cpu"
        return op.within(compiled, _host) if looks else compiled

    def _function(self, op):
        if op.primal is not None:
            primal = self._function(op.primal)
            if op.transform == "pullback" and op.primal.primal is None:
                own = getattr(self.natives.get(op.primal.name), "for_pullback", None)
                primal = primal if own is None else op.primal.guard(own)  # which jvp could not take
            return _DERIVATIONS[op.transform](primal, op)
        function = self.natives.get(op.name) or op.composite
        if function is None:
            raise errors.UnsupportedOpError(f"{op.name} has no native on the jax backend and no composite")
        return op.guard(function)

    def shape(self, native):
        return native.shape

    def dtype(self, native):
        return FROM_NATIVE[native.dtype]

    def device(self, native):
        if isinstance(native, jax.core.Tracer):
            return _device.default_device()
        return _device.from_native(next(iter(native.devices())))

    def from_numpy(self, array, dtype, place):
        target = to_native(dtype)
        put = functools.partial(jax.device_put, device=None if place is None else _device.to_native(place))
        host = np.array(array, dtype=target)  # a copy: device_put may alias host memory on CPU
        if dtype.is_wide:
            wide.used = True
            with enable_x64(True):
                return put(host)
        return put(host)

    def adopt(self, native):
        wide.used = wide.used or is_wide(native)
        return native

    def to_numpy(self, native):
        return np.asarray(native)

    def to_dlpack(self, native):
        return native

    def read_checkpoint(self, path):
        orbax = importlib.import_module("orbax.checkpoint")  # comes with flax; heavy, and needed here alone
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about shardings, which go no further than this host
            restored = orbax.PyTreeCheckpointer().restore(path)
        return jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf, restored)

    def from_dlpack(self, exported):
        return jnp.from_dlpack(exported)

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
        return {"jax": jax.__version__, "jaxlib": jax.lib.__version__}

    def compilers(self):
        return {"xla": "ok"}


BACKEND = JaxBackend()
