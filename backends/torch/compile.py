"""The static path on PyTorch: ``make_fx`` traces the whole step, backward included, and inductor compiles it."""

from __future__ import annotations

import torch
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import make_fx

from unified.backends.protocol import errors
from unified.backends.torch import device
from unified.backends.torch.dtype import to_native
from unified.backends.torch.lowering import Lowering, compiled


class TorchCompiler:
    """Satisfies ``protocol.Compiler``."""

    description = "make_fx + torch.compile"

    def __init__(self) -> None:
        self._modes = []

    def discover(self, function, leaves):
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            self._modes.append(mode)
            try:
                function([self.abstract(leaf) for leaf in leaves])
            finally:
                self._modes.pop()

    def abstract(self, native):
        with unset_fake_temporarily():  # where a detach would convert, and look at the .grad of what is no leaf
            native = native.detach()
        return self._modes[-1].from_tensor(native, static_shapes=True)

    def build(self, function, leaves, donated, kept):
        return self.lower(function, leaves, donated, kept).compile()

    def lower(self, function, leaves, donated, kept, platform=None):
        if platform is not None:
            raise errors.CompileError(
                f"PyTorch compiles for the hardware that its tensors are on; lowering for {platform!r} is JAX's alone"
            )
        first, second = len(leaves), len(leaves) + len(donated)
        natives = [*leaves, *donated, *kept]
        graph = trace(lambda natives: function(natives[:first], natives[first:second], natives[second:]), natives)
        return Lowering(graph, natives)

    def placeholder(self, shape, dtype, place):
        return torch.empty(shape, dtype=to_native(dtype), device=None if place is None else device.to_native(place))

    def barrier(self, natives):
        return natives

    def differentiable(self, op):
        """The program of a whole function as one node of torch's autograd, its pullback a program too."""
        programs = {}

        def program(*groups):
            flat = [native for group in groups for native in group if native is not None]
            layout = tuple(tuple(native is not None for native in group) for group in groups)
            run = programs.get(layout)
            if run is None:
                graph = trace(lambda natives: op.composite(*_grouped(layout, natives)), flat)
                run = programs[layout] = compiled(graph)
            return list(_Program.apply(op, run, layout, *flat))

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


class _Program(torch.autograd.Function):
    @staticmethod
    def forward(ctx, op, compiled, layout, *flat):
        ctx.op, ctx.layout = op, layout
        ctx.save_for_backward(*flat)
        ctx.set_materialize_grads(False)
        results = _apart(compiled(*flat))
        ctx.mark_non_differentiable(*[r for r in results if not (r.is_floating_point() or r.is_complex())])
        return results

    @staticmethod
    def backward(ctx, *cotangents):
        places = [(i, j) for i, group in enumerate(ctx.layout) for j, there in enumerate(group) if there]
        needs = ctx.needs_input_grad[3:]
        mask = tuple(place for place, need in zip(places, needs, strict=True) if need)
        pull = ctx.op.pullback(mask).implementations[torch.Tensor]
        found = iter(pull(*_grouped(ctx.layout, ctx.saved_tensors), list(cotangents)))
        return None, None, None, *[next(found) if need else None for need in needs]


def _apart(results):
    """``results`` as different tensors where a graph returns one twice: autograd would lose all but the last."""
    apart = {id(result): result for result in results}
    return tuple(apart.pop(id(result), None) if id(result) in apart else result.view_as(result) for result in results)


def _grouped(layout, flat):
    """``flat`` as the lists that ``layout`` describes, with None where nothing was given."""
    iterator = iter(flat)
    return [[next(iterator) if there else None for there in group] for group in layout]


def trace(function, natives):
    """The graph of ``function`` of a list at these shapes, as a module of flat tensors."""
    inputs = [native.detach() for native in natives]
    module = make_fx(lambda *traced: list(function(list(traced))), tracing_mode="fake")(*inputs)
    for node in list(module.graph.nodes):
        if not node.users and _is_question(node.target):
            module.graph.erase_node(node)
    module.recompile()
    return module


def _is_question(target):
    """Whether an op answers with no tensor: one of autograd's own checks, which inductor does not take."""
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.returns) and all("Tensor" not in str(r.type) for r in schema.returns)
