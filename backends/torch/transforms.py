"""PyTorch's own function transforms, functorch's, level by level: what its ``vmap``, ``jvp`` and ``vjp`` do inside.

The front end takes arguments apart and puts results together for every backend; here is only what happens to single
tensors. The calls are those of ``torch._functorch`` in the version that constraints.txt pins.
"""

from __future__ import annotations

import contextlib

import torch
import torch.autograd.forward_ad as forward_ad
from torch._C import _functorch as functorch
from torch._functorch import eager_transforms
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch._functorch.vmap import lazy_load_decompositions


class _Level:
    """A level that lasts as long as its ``with`` block."""

    wraps = True
    constructs = True

    def __init__(self, wrap) -> None:
        self._wrap = wrap

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._open(stack)
            self._close = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._close.__exit__(*exception)


class Batch(_Level):
    """Satisfies ``protocol.BatchLevel``."""

    constructs = False
    """Where functorch would batch a higher-order op, the level is not at work within its sections."""

    def __init__(self, wrap, size, randomness) -> None:
        super().__init__(wrap)
        self.size, self.randomness = size, randomness
        self.drawn = None
        self.cursor = 0

    def _open(self, stack):
        lazy_load_decompositions()
        self._level = functorch._vmap_increment_nesting(self.size, self.randomness)
        stack.callback(functorch._vmap_decrement_nesting)

    def put(self, tensor, dim):
        return self._wrap(functorch._add_batch_dim(tensor._native, dim, self._level))

    def varies(self, tensor):
        native = tensor._native
        return functorch.is_batchedtensor(native) and functorch.maybe_get_level(native) == self._level

    def take(self, tensor):
        return self._wrap(functorch._remove_batch_dim(tensor._native, self._level, self.size, 0))

    def lower(self, tensor):
        return tensor


class Forward(_Level):
    """Satisfies ``protocol.DualLevel``."""

    def _open(self, stack):
        self._level = stack.enter_context(eager_transforms.jvp_increment_nesting())
        stack.enter_context(forward_ad._set_fwd_grad_enabled(True))
        if eager_transforms.JVP_NESTING == 1:
            stack.enter_context(forward_ad.dual_level())

    def put(self, tensor, tangent):
        return self._wrap(forward_ad.make_dual(tensor._native, tangent._native))

    def take(self, tensor):
        primal, tangent = forward_ad.unpack_dual(tensor._native)
        primal = functorch._unwrap_for_grad(primal, self._level)
        if tangent is None:
            return self._wrap(primal), None
        return self._wrap(primal), self._wrap(functorch._unwrap_for_grad(tangent, self._level))


class Reverse(_Level):
    """Satisfies ``protocol.ReverseLevel``."""

    def _open(self, stack):
        self._level = stack.enter_context(eager_transforms.grad_increment_nesting())

    def put(self, tensor):
        native = functorch._wrap_for_grad(tensor._native, self._level)
        return self._wrap(eager_transforms._create_differentiable(native))

    def take(self, tensor):
        return self._wrap(functorch._unwrap_for_grad(tensor._native, self._level))

    def gradients(self, roots, cotangents, inputs):
        pairs = [(r._native, c._native) for r, c in zip(roots, cotangents, strict=True) if r._native.requires_grad]
        if not pairs:
            return [None] * len(inputs)
        found = torch.autograd.grad(
            [root for root, _ in pairs],
            [tensor._native for tensor in inputs],
            [cotangent for _, cotangent in pairs],
            retain_graph=True,
            create_graph=torch.is_grad_enabled(),
            allow_unused=True,
        )
        return [None if native is None else self._wrap(functorch.unwrap_if_dead(native)) for native in found]


def pushing():
    """Whether a forward level is at work, for kernels that PyTorch pushes no tangent through."""
    return forward_ad._current_level >= 0


class TorchTransforms:
    """Satisfies ``protocol.Transforms``."""

    def __init__(self, engine) -> None:
        self._engine = engine

    def batch(self, size, randomness):
        return Batch(self._engine.front.wrap, size, randomness)

    def dual(self):
        return Forward(self._engine.front.wrap)

    def reverse(self):
        return Reverse(self._engine.front.wrap)

    def suspended(self):
        return temporarily_clear_interpreter_stack()

    def bare(self, tensor):
        native, dims = tensor._native, []
        while functorch.is_functorch_wrapped_tensor(native):
            if functorch.is_batchedtensor(native):
                dims.append(functorch.maybe_get_bdim(native))
            native = functorch.get_unwrapped(native)
        with self.suspended():
            native = forward_ad.unpack_dual(native.detach()).primal
            for place, dim in enumerate(reversed(dims)):  # the outermost batch first
                native = native.movedim(dim + place, place)
        return self._engine.front.wrap(native)
