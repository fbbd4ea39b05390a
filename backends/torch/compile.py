"""The static path on PyTorch: ``make_fx`` traces the whole step, backward included, and inductor compiles it."""

from __future__ import annotations

import torch
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx


class TorchCompiler:
    """Satisfies ``protocol.Compiler``."""

    description = "make_fx + torch.compile"

    def __init__(self) -> None:
        self._modes = []

    def discover(self, function, leaves):
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            self._modes.append(mode)
            try:
                function([self.abstract(leaf.detach()) for leaf in leaves])
            finally:
                self._modes.pop()

    def abstract(self, native):
        return self._modes[-1].from_tensor(native.detach(), static_shapes=True)

    def build(self, function, leaves, donated, kept):
        graph = trace(function, leaves, donated, kept)
        compiled = torch.compile(graph, fullgraph=True, dynamic=False)

        def program(leaves, donated, kept):
            with torch.no_grad():
                return compiled(*[native.detach() for native in (*leaves, *donated, *kept)])

        return program

    def differentiable(self, function):
        """``function`` of native lists as a program through which torch's own autograd goes."""
        programs = []

        def program(leaves, donated, kept):
            if not programs:
                graph = trace(function, leaves, donated, kept)
                programs.append(torch.compile(graph, fullgraph=True, dynamic=False))
            return list(programs[0](*leaves, *donated, *kept))

        return program

    def is_traced(self, native):
        return isinstance(native, FakeTensor) or is_functorch_wrapped_tensor(native)

    def stop_gradient(self, native):
        return native.detach()

    def signature(self, native):
        return (native.shape, native.dtype, native.device)

    def exclusive(self, native):
        return True

    def copy(self, native):
        return native.clone()


def trace(function, leaves, donated, kept):
    """The graph of ``function`` at these shapes, as a module of flat tensors."""
    first, second = len(leaves), len(leaves) + len(donated)

    def flat(*natives):
        results = function(list(natives[:first]), list(natives[first:second]), list(natives[second:]))
        return list(results)

    inputs = [native.detach().requires_grad_(native.requires_grad) for native in (*leaves, *donated, *kept)]
    return make_fx(flat, tracing_mode="fake")(*inputs)
