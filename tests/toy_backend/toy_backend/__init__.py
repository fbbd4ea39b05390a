"""A backend of ninety lines: numpy arrays, three ops and their pullbacks, differentiated by the front end's tape."""

from __future__ import annotations

import numpy as np

from unified.backends.protocol import Natives, device, dtype_named, errors

natives = Natives()
pullbacks = Natives()


@natives
def add(input, other):
    return np.asarray(input + other)


@natives
def mul(input, other):
    return np.asarray(input * other)


@natives
def matmul(input, other):
    return np.asarray(input @ other)


@pullbacks
def mul_backward(input, other, cotangents):
    return cotangents[0] * other, cotangents[0] * input


@pullbacks
def matmul_backward(input, other, cotangents):
    return cotangents[0] @ other.T, input.T @ cotangents[0]


class ToyCompiler:
    """Has no compiler, and says so."""

    description = "none"

    def discover(self, function, leaves):
        raise errors.CompileError("the toy backend does not compile")

    build = abstract = signature = exclusive = discover

    def is_traced(self, native):
        return False


class ToyBackend:
    """Satisfies ``protocol.Backend``."""

    name = "toy"
    framework = "numpy"
    engine = None

    def __init__(self):
        self.compiler = ToyCompiler()
        self.natives = natives

    def owns(self, kind):
        return issubclass(kind, np.ndarray)

    def implement(self, op, kind):
        if op.primal is None and op.name in natives:
            return op.guard(natives[op.name])
        if op.name in pullbacks:
            return lambda *arguments: [pullbacks[op.name](*arguments)[position] for position, _ in op.mask]
        raise errors.UnsupportedOpError(f"{op.name} has no native on the toy backend")

    def shape(self, native):
        return native.shape

    def dtype(self, native):
        return dtype_named(native.dtype.name)

    def device(self, native):
        return device("cpu")

    def from_numpy(self, array, dtype, place):
        return np.array(array, dtype=dtype.numpy)

    def adopt(self, native):
        return native

    def to_numpy(self, native):
        return native

    def to_dlpack(self, native):
        return native

    def from_dlpack(self, exported):
        return np.from_dlpack(exported)

    def devices(self):
        return [device("cpu")]

    def default_device(self):
        return device("cpu")

    def versions(self):
        return {"numpy": np.__version__}

    def compilers(self):
        return {}


BACKEND = ToyBackend()
