"""The static path on PyTorch: ``make_fx`` traces the whole step, backward included, and inductor compiles it."""

from __future__ import annotations

import contextlib
import sys

import torch
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from unified.backends.torch.inductor import compiled

_OWN_STORAGE = 2
"""How many hold a storage that nobody else does: the tensor, and the Python object that asks."""


class TorchCompiler:
    """Satisfies ``protocol.Compiler``."""

    description = "make_fx + inductor"
    donates = True

    def __init__(self) -> None:
        self._modes = []

    def discover(self, function, leaves):
        mode = FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv(), static_shapes=True)
        with disable_proxy_modes_tracing(), mode, self.within(mode):
            function([self.abstract(leaf) for leaf in leaves])

    def abstract(self, native):
        while is_functorch_wrapped_tensor(native):
            native = get_unwrapped(native)
        with unset_fake_temporarily():  # where a detach would convert, and look at the .grad of what is no leaf
            native = native.detach()
        return self._modes[-1].from_tensor(native, static_shapes=True)

    def build(self, function, leaves, donated, kept):
        first, second = len(leaves), len(leaves) + len(donated)
        graph = trace(lambda natives: function(natives[:first], natives[first:second], natives[second:]),
                      [*leaves, *donated, *kept])  # fmt: skip
        run = compiled(graph, [*leaves, *donated, *kept], range(first, second))
        return lambda leaves, donated, kept: run([*leaves, *donated, *kept])

    def differentiable(self, op):
        """The program of a whole function as one node of torch's autograd, its pullback a program too."""
        programs = {}

        def program(*groups):
            flat = [native for group in groups for native in group if native is not None]
            layout = tuple(tuple(native is not None for native in group) for group in groups)
            run = programs.get(layout)
            if run is None:
                graph = trace(lambda natives: op.composite(*_grouped(layout, natives)), flat)
                run = programs[layout] = compiled(graph, flat)
            return list(_Program.apply(op, run, layout, *flat))

        return program

    def is_traced(self, native):
        return isinstance(native, FakeTensor) or is_functorch_wrapped_tensor(native)

    def scope(self):
        return self._modes[-1] if self._modes else None

    @contextlib.contextmanager
    def within(self, scope):
        self._modes.append(scope)
        try:
            yield
        finally:
            self._modes.pop()

    def made_in(self, native, scope):
        while is_functorch_wrapped_tensor(native):
            native = get_unwrapped(native)
        return isinstance(native, FakeTensor) and native.fake_mode is scope

    def stop_gradient(self, native):
        return native.detach()

    def signature(self, native):
        return (native.shape, native.dtype, native.device)

    def claim(self, natives, shared):
        for i, count in enumerate(map(sys.getrefcount, natives)):
            native = natives[i]
            if count > _EXCLUSIVE or shared[i] or native._use_count() > 1 or _shares_storage(native):
                natives[i] = native.detach().clone()

    def number(self, value, wide):
        return torch.tensor(value, dtype=torch.float64 if wide else torch.float32)

    def as_number(self, traced):
        return traced


def _shares_storage(native):
    return torch._C._storage_Use_Count(native.untyped_storage()._cdata) > _OWN_STORAGE


class _Holder:
    __slots__ = ("native",)


def _references():
    """How many references the loop in ``claim`` counts to what one slot and its list hold; Pythons differ."""
    holder = _Holder()
    holder.native = object()
    natives = [holder.native]
    return next(iter(map(sys.getrefcount, natives)))


_EXCLUSIVE = _references()


class _Program(torch.autograd.Function):
    @staticmethod
    def forward(ctx, op, run, layout, *flat):
        ctx.op, ctx.layout = op, layout
        ctx.save_for_backward(*flat)
        ctx.set_materialize_grads(False)
        results = tuple(run(flat))
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
